/* The AdamW operation on given gradients. Without arguments against the formula in double; `adamw BACKEND N STEPS` reads
 * the parameters and the gradients of every step (float32) from standard input and writes the parameters after each,
 * for adamw_torch.t. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/philox.h"
#include "op/op.h"
#include "tap.h"

static const struct op_adamw settings = {
    .lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.01};

static float *device_room(struct op_ctx *ctx, size_t n)
{
    struct err e;
    void *p;
    if (ctx->ops->alloc(ctx, &p, n * sizeof(float), &e))
        abort();
    return p;
}

static int serve(const char *backend, size_t n, int64_t steps)
{
    struct op_ctx ctx;
    struct err e;
    if (op_open(&ctx, backend, 1, 0, &e))
        return e.code;
    float *host = malloc(n * sizeof(float)), *p = device_room(&ctx, n), *g = device_room(&ctx, n),
          *m = device_room(&ctx, n), *v = device_room(&ctx, n);
    int good = fread(host, sizeof(float), n, stdin) == n;
    ctx.ops->upload(&ctx, p, host, n * sizeof(float));
    for (int64_t step = 1; good && step <= steps; step++) {
        struct op_adamw a = settings;
        a.step = step;
        good = fread(host, sizeof(float), n, stdin) == n;
        ctx.ops->upload(&ctx, g, host, n * sizeof(float));
        ctx.ops->adamw(&ctx, &a, n, p, g, m, v);
        ctx.ops->download(&ctx, host, p, n * sizeof(float));
        good = good && fwrite(host, sizeof(float), n, stdout) == n;
    }
    float *blocks[] = {p, g, m, v};
    for (int i = 0; i < 4; i++)
        ctx.ops->free(&ctx, blocks[i]);
    free(host);
    op_close(&ctx);
    return !good;
}

/* torch.optim.AdamW on one number, in double. */
static double formula(double p, const double *g, int steps)
{
    double m = 0, v = 0;
    for (int t = 1; t <= steps; t++) {
        m = 0.9 * m + 0.1 * g[t - 1];
        v = 0.999 * v + 0.001 * g[t - 1] * g[t - 1];
        p -= 1e-3 * 0.01 * p;
        p -= 1e-3 * (m / (1 - pow(0.9, t))) / (sqrt(v / (1 - pow(0.999, t))) + 1e-8);
    }
    return p;
}

static void test_formula(const char *backend)
{
    enum { N = 1003, STEPS = 5 };
    static float host[N], start[N], gradient[STEPS][N], want[N];
    struct op_ctx ctx;
    struct err e;
    struct philox random;
    if (!ok(!op_open(&ctx, backend, 1, 0, &e), "%s opens", backend))
        return;
    philox_init(&random, 1, 1);
    for (size_t i = 0; i < N; i++) {
        double g[STEPS];
        start[i] = (float)philox_normal(&random);
        for (int t = 0; t < STEPS; t++)
            g[t] = (double)(gradient[t][i] =
                                (float)(pow(10, 4 * philox_uniform(&random) - 5) * philox_normal(&random)));
        want[i] = (float)formula((double)start[i], g, STEPS);
    }
    float *p = device_room(&ctx, N), *g = device_room(&ctx, N), *m = device_room(&ctx, N),
          *v = device_room(&ctx, N);
    ctx.ops->upload(&ctx, p, start, sizeof start);
    for (int t = 0; t < STEPS; t++) {
        struct op_adamw a = settings;
        a.step = t + 1;
        ctx.ops->upload(&ctx, g, gradient[t], sizeof gradient[t]);
        ctx.ops->adamw(&ctx, &a, N, p, g, m, v);
    }
    ctx.ops->download(&ctx, host, p, sizeof host);
    double worst = 0;
    for (size_t i = 0; i < N; i++)
        worst = fmax(worst, fabs((double)host[i] - (double)want[i]));
    ok(tap_distance(host, want, N) < 1e-6 && worst < 1e-6, "%s: %d AdamW steps, off by at most %.1e", backend,
       STEPS, worst);
    float *blocks[] = {p, g, m, v};
    for (int i = 0; i < 4; i++)
        ctx.ops->free(&ctx, blocks[i]);
    op_close(&ctx);
}

int main(int argc, char **argv)
{
    if (argc == 4)
        return serve(argv[1], (size_t)strtoull(argv[2], NULL, 10), strtoll(argv[3], NULL, 10));
    test_formula("ref");
    test_formula("cpu");
    return tap_done();
}
