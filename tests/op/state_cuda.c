/* What the cuda backend keeps between operations: bf16 copies of parameters, plans of matrix products, recordings; and that
 * its dropout masks are the CPU's, bit for bit. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/philox.h"
#include "cuda_case.h"
#include "op/op.h"
#include "tap.h"

static struct op_ctx cuda, ref;

static float *random_floats(size_t n, uint64_t stream)
{
    struct philox draw;
    float *x = malloc(n * sizeof *x);
    philox_init(&draw, 5, stream);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)philox_normal(&draw);
    return x;
}

/* n floats on a device, from host numbers. */
static float *placed(struct op_ctx *ctx, size_t n, const float *host)
{
    void *p;
    struct err e = {0};
    if (ctx->ops->alloc(ctx, &p, n * sizeof *host, &e))
        exit(1);
    if (host)
        ctx->ops->upload(ctx, p, host, n * sizeof *host);
    return p;
}

static act *placed_act(struct op_ctx *ctx, size_t n, const float *host)
{
    act *p = placed(ctx, n, NULL);
    if (host)
        ctx->ops->upload_act(ctx, p, host, n);
    return p;
}

/* --- parameters --- */

enum { M = 24, N = 16, K = 32, PARAMETERS = N * K + 64 };

/* A linear layer with the weights at w (N,K) and the bias behind them; to the host. */
static void layer(struct op_ctx *ctx, const float *w, const act *x, act *y, float *out)
{
    struct op_linear p = {.M = M, .N = N, .K = K, .w = w, .bias = w + N * K};
    struct err e = {0};
    ok(!ctx->ops->linear(ctx, &p, x, y, &e), "%s: a layer %s", ctx->ops->name, e.text);
    ctx->ops->download_act(ctx, out, y, M * N);
}

static void check_layer(const float *parameters, const float *x, const float *got, const char *what)
{
    float *p = placed(&ref, PARAMETERS, parameters), want[M * N];
    act *from = placed_act(&ref, M * K, x), *y = placed_act(&ref, M * N, NULL);
    layer(&ref, p, from, y, want);
    ok(tap_distance(got, want, M * N) < 1e-2, "%s (%.1e)", what, tap_distance(got, want, M * N));
    ref.ops->free(&ref, p);
    ref.ops->free(&ref, from);
    ref.ops->free(&ref, y);
}

static void check_parameters(void)
{
    struct err e = {0};
    float *host = random_floats(PARAMETERS, 1), *x = random_floats(M * K, 2),
          *g = random_floats(PARAMETERS, 3), got[M * N];
    float *p = placed(&cuda, PARAMETERS, host), *d = placed(&cuda, PARAMETERS, g);
    float *m = placed(&cuda, PARAMETERS, NULL), *v = placed(&cuda, PARAMETERS, NULL);
    act *from = placed_act(&cuda, M * K, x), *y = placed_act(&cuda, M * N, NULL);
    layer(&cuda, p, from, y, got);
    check_layer(host, x, got, "weights without a copy are rounded for the product");
    ok(!cuda.ops->parameters_changed(&cuda, p, PARAMETERS, &e), "a block gets its copy %s", e.text);
    layer(&cuda, p, from, y, got);
    check_layer(host, x, got, "a layer from the copy");
    struct op_adamw adamw = {.lr = 0.1, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .step = 1};
    cuda.ops->adamw(&cuda, &adamw, PARAMETERS, p, d, m, v);
    layer(&cuda, p, from, y, got);
    cuda.ops->download(&cuda, host, p, PARAMETERS * sizeof *host);
    check_layer(host, x, got, "adamw keeps the copy up to date");
    for (size_t i = N * K / 2; i < N * K; i++)
        host[i] = -host[i];
    cuda.ops->upload(&cuda, p, host, PARAMETERS * sizeof *host);
    ok(!cuda.ops->parameters_changed(&cuda, p + N * K / 2, N * K / 2, &e), "a part of it has changed %s",
       e.text);
    layer(&cuda, p, from, y, got);
    check_layer(host, x, got, "and only that part is rounded again");
    ok(!cuda.ops->parameters_changed(&cuda, p, 0, &e), "the block is forgotten %s", e.text);
    host[0] = 3;
    cuda.ops->upload(&cuda, p, host, PARAMETERS * sizeof *host);
    layer(&cuda, p, from, y, got);
    check_layer(host, x, got, "and rounded for the product again");
    void *all[] = {p, d, m, v, from, y};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        cuda.ops->free(&cuda, all[i]);
    ok(!cuda.ops->check(&cuda, &e), "nothing has failed %s", e.text);
    free(host);
    free(x);
    free(g);
}

/* --- plans --- */

