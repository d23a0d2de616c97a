#include "batch.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "interp/interp.h"

enum { MOST_FRAMES = 32, FRAME_BYTES = 4 << 20 };

static int has_models(const struct contest *c)
{
    for (size_t i = 0; i < c->contender_count; i++)
        if (c->contenders[i].is_model)
            return 1;
    return 0;
}

static int has_error_heads(const struct contest *c)
{
    for (size_t i = 0; i < c->contender_count; i++)
        if (recon_has_error_head(c->contenders[i].handle[0]))
            return 1;
    return 0;
}

int batch_take(struct batch *b, const struct contest *c, const struct pairing *p, struct err *e)
{
    *b = (struct batch){.session = p->id, .sentinel = -999};
    film_size(c->reference, c->reference->rec ? p->session_a : 0, &b->W, &b->H);
    if (c->size[0])
        b->W = c->size[0], b->H = c->size[1];
    b->pixels = (size_t)b->W * b->H;
    b->capacity = FRAME_BYTES / b->pixels;
    b->capacity = b->capacity < 1 ? 1 : b->capacity > MOST_FRAMES ? MOST_FRAMES : b->capacity;
    if (c->reference->rec && has_models(c)) {
        const struct session_info *s = recording_session(c->reference->rec, p->session_a);
        b->S = s->S;
        b->sentinel = s->sentinel;
    }
    const struct {
        void *out;
        size_t count, size;
    } parts[] = {
        {&b->truth, 1 + b->capacity, b->pixels},
        {&b->other, c->compared ? b->capacity : 0, b->pixels},
        {&b->out, 1 + b->capacity, b->pixels},
        {&b->mask, b->capacity, b->pixels},
        {&b->raw, b->capacity * b->pixels, sizeof *b->raw},
        {&b->scale, has_error_heads(c) ? b->capacity * b->pixels : 0, sizeof *b->scale},
        {&b->state, b->capacity * b->S, sizeof *b->state},
        {&b->state_len, b->capacity, sizeof *b->state_len},
        {&b->frame_id, b->capacity, sizeof *b->frame_id},
        {&b->recorded, b->capacity, sizeof *b->recorded},
        {&b->drawn, b->capacity, sizeof *b->drawn},
        {&b->score, b->capacity, sizeof *b->score},
    };
    int r = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts && !r; i++)
        r = mem_alloc(parts[i].out, parts[i].count, parts[i].size, "frames", e);
    return r;
}

void batch_release(struct batch *b)
{
    for (size_t i = 0; i < b->capacity; i++) {
        if (b->recorded)
            samples_release(&b->recorded[i]);
        if (b->drawn)
            samples_release(&b->drawn[i]);
    }
    void *all[] = {b->truth, b->other,     b->out,      b->mask,     b->raw,   b->scale,
                   b->state, b->state_len, b->frame_id, b->recorded, b->drawn, b->score};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    *b = (struct batch){0};
}

/* The samples that a frame was made from: the reconstruction's own where it has them, else the reference's. */
static int read_samples(struct batch *b, const struct contest *c, const struct pairing *p, struct pair at,
                        size_t slot, struct err *e)
{
    struct film *f = c->second;
    size_t session = p->session_b, t = at.b;
    if (!f || !f->rec || !recording_session(f->rec, session)->has_samples) {
        f = c->reference;
        session = p->session_a;
        t = at.a;
    }
    b->recorded[slot].n = 0;
    if (!f->rec || !recording_session(f->rec, session)->has_samples)
        return 0;
    return recording_samples(f->rec, session, t, 1, &b->recorded[slot], e);
}

static int read_one(struct batch *b, struct contest *c, const struct pairing *p, struct pair at, int *got,
                    struct err *e)
{
    size_t slot = b->n;
    int other = 1;
    int r =
        film_read(c->reference, p->session_a, at.a, 0, b->W, b->H, b->truth + (1 + slot) * b->pixels, got, e);
    if (!r && c->compared)
        r = film_read(c->second, p->session_b, at.b, 1, b->W, b->H, b->other + slot * b->pixels, &other, e);
    if (r)
        return r;
    if (*got == 1 && other < 1)
        c->unmatched++;
    if (*got == 0)
        c->frameless++;
    *got = *got < 0 || other < 0 ? -1 : *got && other;
    if (*got != 1)
        return 0;
    b->frame_id[slot] = at.frame_id;
    r = read_samples(b, c, p, at, slot, e);
    if (!r && b->S)
        r = recording_state(c->reference->rec, p->session_a, at.a, 1, b->state + slot * b->S,
                            &b->state_len[slot], e);
    return r;
}

