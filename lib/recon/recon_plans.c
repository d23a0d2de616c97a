#include "recon/recon_plans.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { BUCKETS = 1024 };
static const size_t LIMIT = (size_t)64 << 20; /* 300 sets of 224x224 with distances, 1500 without */

struct recon_plan {
    uint64_t hash;
    uint32_t W, H;
    int distances;
    size_t n, bytes;
    float *uv; /* (n,2) */
    struct interp_plan *plan;
    struct recon_plan *newer, *older, *next; /* next: in the bucket */
};

/* FNV-1a over words. */
static uint64_t hash_of(const float *uv, size_t n)
{
    uint64_t hash = 0xcbf29ce484222325u, pair;
    for (size_t i = 0; i < n; i++) {
        memcpy(&pair, uv + 2 * i, sizeof pair);
        hash = (hash ^ pair) * 0x100000001b3u;
        hash ^= hash >> 29; /* the product alone carries nothing downwards */
    }
    return hash;
}

static void unlink_age(struct recon_plans *p, struct recon_plan *k)
{
    *(k->newer ? &k->newer->older : &p->newest) = k->older;
    *(k->older ? &k->older->newer : &p->oldest) = k->newer;
}

static void make_newest(struct recon_plans *p, struct recon_plan *k)
{
    k->newer = NULL;
    k->older = p->newest;
    *(p->newest ? &p->newest->newer : &p->oldest) = k;
    p->newest = k;
}

static void drop(struct recon_plans *p, struct recon_plan *k)
{
    struct recon_plan **at = &p->bucket[k->hash % BUCKETS];
    while (*at != k)
        at = &(*at)->next;
    *at = k->next;
    unlink_age(p, k);
    p->bytes -= k->bytes;
    interp_plan_free(k->plan);
    free(k->uv);
    free(k);
}

static struct recon_plan *find(struct recon_plans *p, uint64_t hash, const float *uv, size_t n, uint32_t W,
                               uint32_t H, int distances)
{
    for (struct recon_plan *k = p->bucket[hash % BUCKETS]; k; k = k->next)
        if (k->hash == hash && k->n == n && k->W == W && k->H == H && k->distances >= distances &&
            !memcmp(k->uv, uv, n * 2 * sizeof *uv))
            return k;
    return NULL;
}

/* A place for coordinates that are not kept yet; its plan is still to be made. */
static int add(struct recon_plans *p, const struct recon_plan *like, const float *uv, struct recon_plan **out,
               struct err *e)
{
    struct recon_plan *k;
    int r = mem_alloc(&k, 1, sizeof *k, "a triangulation", e);
    if (r)
        return r;
    *k = *like;
    r = mem_alloc(&k->uv, k->n, 2 * sizeof *uv, "coordinates", e);
    if (r) {
        free(k);
        return r;
    }
    memcpy(k->uv, uv, k->n * 2 * sizeof *uv);
    k->next = p->bucket[k->hash % BUCKETS];
    p->bucket[k->hash % BUCKETS] = k;
    make_newest(p, k);
    *out = k;
    return 0;
}

static int make_missing(struct recon_plan **kept, size_t n, struct err *e)
{
    int failed = 0;
#pragma omp parallel for schedule(dynamic) if (n > 1)
    for (size_t i = 0; i < n; i++) {
        struct recon_plan *k = kept[i];
        struct err mine;
        int r = interp_plan_make(&k->plan, k->uv, k->n, k->W, k->H, k->distances, &mine);
        if (!r)
            continue;
#pragma omp critical
        if (!failed) {
            failed = r;
            *e = mine;
        }
    }
    return failed;
}

int recon_plans_get(struct recon_plans *p, const float *const *uv, const size_t *counts, size_t B, uint32_t W,
                    uint32_t H, int distances, const struct interp_plan **plans, struct err *e)
{
    struct recon_plan **used = NULL, **missing = NULL;
    size_t n = 0;
    int r = p->bucket ? 0 : mem_alloc(&p->bucket, BUCKETS, sizeof *p->bucket, "triangulations", e);
    while (!r && p->bytes > LIMIT && p->oldest) /* none is in use between two calls */
        drop(p, p->oldest);
    if (!r)
        r = mem_alloc(&used, B, sizeof *used, "triangulations", e);
    if (!r)
        r = mem_alloc(&missing, B, sizeof *missing, "triangulations", e);
    for (size_t b = 0; b < B && !r; b++) {
        struct recon_plan like = {
            .hash = hash_of(uv[b], counts[b]), .W = W, .H = H, .distances = distances, .n = counts[b]};
        used[b] = find(p, like.hash, uv[b], counts[b], W, H, distances);
        if (used[b]) {
            unlink_age(p, used[b]);
            make_newest(p, used[b]);
        } else if (!(r = add(p, &like, uv[b], &used[b], e))) {
            missing[n++] = used[b];
        }
    }
    if (!r)
        r = make_missing(missing, n, e);
    for (size_t i = 0; i < n; i++) {
        struct recon_plan *k = missing[i];
        k->bytes = k->plan ? interp_plan_bytes(k->plan) + k->n * 2 * sizeof *k->uv : 0;
        p->bytes += k->bytes;
    }
    for (size_t b = 0; b < B && !r; b++)
        plans[b] = used[b]->plan;
    for (size_t i = 0; i < n; i++)
        if (!missing[i]->plan)
            drop(p, missing[i]);
    free(used);
    free(missing);
    return r;
}

void recon_plans_release(struct recon_plans *p)
{
    while (p->oldest)
        drop(p, p->oldest);
    free(p->bucket);
    *p = (struct recon_plans){0};
}
