/* Patterns that need nothing but the frame: blocks of rows, drawn in parallel. */
#include <stdlib.h>

#include "base/mem.h"
#include "sampling.h"

enum { BLOCK_ROWS = 64, BLOCK_BYTES = 16 << 20 };

/* Some rows of a session, read at once and sampled in parallel. */
struct block {
    size_t rows, N, S, pixels;
    int64_t *frame_id, *set;
    double *timestamp, *recv_time;
    float *state, *uv; /* (rows,S), (rows,N,2) */
    uint16_t *state_len;
    uint8_t *image, *value; /* (rows,H*W), (rows,N) */
    int *present;
};

static void block_release(struct block *b)
{
    void *all[] = {b->frame_id, b->set,       b->timestamp, b->recv_time, b->state,
                   b->uv,       b->state_len, b->image,     b->value,     b->present};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

static int block_take(struct block *b, const struct session_info *s, size_t n, struct err *e)
{
    size_t pixels = (size_t)s->W * s->H, rows = BLOCK_BYTES / pixels;
    rows = rows < 1 ? 1 : rows > BLOCK_ROWS ? BLOCK_ROWS : rows;
    *b = (struct block){.rows = rows, .N = n, .S = s->S, .pixels = pixels};
    const struct {
        void *out;
        size_t count, size;
    } parts[] = {
        {&b->frame_id, rows, sizeof *b->frame_id},
        {&b->set, rows, sizeof *b->set},
        {&b->timestamp, rows, sizeof *b->timestamp},
        {&b->recv_time, rows, sizeof *b->recv_time},
        {&b->state, rows * s->S, sizeof *b->state},
        {&b->state_len, rows, sizeof *b->state_len},
        {&b->uv, rows * n, 2 * sizeof *b->uv},
        {&b->value, rows * n, 1},
        {&b->image, rows * pixels, 1},
        {&b->present, rows, sizeof *b->present},
    };
    int r = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts && !r; i++)
        r = mem_alloc(parts[i].out, parts[i].count, parts[i].size, "frames", e);
    return r;
}

/* keep (n): rows that are wanted; *present is then whether there is a frame. */
static int block_read(struct block *b, struct recording *in, size_t session, size_t t0, size_t n,
                      const uint8_t *keep, struct err *e)
{
    int r = recording_columns(in, session, t0, n, b->frame_id, b->timestamp, b->recv_time, NULL, e);
    if (!r && b->S)
        r = recording_state(in, session, t0, n, b->state, b->state_len, e);
    for (size_t i = 0; i < n && !r; i++) {
        b->present[i] = 0;
        if (keep[i])
            r = recording_frame(in, session, t0 + i, b->image + i * b->pixels, &b->present[i], e);
    }
    return r;
}

static int block_draw(struct block *b, const struct job *j, const struct session_info *s, size_t t0, size_t n,
                      struct err *e)
{
    int failed = 0;
#pragma omp parallel for schedule(dynamic)
    for (size_t i = 0; i < n; i++) {
        struct sample_request q = job_request(j, s, b->frame_id[i]);
        struct err mine;
        if (!b->present[i])
            continue;
        if (sample_draw(&q, b->uv + 2 * i * b->N, &mine)) {
#pragma omp critical
            {
                *e = mine;
                failed = 1;
            }
            continue;
        }
        sample_values(b->image + i * b->pixels, s->W, s->H, b->uv + 2 * i * b->N, b->N, b->value + i * b->N);
        b->set[i] = j->pattern == PATTERN_GRID ? 0 : (int64_t)(t0 + i); /* a grid is one set for all */
    }
    return failed ? e->code : 0;
}

static int block_write(const struct block *b, struct job *j, size_t n, const uint8_t *keep, struct err *e)
{
    int r = 0;
    for (size_t i = 0; i < n && !r; i++) {
        struct frame f = {.frame_id = b->frame_id[i],
                          .timestamp = b->timestamp[i],
                          .recv_time = b->recv_time[i],
                          .state = b->S ? b->state + i * b->S : NULL,
                          .state_n = b->S ? b->state_len[i] : 0,
                          .samples_n = b->N,
                          .uv = b->uv + 2 * i * b->N,
                          .value = b->value + i * b->N,
                          .set = b->set[i]};
        if (b->present[i])
            r = recording_append(j->out, &f, e);
        else
            j->without_frame += keep[i];
    }
    return r;
}

int open_loop(struct job *j, struct recording *in, size_t session, const uint8_t *keep, struct err *e)
{
    const struct session_info *s = recording_session(in, session);
    struct block b;
    int r = block_take(&b, s, j->n, e);
    for (size_t t = 0; t < s->T && !r; t += b.rows) {
        size_t n = s->T - t < b.rows ? s->T - t : b.rows;
        r = block_read(&b, in, session, t, n, keep + t, e);
        if (!r)
            r = block_draw(&b, j, s, t, n, e);
        if (!r)
            r = block_write(&b, j, n, keep + t, e);
        progress_update(&j->progress, (double)(j->done += n), NULL);
    }
    block_release(&b);
    return r;
}