/* A row that a selection leaves out still takes its frame from a stream. */
static int pass_over(struct batch *b, const struct contest *c, const struct pairing *p, struct pair at,
                     int *got, struct err *e)
{
    int r = 0, other = 0;
    if (c->second && c->second->in)
        r = film_read(c->second, p->session_b, at.b, 1, b->W, b->H, b->other + b->n * b->pixels, &other, e);
    *got = other < 0 ? -1 : 0;
    return r;
}

int batch_fill(struct batch *b, struct contest *c, const struct pairing *p, size_t *at, int *done,
               struct err *e)
{
    int r = 0;
    *done = 0;
    memcpy(b->truth, b->truth + b->n * b->pixels, b->n ? b->pixels : 0);
    b->n = 0;
    while (!r && !*done && b->n < b->capacity) {
        int got = -1;
        if (*at < p->n) {
            struct pair next = pairing_at(p, (*at)++);
            int wanted = !p->keep || p->keep[next.a];
            r = wanted ? read_one(b, c, p, next, &got, e) : pass_over(b, c, p, next, &got, e);
        }
        if (!r && got < 0) {
            *done = 1;
            if (*at < p->n && p->n != SIZE_MAX)
                c->unmatched += p->n - *at;
        }
        b->n += !r && got == 1;
    }
    return r;
}

static int draw_one(struct batch *b, const struct contest *c, size_t n, size_t slot, struct err *e)
{
    struct samples *s = &b->drawn[slot];
    struct sample_request q = {.pattern = c->pattern,
                               .W = b->W,
                               .H = b->H,
                               .n = n,
                               .seed = c->seed,
                               .session = sample_session(b->session),
                               .frame = (uint64_t)b->frame_id[slot]};
    if (s->capacity < n) {
        samples_release(s);
        int r = mem_alloc(&s->uv, n, 2 * sizeof *s->uv, "samples", e);
        if (!r)
            r = mem_alloc(&s->value, n, 1, "samples", e);
        if (r)
            return r;
        s->capacity = n;
    }
    s->n = n;
    int r = sample_draw(&q, s->uv, e);
    if (!r)
        sample_values(b->truth + (1 + slot) * b->pixels, b->W, b->H, s->uv, n, s->value);
    return r;
}

static void mark(const struct samples *s, uint32_t W, uint32_t H, uint8_t *mask)
{
    memset(mask, 0, (size_t)W * H);
    for (size_t i = 0; i < s->n; i++)
        mask[(size_t)interp_pixel(s->uv[2 * i + 1], H) * W + interp_pixel(s->uv[2 * i], W)] = 1;
}

int batch_samples(struct batch *b, const struct contest *c, size_t budget, struct samples **of, struct err *e)
{
    int failed = 0;
    *of = budget ? b->drawn : b->recorded;
#pragma omp parallel for schedule(dynamic)
    for (size_t i = 0; i < b->n; i++) {
        struct err mine;
        if (budget && draw_one(b, c, budget, i, &mine)) {
#pragma omp critical
            {
                *e = mine;
                failed = 1;
            }
            continue;
        }
        mark(&(*of)[i], b->W, b->H, b->mask + i * b->pixels);
    }
    return failed ? e->code : 0;
}

struct recon_frame batch_frame(const struct batch *b, const struct samples *s, size_t i)
{
    struct recon_frame f = {.n = s[i].n,
                            .uv = s[i].uv,
                            .value = s[i].value,
                            .sentinel = b->sentinel,
                            .truth = b->truth + (1 + i) * b->pixels};
    if (b->S) {
        f.state = b->state + i * b->S;
        f.state_n = b->state_len[i];
    }
    return f;
}
