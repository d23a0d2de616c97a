/* Every row of lib/op/op_case.c on the cuda device, in fp32 and bf16, against ref: on a GPU, or emulated, where each row runs
 * in several orders of its threads, which give the same bits. Arguments: only rows with one of them in their name.
 *
 * Which kernel an operation takes depends on how many multiprocessors there are, so a GPU has rows of its own; they are emulated
 * (in some minutes) where SGAPS_EMULATOR_MULTIPROCESSORS says what to emulate. */
#include <stdlib.h>
#include <string.h>

#include "cuda_case.h"
#include "op_compare.h"
#include "tap.h"

static const struct precision {
    const char *name;
    enum op_precision precision;
    double close_enough;
} precisions[] = {{"fp32", OP_FP32, 1e-4}, {"bf16", OP_BF16, 1e-2}};

/* On a GPU the second run only repeats the first. */
static const char *const orders[] = {"forward", "reversed", "1"};

static int check_order(const struct op_case *c, struct op_ctx *ctx, const char *order, unsigned how,
                       const struct op_case_run *first, struct err *e)
{
    struct op_case_run again = {0};
    setenv("SGAPS_EMULATOR_ORDER", order, 1);
    int same = !op_compare_run(&again, c, ctx, how, e) && op_compare_same(first, &again);
    op_case_close(&again);
    return same;
}

/* have: free to close whatever comes. */
static void check_results(const struct op_case *c, const char *what, struct op_ctx *ctx, unsigned how,
                          const struct precision *p, const struct op_case_run *want, struct op_case_run *have)
{
    struct err e = {0};
    const char *where = "";
    double worst = 0;
    int code = op_compare_run(have, c, ctx, how, &e);
    if (!code)
        worst = op_compare_distance(have, want, &where);
    ok(!code && worst < p->close_enough, "%s is ref (%.1e %s)%s%s", what, worst, where, code ? ": " : "",
       code ? e.text : "");
}

static void check_row(const struct op_case *c, const char *name, struct op_ctx *ref, struct op_ctx *ctx,
                      const struct precision *p)
{
    struct op_case_run want = {0}, have = {0}, shifted = {0};
    struct err e = {0};
    char what[160];
    unsigned how = p->precision == OP_BF16 ? OP_COMPARE_BF16 : 0;
    setenv("SGAPS_EMULATOR_ORDER", orders[0], 1);
    if (op_compare_run(&want, c, ref, how, &e)) {
        ok(0, "%s: ref: %s", name, e.text);
        op_case_close(&want);
        return;
    }
    snprintf(what, sizeof what, "%s %s: cuda", name, p->name);
    check_results(c, what, ctx, how, p, &want, &have);
    size_t n = cuda_case_emulated() ? sizeof orders / sizeof *orders : 2;
    for (size_t i = 1; i < n; i++)
        ok(check_order(c, ctx, orders[i], how, &have, &e), "%s %s: the same bits again (%s)%s", name, p->name,
           cuda_case_emulated() ? orders[i] : "run twice", e.text);
    snprintf(what, sizeof what, "%s %s, not aligned: cuda", name, p->name);
    check_results(c, what, ctx, how | OP_COMPARE_SHIFTED, p, &want, &shifted);
    op_case_close(&want);
    op_case_close(&have);
    op_case_close(&shifted);
}

static int chosen(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strstr(name, argv[i]))
            return 1;
    return argc < 2;
}

int main(int argc, char **argv)
{
    struct op_ctx ref, ctx;
    struct err e = {0};
    if (cuda_case_device(&e)) {
        tap_skip("the operations on a CUDA device", e.text);
        return tap_done();
    }
    int large = !cuda_case_emulated() || getenv("SGAPS_EMULATOR_MULTIPROCESSORS");
    int uses = OP_CASE_TEST | (large ? OP_CASE_GPU : 0);
    if (op_open(&ref, "ref", 1, OP_FP32, &e)) {
        ok(0, "ref: %s", e.text);
        return tap_done();
    }
    for (size_t k = 0; k < sizeof precisions / sizeof *precisions; k++) {
        if (!ok(!op_open(&ctx, "cuda", 1, precisions[k].precision, &e), "cuda in %s opens %s",
                precisions[k].name, e.text))
            continue;
        for (size_t i = 0; i < op_case_count; i++) {
            char name[96];
            op_case_name(op_cases + i, name, sizeof name);
            if (op_cases[i].use & uses && chosen(name, argc, argv))
                check_row(op_cases + i, name, &ref, &ctx, precisions + k);
        }
        op_close(&ctx);
    }
    op_close(&ref);
    return tap_done();
}
