/* Matrix products. The `simd reduction` sums in a fixed order of its own, always the same for one build. */
#include <stdlib.h>

#include "base/mem.h"
#include "op/ref/ref.h"

static size_t or_else(size_t given, size_t otherwise)
{
    return given ? given : otherwise;
}

int ref_linear(struct op_ctx *ctx, const struct op_linear *p, const act *xv, act *yv, struct err *e)
{
    (void)ctx;
    (void)e;
    const float *x = xv, *residual = p->residual;
    float *y = yv;
    size_t ldx = or_else(p->ldx, p->K), ldy = or_else(p->ldy, p->N), ldr = or_else(p->ldr, p->N);
    size_t cycle = or_else(p->residual_rows, p->M);
    for (size_t m = 0; m < p->M; m++)
        for (size_t n = 0; n < p->N; n++) {
            const float *row = x + m * ldx, *w = p->w + n * p->K;
            double sum = 0;
#pragma omp simd reduction(+ : sum)
            for (size_t k = 0; k < p->K; k++)
                sum += (double)row[k] * (double)w[k];
            if (p->bias)
                sum += (double)p->bias[n];
            if (p->relu && sum < 0)
                sum = 0;
            sum *= (double)ref_dropout_factor(&p->dropout, m * p->N + n);
            if (residual)
                sum += (double)residual[m % cycle * ldr + n];
            y[m * ldy + n] = (float)sum;
        }
    return 0;
}

int ref_linear_backward_data(struct op_ctx *ctx, const struct op_linear *p, const act *dyv, act *dxv,
                             int accumulate, struct err *e)
{
    (void)ctx;
    const float *dy = dyv;
    float *dx = dxv;
    size_t ldx = or_else(p->ldx, p->K), ldy = or_else(p->ldy, p->N);
    double *sum;
    int r = mem_alloc(&sum, p->K, sizeof *sum, "a row of sums", e);
    if (r)
        return r;
    for (size_t m = 0; m < p->M; m++) {
        for (size_t k = 0; k < p->K; k++)
            sum[k] = accumulate ? (double)dx[m * ldx + k] : 0;
        for (size_t n = 0; n < p->N; n++) {
            const float *w = p->w + n * p->K;
            double d = (double)dy[m * ldy + n];
#pragma omp simd
            for (size_t k = 0; k < p->K; k++)
                sum[k] += d * (double)w[k];
        }
        for (size_t k = 0; k < p->K; k++)
            dx[m * ldx + k] = (float)sum[k];
    }
    free(sum);
    return 0;
}

int ref_linear_backward_weight(struct op_ctx *ctx, const struct op_linear *p, const act *xv, const act *dyv,
                               float *dw, float *dbias, struct err *e)
{
    (void)ctx;
    const float *x = xv, *dy = dyv;
    size_t ldx = or_else(p->ldx, p->K), ldy = or_else(p->ldy, p->N);
    double *sum;
    int r = mem_alloc(&sum, p->K, sizeof *sum, "a row of sums", e);
    if (r)
        return r;
    for (size_t n = 0; n < p->N; n++) {
        double bias = 0;
        for (size_t k = 0; k < p->K; k++)
            sum[k] = 0;
        for (size_t m = 0; m < p->M; m++) {
            const float *row = x + m * ldx;
            double d = (double)dy[m * ldy + n];
            bias += d;
#pragma omp simd
            for (size_t k = 0; k < p->K; k++)
                sum[k] += d * (double)row[k];
        }
        for (size_t k = 0; k < p->K; k++)
            dw[n * p->K + k] = (float)((double)dw[n * p->K + k] + sum[k]);
        if (dbias)
            dbias[n] = (float)((double)dbias[n] + bias);
    }
    free(sum);
    return 0;
}