/* More shapes than there is room for, then the first again. */
static void check_plans(void)
{
    enum { SHAPES = 4200, WIDE = 8 };
    struct err e = {0};
    float *x = random_floats((SHAPES + 1) * WIDE, 4), *w = random_floats(WIDE * WIDE, 5), want[2 * WIDE],
          got[2 * WIDE];
    act *from = placed_act(&cuda, (SHAPES + 1) * WIDE, x), *y = placed_act(&cuda, (SHAPES + 1) * WIDE, NULL);
    float *weights = placed(&cuda, WIDE * WIDE, w);
    struct op_linear p = {.M = 2, .N = WIDE, .K = WIDE, .w = weights};
    int code = cuda.ops->linear(&cuda, &p, from, y, &e), same = 1;
    cuda.ops->download_act(&cuda, want, y, 2 * WIDE);
    /* a leading dimension is a shape of its own, and costs no work */
    for (size_t i = 0; i < SHAPES && !code; i++) {
        p.M = 1;
        p.ldx = WIDE + i;
        code = cuda.ops->linear(&cuda, &p, from, y, &e);
        if (i % 1000 == 999) {
            cuda.ops->download_act(&cuda, got, y, WIDE);
            same &= tap_distance(got, want, WIDE) < 1e-2;
        }
    }
    p.M = 2;
    p.ldx = 0;
    if (!code)
        code = cuda.ops->linear(&cuda, &p, from, y, &e);
    cuda.ops->download_act(&cuda, got, y, 2 * WIDE);
    ok(!code && same && !memcmp(got, want, sizeof want),
       "%d shapes of a product, then the first again, with the same bits %s", SHAPES, e.text);
    cuda.ops->free(&cuda, from);
    cuda.ops->free(&cuda, y);
    cuda.ops->free(&cuda, weights);
    free(x);
    free(w);
}

/* --- recordings --- */

/* A layer and what follows it, recorded, on numbers that come later. */
static void check_recording(void)
{
    struct err e = {0};
    void *recording = NULL;
    float *w = random_floats(PARAMETERS, 6), *x = random_floats(M * K, 7), want[M * N], got[M * N];
    float *p = placed(&cuda, PARAMETERS, w);
    act *from = placed_act(&cuda, M * K, NULL), *y = placed_act(&cuda, M * N, NULL),
        *s = placed_act(&cuda, M * N, NULL);
    struct op_linear form = {.M = M, .N = N, .K = K, .w = p, .bias = p + N * K, .relu = 1};
    struct op_dropout drop = {.p = 0.3f, .seed = 9, .stream = 4};
    int code = cuda.ops->parameters_changed(&cuda, p, PARAMETERS, &e);
    for (int pass = 0; pass < 2 && !code; pass++) {
        if (pass)
            code = cuda.ops->record_begin(&cuda, &e);
        if (!code)
            code = cuda.ops->linear(&cuda, &form, from, y, &e);
        cuda.ops->sigmoid(&cuda, M * N, y, s);
        cuda.ops->dropout(&cuda, M * N, &drop, s, s);
    }
    ok(!code && !cuda.ops->record_end(&cuda, &recording, &e),
       "a layer, a sigmoid and a dropout are recorded %s", e.text);
    cuda.ops->upload_act(&cuda, from, x, M * K);
    ok(!cuda.ops->linear(&cuda, &form, from, y, &e), "they run %s", e.text);
    cuda.ops->sigmoid(&cuda, M * N, y, s);
    cuda.ops->dropout(&cuda, M * N, &drop, s, s);
    cuda.ops->download_act(&cuda, want, s, M * N);
    cuda.ops->zero(&cuda, s, M * N * sizeof *want);
    ok(!cuda.ops->record_run(&cuda, recording, &e), "and run again as one %s", e.text);
    cuda.ops->download_act(&cuda, got, s, M * N);
    ok(!memcmp(want, got, sizeof want), "with the same result");
    cuda.ops->record_free(&cuda, recording);
    cuda.ops->parameters_changed(&cuda, p, 0, &e);
    void *all[] = {p, from, y, s};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        cuda.ops->free(&cuda, all[i]);
    free(w);
    free(x);
}

/* --- uploads --- */

/* Many pieces, together more than the pinned memory that they pass through; each is overwritten as soon as it was handed over.
 * Emulated, a copy takes place as late as it may. */
static void check_uploads(void)
{
    static const size_t sizes[] = {1, 63, 64, 65, 1000003, 8388607, 8388608, 8388609, 20000001, 5, 70};
    enum { COUNT = sizeof sizes / sizeof *sizes };
    unsigned char *p[COUNT], *host = malloc(20000001);
    int same = host != NULL;
    setenv("SGAPS_EMULATOR_ORDER", "reversed", 1);
    for (size_t i = 0; i < COUNT && host; i++) {
        p[i] = (unsigned char *)placed(&cuda, sizes[i] / sizeof(float) + 1, NULL);
        for (size_t j = 0; j < sizes[i]; j++)
            host[j] = (unsigned char)(i + 1 + j * 37 / 32);
        cuda.ops->upload(&cuda, p[i], host, sizes[i]);
        memset(host, 0, sizes[i]);
    }
    for (size_t i = 0; i < COUNT && host; i++) {
        cuda.ops->download(&cuda, host, p[i], sizes[i]);
        for (size_t j = 0; j < sizes[i]; j++)
            same &= host[j] == (unsigned char)(i + 1 + j * 37 / 32);
        cuda.ops->free(&cuda, p[i]);
    }
    unsetenv("SGAPS_EMULATOR_ORDER");
    ok(same, "uploads of any size arrive, one behind the other");
    free(host);
}

