/* Arrays of more than 2^31 elements and 2^32 bytes on a GPU: all rows are zero but the last, whose results are those that these
 * rows have by themselves, and the first ones' those of zeros. Emulated, the same with few rows. */
#include <stdlib.h>

#include "base/philox.h"
#include "cuda_case.h"
#include "op/op.h"
#include "tap.h"

enum { N = 1024, K = 64, LAST = 67, C = 16, O = 256 };

static struct op_ctx ctx;

static void *memory(size_t bytes)
{
    struct err e = {0};
    void *p;
    if (ctx.ops->alloc(&ctx, &p, bytes, &e)) { /* zeroed */
        ok(0, "memory: %s", e.text);
        exit(tap_done());
    }
    return p;
}

static act *at(act *p, size_t i)
{
    return (char *)p + 2 * i;
}

static void draw(float *x, size_t n, uint64_t stream)
{
    struct philox from;
    philox_init(&from, 11, stream);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)philox_normal(&from);
}

static float *parameters(size_t n, uint64_t stream)
{
    float *host = malloc(n * sizeof *host), *p = memory(n * sizeof *p);
    draw(host, n, stream);
    ctx.ops->upload(&ctx, p, host, n * sizeof *host);
    free(host);
    return p;
}

/* n activations, zero but for the last `last`. */
static act *mostly_zero(size_t n, size_t last, uint64_t stream)
{
    float *host = malloc(last * sizeof *host);
    act *p = memory(n * 2);
    draw(host, last, stream);
    ctx.ops->upload_act(&ctx, at(p, n - last), host, last);
    free(host);
    return p;
}

/* n elements of both. */
static void same(const act *have, const act *want, size_t n, const char *what)
{
    struct err e = {0};
    float *a = malloc(n * sizeof *a), *b = malloc(n * sizeof *b);
    ctx.ops->download_act(&ctx, a, have, n);
    ctx.ops->download_act(&ctx, b, want, n);
    int code = ctx.ops->check(&ctx, &e);
    ok(!code && tap_distance(a, b, n) < 1e-2, "%s (%.1e) %s", what, tap_distance(a, b, n), e.text);
    free(a);
    free(b);
}

/* The last rows of `all` (rows of N) against `last`, and its first against `zero`. */
static void ends(act *all, size_t rows, const act *last, const act *zero, const char *what)
{
    char text[80];
    snprintf(text, sizeof text, "%s: the last rows", what);
    same(at(all, (rows - LAST) * N), last, LAST * N, text);
    snprintf(text, sizeof text, "%s: the first", what);
    same(all, zero, LAST * N, text);
}

/* A linear layer, ReLU's gradient in place, layer norm, and the gradient of the layer's bias. */
static void check_rows(size_t M)
{
    struct err e = {0};
    act *x = mostly_zero(M * K, LAST * K, 1), *zeros = memory(LAST * K * 2);
    act *y = memory(M * N * 2), *last = memory(LAST * N * 2), *zero = memory(LAST * N * 2);
    struct op_linear p = {.N = N, .K = K, .relu = 1, .w = parameters(N * K, 2), .bias = parameters(N, 3)};
    float *norm = memory(2 * M * sizeof *norm), *sums = memory(2 * N * sizeof *sums), *dw, host[2 * N];
    dw = memory((size_t)N * K * sizeof *dw);
    act *const from[] = {x, at(x, (M - LAST) * K), zeros}, *const to[] = {y, last, zero};
    const size_t rows[] = {M, LAST, LAST};
    for (int i = 0; i < 3; i++) {
        p.M = rows[i];
        ok(!ctx.ops->linear(&ctx, &p, from[i], to[i], &e), "a linear layer of %zu rows %s", rows[i], e.text);
    }
    ends(y, M, last, zero, "linear");
    for (int i = 0; i < 3; i++)
        ctx.ops->relu_backward(&ctx, rows[i] * N, 1.25f, to[i], to[i], to[i]);
    ends(y, M, last, zero, "relu_backward");
    for (int i = 0; i < 3; i++) /* on to themselves: doubled */
        ctx.ops->copy_rows(&ctx, rows[i], N, to[i], N, to[i], N, 1);
    ends(y, M, last, zero, "copy_rows");
    /* column sums of all are those of the last rows, and M - LAST times those of a row of zeros' */
    p.M = M;
    ok(!ctx.ops->linear_backward_weight(&ctx, &p, x, y, dw, sums, &e), "gradients of weights %s", e.text);
    p.M = LAST;
    ok(!ctx.ops->linear_backward_weight(&ctx, &p, at(x, (M - LAST) * K), last, dw, sums + N, &e),
       "and of the last rows %s", e.text);
    ctx.ops->download(&ctx, host, sums, sizeof host);
    float *row = malloc(N * sizeof *row);
    ctx.ops->download_act(&ctx, row, zero, N);
    for (size_t i = 0; i < N; i++)
        row[i] = (float)((double)host[N + i] + (double)(M - LAST) * (double)row[i]);
    ok(tap_distance(host, row, N) < 1e-4, "sums over the rows (%.1e)", tap_distance(host, row, N));
    free(row);
    act *const normed[] = {memory(M * N * 2), memory(LAST * N * 2), memory(LAST * N * 2)};
    for (int i = 0; i < 3; i++) /* gamma is the bias, too */
        ctx.ops->layer_norm(&ctx, rows[i], N, 0, to[i], p.bias, p.bias, normed[i], norm, norm + M);
    ends(normed[0], M, normed[1], normed[2], "layer_norm");
    void *const all[] = {x,           zeros,          y,         last,      zero,     norm, sums, dw,
                         (void *)p.w, (void *)p.bias, normed[0], normed[1], normed[2]};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        ctx.ops->free(&ctx, all[i]);
}

static void check_convolution(size_t B, size_t side)
{
    struct err e = {0};
    size_t pixels = side * side;
    act *x = mostly_zero(B * pixels * C, pixels * C, 4), *y = memory(B * pixels * O * 2),
        *last = memory(pixels * O * 2);
    struct op_conv p = {.B = B, .H = side, .W = side, .C = C, .O = O, .w = parameters((size_t)O * C * 9, 5)};
    ok(!ctx.ops->conv3x3(&ctx, &p, x, y, &e), "a convolution of %zu frames %s", B, e.text);
    p.B = 1;
    ok(!ctx.ops->conv3x3(&ctx, &p, at(x, (B - 1) * pixels * C), last, &e), "and of one %s", e.text);
    same(at(y, (B - 1) * pixels * O), last, pixels * O, "conv3x3: the last frame");
    ctx.ops->zero(&ctx, last, pixels * O * 2);
    same(y, last, pixels * O, "conv3x3: the first");
    void *const all[] = {x, y, last, (void *)p.w};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        ctx.ops->free(&ctx, all[i]);
}

int main(void)
{
    struct err e = {0};
    size_t available, total;
    if (cuda_case_device(&e)) {
        tap_skip("large arrays on a CUDA device", e.text);
        return tap_done();
    }
    if (!ok(!op_open(&ctx, "cuda", 1, OP_BF16, &e), "cuda opens %s", e.text))
        return tap_done();
    ctx.ops->memory(&ctx, &available, &total);
    int small = cuda_case_emulated() || available < (size_t)16 << 30;
    if (small && !cuda_case_emulated())
        tap_diag("less than 16 GiB are free: with few rows only");
    check_rows(small ? 1003 : ((size_t)1 << 21) + 3001);
    check_convolution(small ? 2 : 171, small ? 12 : 224);
    op_close(&ctx);
    return tap_done();
}
