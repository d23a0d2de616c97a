#include "op/op_probe.h"

#include <math.h>

#include "base/clock.h"
#include "base/philox.h"

/* What is timed grows from the least size until it takes this long, or is as large as the largest. A size that fills one
 * device is a trifle on another: a product of 768 takes a core four milliseconds, a large GPU four microseconds. */
static const double ENOUGH = 1e-3, BUDGET = 0.1;
enum { SIDE_LEAST = 256, SIDE_MOST = 8192, ROW = 1024, ROWS_LEAST = 1024, ROWS_MOST = 1 << 18 };

struct probe {
    struct op_ctx *ctx;
    size_t size; /* side of the matrices; rows of the copy */
    void *x, *y;
    float *w;
};

static int product(struct probe *p, struct err *e)
{
    struct op_linear l = {.M = p->size, .N = p->size, .K = p->size, .w = p->w};
    return p->ctx->ops->linear(p->ctx, &l, p->x, p->y, e);
}

static int copy(struct probe *p, struct err *e)
{
    (void)e;
    p->ctx->ops->copy_rows(p->ctx, p->size, ROW, p->x, ROW, p->y, ROW, 0);
    return 0;
}

/* The fastest of at least three runs. */
static int fastest(struct probe *p, int (*run)(struct probe *, struct err *), double *seconds, struct err *e)
{
    double end = clock_seconds() + BUDGET;
    *seconds = INFINITY;
    for (int i = 0; i < 4 || (i < 1000 && clock_seconds() < end && *seconds >= ENOUGH); i++) {
        double start = clock_seconds();
        int r = run(p, e);
        if (!r)
            r = p->ctx->ops->check(p->ctx, e);
        if (r)
            return r;
        if (i) /* the first makes plans */
            *seconds = fmin(*seconds, clock_seconds() - start);
    }
    return 0;
}

static void release(struct probe *p)
{
    p->ctx->ops->free(p->ctx, p->x);
    p->ctx->ops->free(p->ctx, p->y);
    p->ctx->ops->free(p->ctx, p->w);
    p->x = p->y = p->w = NULL;
}

static int take(struct probe *p, size_t elements, int weights, struct err *e)
{
    const struct op_table *ops = p->ctx->ops;
    size_t bytes = elements * (p->ctx->bf16 ? 2 : sizeof(float));
    int r = ops->alloc(p->ctx, &p->x, bytes, e);
    if (!r)
        r = ops->alloc(p->ctx, &p->y, bytes, e);
    if (!r && weights)
        r = ops->alloc(p->ctx, (void **)&p->w, elements * sizeof(float), e);
    return r;
}

/* Numbers like a network's: a processor that multiplies zeros needs less power, and may run faster. */
static int fill(struct probe *p, size_t elements, struct err *e)
{
    enum { PIECE = 1 << 12 };
    float piece[PIECE];
    struct philox draw;
    const struct op_table *ops = p->ctx->ops;
    philox_init(&draw, 1, 0);
    for (size_t i = 0; i < PIECE; i++)
        piece[i] = (float)philox_normal(&draw);
    for (size_t at = 0; at < elements; at += PIECE) /* sides are powers of two */
        ops->upload(p->ctx, p->w + at, piece, sizeof piece);
    ops->to_act(p->ctx, elements, p->w, p->x);
    return ops->parameters_changed(p->ctx, p->w, elements, e);
}

int op_peak_flops(struct op_ctx *ctx, double *flops, struct err *e)
{
    struct probe p = {.ctx = ctx};
    double seconds = 0;
    int r = 0;
    for (p.size = SIDE_LEAST; !r && p.size <= SIDE_MOST && seconds < ENOUGH; p.size *= 2) {
        r = take(&p, p.size * p.size, 1, e);
        if (!r)
            r = fill(&p, p.size * p.size, e);
        if (!r)
            r = fastest(&p, product, &seconds, e);
        *flops = 2.0 * (double)p.size * (double)p.size * (double)p.size / seconds;
        release(&p);
    }
    return r;
}

int op_peak_bandwidth(struct op_ctx *ctx, double *bytes, struct err *e)
{
    struct probe p = {.ctx = ctx};
    double seconds = 0;
    int r = 0;
    for (p.size = ROWS_LEAST; !r && p.size <= ROWS_MOST && seconds < ENOUGH; p.size *= 2) {
        r = take(&p, p.size * ROW, 0, e);
        if (!r)
            r = fastest(&p, copy, &seconds, e);
        *bytes = 2.0 * (double)(p.size * ROW) * (ctx->bf16 ? 2 : sizeof(float)) / seconds;
        release(&p);
    }
    return r;
}