/* --- masks --- */

/* Ones, so that the result is the mask; from an address that is aligned to nothing. */
static void check_masks(void)
{
    enum { MOST = 10007 };
    static const float probability[] = {0.1f, 0.5f, 0.999f, 0};
    static const size_t sizes[] = {1, 2, 3, 4, 5, 1030, MOST};
    float *ones = malloc((MOST + 1) * sizeof *ones), *want = malloc((MOST + 1) * sizeof *want),
          *got = malloc((MOST + 1) * sizeof *got);
    for (size_t i = 0; i <= MOST; i++)
        ones[i] = 1;
    act *a = placed_act(&cuda, MOST + 1, ones), *to = placed_act(&cuda, MOST + 1, NULL);
    float *b = placed(&ref, MOST + 1, ones), *to_ref = placed(&ref, MOST + 1, NULL);
    size_t element = cuda.bf16 ? 2 : 4;
    int same = 1;
    for (size_t k = 0; k < sizeof probability / sizeof *probability; k++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            for (size_t shift = 0; shift < 2; shift++) {
                struct op_dropout p = {
                    .p = probability[k], .seed = 0xfedcba9876543210u, .stream = 0x123456789u + i};
                cuda.ops->dropout(&cuda, sizes[i], &p, (char *)a + shift * element,
                                  (char *)to + shift * element);
                ref.ops->dropout(&ref, sizes[i], &p, b, to_ref);
                cuda.ops->download_act(&cuda, got, (char *)to + shift * element, sizes[i]);
                ref.ops->download(&ref, want, to_ref, sizes[i] * sizeof *want);
                for (size_t j = 0; j < sizes[i]; j++)
                    same &= (got[j] != 0) == (want[j] != 0) && (cuda.bf16 || got[j] == want[j]);
            }
    ok(same, "%s: masks are the CPU's", cuda.bf16 ? "bf16" : "fp32");
    cuda.ops->free(&cuda, a);
    cuda.ops->free(&cuda, to);
    ref.ops->free(&ref, b);
    ref.ops->free(&ref, to_ref);
    free(ones);
    free(want);
    free(got);
}

/* --- what cannot be --- */

static void check_refusals(void)
{
    struct err e = {0};
    double loss = 1;
    float *x = placed(&cuda, 100, NULL);
    int32_t *index = (int32_t *)(void *)placed(&cuda, 100, NULL);
    const uint8_t *none = (const uint8_t *)placed(&cuda, 100, NULL);
    ok(cuda.ops->loss_ssim(&cuda, 1, 10, 10, 1, x, x, &loss, NULL, &e) == ERR_DATA, "ssim: %s", e.text);
    ok(cuda.ops->loss_gradient(&cuda, 1, 1, 10, 1, x, x, &loss, NULL, &e) == ERR_DATA, "gradient: %s",
       e.text);
    ok(cuda.ops->loss_sampled(&cuda, 1, 5, 100, 1, x, index, x, none, &loss, NULL, &e) == ERR_DATA,
       "sampled: %s", e.text);
    ok(loss >= 1 && loss <= 1, "the loss is as it was");
    struct op_attention huge = {.B = 1 << 16, .heads = 1 << 14, .head = 1, .Tq = 1 << 10, .Tk = 1};
    ok(cuda.ops->attention(&cuda, &huge, x, x, x, x, x, &e) == ERR_DATA, "attention: %s", e.text);
    ok(cuda.ops->attention(&cuda, &huge, x, x, x, x, x, NULL) == ERR_DATA,
       "and without a place for the reason");
    cuda.ops->free(&cuda, x);
    cuda.ops->free(&cuda, index);
    cuda.ops->free(&cuda, (void *)(uintptr_t)none);
}

int main(void)
{
    struct err e = {0};
    if (cuda_case_device(&e)) {
        tap_skip("what the cuda backend keeps", e.text);
        return tap_done();
    }
    if (!ok(!op_open(&ref, "ref", 1, OP_FP32, &e), "ref %s", e.text))
        return tap_done();
    static const enum op_precision precisions[] = {OP_FP32, OP_TF32, OP_BF16};
    for (size_t i = 0; i < sizeof precisions / sizeof *precisions; i++) {
        if (!ok(!op_open(&cuda, "cuda", 1, precisions[i], &e), "cuda opens %s", e.text))
            continue;
        check_parameters();
        check_recording();
        check_masks();
        if (cuda.bf16) {
            check_uploads();
            check_plans();
            check_refusals();
        }
        ok(!cuda.ops->check(&cuda, &e), "nothing has failed %s", e.text);
        op_close(&cuda);
    }
    op_close(&ref);
    return tap_done();
}
