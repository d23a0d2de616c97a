/* The operations, by the rows of lib/op/op_case.c that are marked for it. */
#include <stdio.h>

#include "base/clock.h"
#include "bench.h"
#include "op/op_case.h"

/* A launch on a GPU, and waiting for it, take longer than many an operation: there a timed run is as many of them one
 * after the other as fill this long, and small operands stay in its cache, as between the layers of a network. */
static const double FILL = 2e-3;
enum { MOST_REPEATS = 200 };

struct subject {
    struct op_case_run run;
    int (*pass)(struct op_case_run *r, struct err *e);
    size_t repeats;
};

static int run_pass(void *user, struct err *e)
{
    struct subject *s = user;
    struct op_ctx *ctx = s->run.ctx;
    int code = 0;
    for (size_t i = 0; i < s->repeats && !code; i++)
        code = s->pass(&s->run, e);
    return code ? code : ctx->ops->check(ctx, e);
}

static int choose_repeats(struct subject *s, struct err *e)
{
    s->repeats = 1;
    int code = run_pass(s, e);
    double start = clock_seconds();
    if (!code)
        code = run_pass(s, e);
    double fit = FILL / (clock_seconds() - start);
    s->repeats = fit < 1 ? 1 : fit > MOST_REPEATS ? MOST_REPEATS : (size_t)fit;
    return code;
}

static int measure_case(struct bench *b, const struct op_case *c, struct op_ctx *ctx, struct err *e)
{
    struct subject s = {.repeats = 1};
    int code = op_case_open(&s.run, c, ctx, e);
    if (code)
        return code;
    for (int back = 0; back <= op_case_has_backward(c) && !code; back++) {
        char name[96];
        s.pass = back ? op_case_backward : op_case_forward;
        if (b->cuda)
            code = choose_repeats(&s, e);
        struct result r = {.bench = "ops",
                           .flops = op_case_flops(c, back),
                           .bytes = op_case_bytes(&s.run, back),
                           .repeats = s.repeats};
        op_case_name(c, name, sizeof name);
        snprintf(r.name, sizeof r.name, "%s %s", name, back ? "backward" : "forward");
        if (!code)
            code = bench_measure(b, r, run_pass, &s, e);
    }
    op_case_close(&s.run);
    return code;
}

int bench_ops(struct bench *b, struct err *e)
{
    struct op_ctx ctx;
    int code = op_open(&ctx, b->device, b->threads, b->precision, e);
    if (code)
        return code;
    for (size_t i = 0; i < op_case_count && !code; i++)
        if (op_cases[i].use & OP_CASE_BENCH)
            code = measure_case(b, op_cases + i, &ctx, e);
    op_close(&ctx);
    return code;
}
