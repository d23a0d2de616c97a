/* Rows of lib/op/op_case.c as recordings on the cuda device: run at once, and recorded and run on numbers that come after,
 * every operation gives the same bits, also while another thread does the same with a context of its own, as a server does that
 * loads a checkpoint. Those that return a number to the host cannot be recorded. */
#include <pthread.h>
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

static int same_recorded(const struct op_case *c, struct op_ctx *ctx, struct err *e)
{
    struct op_case_run direct = {0}, recorded = {0};
    int code = op_case_open(&direct, c, ctx, e);
    if (!code)
        code = both_passes(&direct, e);
    if (!code) {
        op_case_download(&direct);
        code = run_recorded(&recorded, c, ctx, e);
    }
    int same = !code && op_compare_same(&direct, &recorded);
    op_case_close(&direct);
    op_case_close(&recorded);
    return same;
}

/* --- two threads --- */

struct thread {
    int backwards;
    size_t rows, same;
    struct err error;
};

/* The rows of attention: one kernel serves many of them with as many sizes of shared memory. */
static void *go_through(void *user)
{
    struct thread *t = user;
    struct op_ctx ctx;
    if (op_open(&ctx, "cuda", 1, OP_BF16, &t->error))
        return NULL;
    for (size_t i = 0; i < op_case_count; i++) {
        const struct op_case *c = op_cases + (t->backwards ? op_case_count - 1 - i : i);
        char name[96];
        op_case_name(c, name, sizeof name);
        if (!can_be_recorded(c) || !strstr(name, "attention"))
            continue;
        t->rows++;
        t->same += (size_t)same_recorded(c, &ctx, &t->error);
    }
    op_close(&ctx);
    return NULL;
}

static void check_threads(void)
{
    struct thread t[2] = {{.backwards = 0}, {.backwards = 1}};
    pthread_t id[2];
    for (int i = 0; i < 2; i++)
        if (pthread_create(&id[i], NULL, go_through, &t[i]))
            exit(1);
    for (int i = 0; i < 2; i++) {
        pthread_join(id[i], NULL);
        ok(t[i].rows > 10 && t[i].same == t[i].rows,
           "thread %d of two, each with its context: %zu of %zu rows the same bits %s", i, t[i].same,
           t[i].rows, t[i].error.text);
    }
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
        if (can_be_recorded(op_cases + i) && (argc < 2 || strstr(name, argv[1]))) {
            int same = same_recorded(op_cases + i, &ctx, &e);
            ok(same, "%s: recorded and run, the same bits %s", name, e.text);
        }
    }
    op_close(&ctx);
    if (argc < 2)
        check_threads();
    return tap_done();
}
