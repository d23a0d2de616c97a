/* Rows of lib/op/op_case.c as recordings on the cuda device: run at once, and recorded and run on numbers that come after,
 * every operation gives the same bits. Those that return a number to the host cannot be recorded. */
#include <stdlib.h>
#include <string.h>

#include "cuda_case.h"
#include "op_compare.h"
#include "tap.h"

/* Larger rows are slow where the device is emulated, and their operations are in smaller ones too. */
static const double most_operations = 5e6;

static int can_be_recorded(const struct op_case *c)
{
    char name[96];
    op_case_name(c, name, sizeof name);
    return c->use & OP_CASE_TEST && strncmp(name, "loss", 4) && strncmp(name, "optimiser", 9) &&
           op_case_flops(c, 1) <= most_operations;
}

static int both_passes(struct op_case_run *r, struct err *e)
{
    int code = op_case_forward(r, e);
    return code || !op_case_has_backward(r->c) ? code : op_case_backward(r, e);
}

/* The first run takes what memory the operations want; the operands of the last are uploaded after the recording. */
static int run_recorded(struct op_case_run *r, const struct op_case *c, struct op_ctx *ctx, struct err *e)
{
    void *recording = NULL;
    int code = op_case_open(r, c, ctx, e);
    if (code || (code = both_passes(r, e)) || (code = ctx->ops->record_begin(ctx, e)))
        return code;
    code = both_passes(r, e);
    int ended = ctx->ops->record_end(ctx, &recording, code ? NULL : e);
    code = code ? code : ended;
    if (!code) {
        op_case_upload(r);
        code = ctx->ops->record_run(ctx, recording, e);
    }
    if (!code)
        op_case_download(r);
    ctx->ops->record_free(ctx, recording);
    return code ? code : ctx->ops->check(ctx, e);
}

static void check_row(const struct op_case *c, struct op_ctx *ctx)
{
    struct op_case_run direct = {0}, recorded = {0};
    struct err e = {0};
    char name[96];
    op_case_name(c, name, sizeof name);
    int code = op_case_open(&direct, c, ctx, &e);
    if (!code)
        code = both_passes(&direct, &e);
    if (!code) {
        op_case_download(&direct);
        code = run_recorded(&recorded, c, ctx, &e);
    }
    ok(!code && op_compare_same(&direct, &recorded), "%s: recorded and run, the same bits %s", name, e.text);
    op_case_close(&direct);
    op_case_close(&recorded);
}

int main(int argc, char **argv)
{
    struct op_ctx ctx;
    struct err e = {0};
    if (cuda_case_device(&e)) {
        tap_skip("recordings on a CUDA device", e.text);
        return tap_done();
    }
    if (op_open(&ctx, "cuda", 1, OP_BF16, &e)) {
        ok(0, "cuda: %s", e.text);
        return tap_done();
    }
    for (size_t i = 0; i < op_case_count; i++) {
        char name[96];
        op_case_name(op_cases + i, name, sizeof name);
        if (can_be_recorded(op_cases + i) && (argc < 2 || strstr(name, argv[1])))
            check_row(op_cases + i, &ctx);
    }
    op_close(&ctx);
    return tap_done();
}
