#include "recon/pack.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "interp/interp.h"

/* More than any frame needs: 4096 frames of 16 million values. Keeps products far from overflow. */
enum { MAX_FRAMES = 4096 };

static int grow(void *block, size_t *capacity, size_t count, size_t size, struct err *e)
{
    return mem_grow(block, capacity, count ? count : 1, size, "a batch of frames", e);
}

int recon_arrays_size(struct recon_arrays *a, const struct recon_batch_sizes *s, struct err *e)
{
    size_t pixels, planes;
    if (!s->B || s->B > MAX_FRAMES || mem_multiply(s->B * 3, s->N, &pixels) ||
        mem_multiply(s->B * 2, (size_t)s->Hp * s->Wp, &planes))
        return err_set(e, ERR_DATA, "a batch of %zu frames of %ux%u with %zu samples is too large", s->B,
                       s->W, s->H, s->N);
    int r = grow(&a->counts, &a->capacity[0], s->B, sizeof(int32_t), e);
    if (!r)
        r = grow(&a->pixels, &a->capacity[1], pixels, sizeof(float), e);
    if (!r)
        r = grow(&a->state, &a->capacity[2], s->B * s->S, sizeof(float), e);
    if (!r)
        r = grow(&a->mask, &a->capacity[3], s->B * s->S, sizeof(float), e);
    if (!r && s->prefill)
        r = grow(&a->prefill, &a->capacity[4], planes, sizeof(float), e);
    if (!r && s->prefill)
        r = grow(&a->scratch, &a->capacity[5], s->B * s->N, sizeof(float), e);
    if (!r)
        a->sizes = *s;
    return r;
}

void recon_arrays_release(struct recon_arrays *a)
{
    free(a->counts);
    free(a->pixels);
    free(a->state);
    free(a->mask);
    free(a->prefill);
    free(a->scratch);
    *a = (struct recon_arrays){0};
}

size_t recon_arrays_bytes(const struct recon_batch_sizes *s)
{
    size_t planes = s->prefill ? 2 * (size_t)s->Hp * s->Wp + s->N : 0;
    return sizeof(float) * s->B * (1 + 3 * s->N + 2 * s->S + planes);
}

int recon_arrays_samples(struct recon_arrays *a, size_t b, const float *uv, const uint8_t *value, size_t n,
                         const struct interp_plan *plan, struct err *e)
{
    const struct recon_batch_sizes *s = &a->sizes;
    if (!n || n > s->N)
        return err_set(e, ERR_DATA, n ? "%zu samples where at most %zu fit" : "a frame without samples", n,
                       s->N);
    float *row = a->pixels + b * s->N * 3, *scratch = s->prefill ? a->scratch + b * s->N : NULL;
    for (size_t i = 0; i < n; i++) {
        row[3 * i] = uv[2 * i];
        row[3 * i + 1] = uv[2 * i + 1];
        row[3 * i + 2] = (float)value[i] / 255.0f;
        if (scratch)
            scratch[i] = row[3 * i + 2];
    }
    memset(row + 3 * n, 0, (s->N - n) * 3 * sizeof *row);
    a->counts[b] = (int32_t)n;
    if (!s->prefill)
        return 0;
    float *planes = a->prefill + b * 2 * s->Hp * s->Wp;
    if (plan)
        return interp_plan_prefill(plan, scratch, s->Wp, s->Hp, planes, e);
    return interp_prefill(uv, scratch, n, s->W, s->H, s->Wp, s->Hp, planes, e);
}

static int missing(float x, float sentinel)
{
    return isnan(x) || x == sentinel;
}

int recon_arrays_state(struct recon_arrays *a, size_t b, const float *state, size_t n, float sentinel,
                       struct err *e)
{
    size_t S = a->sizes.S;
    float *row = a->state + b * S, *mask = a->mask + b * S;
    while (state && n && missing(state[n - 1], sentinel))
        n--;
    if (state && n > S)
        return err_set(e, ERR_DATA, "a state of %zu values: the model takes %zu (model.max_state_dim)", n, S);
    for (size_t i = 0; i < S; i++) {
        int valid = state && i < n && !missing(state[i], sentinel);
        if (valid && !isfinite(state[i]))
            return err_set(e, ERR_DATA, "state[%zu] is infinite", i);
        row[i] = valid ? state[i] : 0;
        mask[i] = (float)valid;
    }
    return 0;
}

struct spt_batch recon_arrays_batch(const struct recon_arrays *a)
{
    const struct recon_batch_sizes *s = &a->sizes;
    return (struct spt_batch){
        .B = s->B,
        .N = s->N,
        .H = s->H,
        .W = s->W,
        .counts = a->counts,
        .pixels = a->pixels,
        .state = a->state,
        .mask = a->mask,
        .prefill = s->prefill ? a->prefill : NULL,
    };
}
