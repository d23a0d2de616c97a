/* Every row of lib/op/op_case.c: ref's gradients against finite differences of its forward pass; cpu against ref,
 * with one thread and with two, in every instruction set this machine has, twice with the same bits. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/philox.h"
#include "op/cpu/cpu.h"
#include "op/op_case.h"
#include "op_compare.h"
#include "tap.h"

static const double close_enough = 1e-5, slope_close_enough = 1e-2;

static struct op_ctx ref;

/* L = sum over the outputs of <gradient, output>, after a forward pass. */
static int objective(struct op_case_run *r, double *L, struct err *e)
{
    int code = op_case_forward(r, e);
    op_case_download(r);
    *L = 0;
    for (size_t i = 0; i < r->operands; i++) {
        if (r->operand[i].role != OP_OUTPUT_GRADIENT)
            continue;
        const float *g = r->host[i], *y = r->host[r->operand[i].of];
        for (size_t k = 0; k < r->operand[i].n; k++)
            *L += (double)g[k] * (double)y[k];
    }
    return code;
}

static double norm(const float *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

/* Along the gradient and a random direction, mixed: a wrong length shows in the one, a wrong direction in the other. */
static double slope_error(struct op_case_run *r, int input, const float *gradient, struct err *e)
{
    size_t n = r->operand[input].n;
    float *x = r->host[input], *at = malloc(n * sizeof *at), *way = malloc(n * sizeof *way);
    struct philox draw;
    philox_init(&draw, 11, 3);
    for (size_t i = 0; i < n; i++)
        way[i] = (float)philox_normal(&draw);
    double g = norm(gradient, n), w = norm(way, n), along = 0, up = 0, down = 0, high = 0, low = 0;
    /* Wide enough for the rounding of a float output, narrow enough for its curvature. */
    double h = 5e-4 * fmax(1, norm(x, n) / sqrt((double)n)) * sqrt((double)n);
    for (size_t i = 0; i < n; i++) {
        way[i] = (float)((double)way[i] / w + (g > 0 ? (double)gradient[i] / g : 0));
        along += (double)way[i] * (double)gradient[i];
    }
    memcpy(at, x, n * sizeof *at);
    for (int step = 1; step <= 2; step++) {
        for (size_t i = 0; i < n; i++)
            x[i] = at[i] + (float)(h / step) * way[i];
        op_case_upload(r);
        int code = objective(r, step == 1 ? &high : &up, e);
        for (size_t i = 0; i < n; i++)
            x[i] = at[i] - (float)(h / step) * way[i];
        op_case_upload(r);
        if (code || objective(r, step == 1 ? &low : &down, e)) {
            free(at);
            free(way);
            return HUGE_VAL;
        }
    }
    memcpy(x, at, n * sizeof *at);
    free(at);
    free(way);
    /* Richardson: the error of second order cancels. */
    double slope = (4 * (up - down) / h - (high - low) / (2 * h)) / 3;
    return fabs(slope - along) / (fabs(along) + 1e-3);
}

static void check_gradients(const struct op_case *c, const char *name)
{
    struct op_case_run r;
    struct err e = {0};
    if (!op_case_has_backward(c))
        return;
    if (op_case_open(&r, c, &ref, &e)) {
        ok(0, "%s: %s", name, e.text);
        return;
    }
    float *gradient[OP_CASE_OPERANDS] = {0};
    for (size_t i = 0; i < r.operands; i++)
        if (r.operand[i].role == OP_INPUT_GRADIENT) {
            gradient[i] = malloc(r.operand[i].n * sizeof(float));
            memcpy(gradient[i], r.host[i], r.operand[i].n * sizeof(float));
        }
    int code = op_case_forward(&r, &e);
    if (!code)
        code = op_case_backward(&r, &e);
    ok(!code, "%s: ref runs%s%s", name, code ? ": " : "", code ? e.text : "");
    op_case_download(&r);
    for (size_t i = 0; i < r.operands; i++) {
        if (!gradient[i])
            continue;
        const float *after = r.host[i];
        for (size_t k = 0; k < r.operand[i].n; k++)
            gradient[i][k] = after[k] - (r.operand[i].accumulates ? gradient[i][k] : 0);
    }
    for (size_t i = 0; i < r.operands; i++)
        if (gradient[i]) {
            double error = slope_error(&r, r.operand[i].of, gradient[i], &e);
            ok(error < slope_close_enough, "%s: %s is the slope (%.1e)", name, r.operand[i].name, error);
            free(gradient[i]);
        }
    op_case_close(&r);
}

static void check_backend(const struct op_case *c, const char *name, struct op_ctx *ctx, const char *isa)
{
    struct op_case_run want, got, again;
    struct err e = {0};
    memset(&got, 0, sizeof got);
    memset(&again, 0, sizeof again);
    int code = op_compare_run(&want, c, &ref, 0, &e);
    if (!code)
        code = op_compare_run(&got, c, ctx, 0, &e);
    if (!code)
        code = op_compare_run(&again, c, ctx, 0, &e);
    double worst = 0;
    const char *where = "";
    if (!code)
        worst = op_compare_distance(&got, &want, &where);
    ok(!code && worst < close_enough, "%s: cpu (%s, %d threads) is ref (%.1e %s)%s%s", name, isa,
       ctx->threads, worst, where, code ? ": " : "", code ? e.text : "");
    ok(code || op_compare_same(&got, &again), "%s: the same bits twice", name);
    op_case_close(&want);
    op_case_close(&got);
    op_case_close(&again);
}

static void check_failures(void)
{
    struct op_ctx ctx;
    struct err e = {0};
    ok(op_open(&ctx, "tpu", 1, 0, &e) == ERR_UNAVAILABLE, "an unknown device is refused: %s", e.text);
    ok(op_open(&ctx, "cpu", 1, 1, &e) == ERR_UNAVAILABLE, "bf16 on the cpu is refused: %s", e.text);
}

/* The cpu backend as it opens here, with two threads, and in the smaller instruction sets. */
struct variant {
    const char *isa;
    int threads;
    const struct op_table *ops; /* NULL: what open chose */
    struct op_ctx ctx;
};

static size_t list_variants(struct variant v[4])
{
    size_t n = 0;
    v[n++] = (struct variant){.isa = cpu_chosen()->isa, .threads = 1};
    v[n++] = (struct variant){.isa = cpu_chosen()->isa, .threads = 2};
    if (cpu_chosen()->ops != &op_cpu_base)
        v[n++] = (struct variant){.isa = "base", .threads = 1, .ops = &op_cpu_base};
#ifdef __x86_64__
    if (cpu_chosen()->ops == &op_cpu_avx512)
        v[n++] = (struct variant){.isa = "avx2", .threads = 1, .ops = &op_cpu_avx2};
#endif
    return n;
}

int main(void)
{
    struct variant cpu[4];
    struct err e = {0};
    size_t variants = list_variants(cpu);
    int code = op_open(&ref, "ref", 1, 0, &e);
    for (size_t k = 0; k < variants && !code; k++) {
        code = op_open(&cpu[k].ctx, "cpu", cpu[k].threads, 0, &e);
        if (cpu[k].ops)
            cpu[k].ctx.ops = cpu[k].ops;
    }
    if (code) {
        ok(0, "open: %s", e.text);
        return tap_done();
    }
    for (size_t i = 0; i < op_case_count; i++) {
        char name[96];
        if (!(op_cases[i].use & OP_CASE_TEST))
            continue;
        op_case_name(op_cases + i, name, sizeof name);
        check_gradients(op_cases + i, name);
        for (size_t k = 0; k < variants; k++)
            check_backend(op_cases + i, name, &cpu[k].ctx, cpu[k].isa);
    }
    check_failures();
    for (size_t k = 0; k < variants; k++)
        op_close(&cpu[k].ctx);
    op_close(&ref);
    return tap_done();
}
