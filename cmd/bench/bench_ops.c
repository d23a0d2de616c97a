/* The operations, by the rows of lib/op/op_case.c that are marked for it. */
#include <stdio.h>

#include "bench.h"
#include "op/op_case.h"

static int forward(void *user, struct err *e)
{
    struct op_case_run *r = user;
    int code = op_case_forward(r, e);
    r->ctx->ops->synchronise(r->ctx);
    return code;
}

static int backward(void *user, struct err *e)
{
    struct op_case_run *r = user;
    int code = op_case_backward(r, e);
    r->ctx->ops->synchronise(r->ctx);
    return code;
}

static int measure_case(struct bench *b, const struct op_case *c, struct op_ctx *ctx, struct err *e)
{
    struct op_case_run run;
    int code = op_case_open(&run, c, ctx, e);
    if (code)
        return code;
    for (int pass = 0; pass <= op_case_has_backward(c) && !code; pass++) {
        char name[96];
        struct result r = {
            .bench = "ops", .flops = op_case_flops(c, pass), .bytes = op_case_bytes(&run, pass)};
        op_case_name(c, name, sizeof name);
        snprintf(r.name, sizeof r.name, "%s %s", name, pass ? "backward" : "forward");
        code = bench_measure(b, r, pass ? backward : forward, &run, e);
    }
    op_case_close(&run);
    return code;
}

int bench_ops(struct bench *b, struct err *e)
{
    struct op_ctx ctx;
    int code = op_open(&ctx, b->device, b->threads, 0, e);
    if (code)
        return code;
    for (size_t i = 0; i < op_case_count && !code; i++)
        if (op_cases[i].use & OP_CASE_BENCH)
            code = measure_case(b, op_cases + i, &ctx, e);
    op_close(&ctx);
    return code;
}
