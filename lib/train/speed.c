/* The yardstick of the progress line: what a large matrix product reaches on the same backend and threads. */
#include "base/clock.h"
#include "train/trainer.h"

int speed_probe(struct op_ctx *ctx, double *flops, struct err *e)
{
    enum { SIDE = 768, LEAST = 3 };
    const struct op_table *ops = ctx->ops;
    size_t bytes = SIDE * SIDE * sizeof(float);
    void *x = NULL, *y = NULL, *w = NULL;
    int r = ops->alloc(ctx, &x, bytes, e);
    if (!r)
        r = ops->alloc(ctx, &y, bytes, e);
    if (!r)
        r = ops->alloc(ctx, &w, bytes, e);
    struct op_linear p = {.M = SIDE, .N = SIDE, .K = SIDE, .w = w};
    double best = 0, end = clock_seconds() + 0.1;
    for (int i = 0; !r && (i < LEAST || clock_seconds() < end); i++) {
        double start = clock_seconds();
        r = ops->linear(ctx, &p, x, y, e);
        ops->synchronise(ctx);
        double rate = 2.0 * SIDE * SIDE * SIDE / (clock_seconds() - start);
        best = rate > best ? rate : best;
    }
    *flops = best;
    if (x)
        ops->free(ctx, x);
    if (y)
        ops->free(ctx, y);
    if (w)
        ops->free(ctx, w);
    return r;
}
