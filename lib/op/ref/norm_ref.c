/* Batch norm over the rows of each channel, layer norm over the channels of each row. */
#include <math.h>

#include "op/ref/ref.h"

static void channel_statistics(const struct op_batch_norm *p, const float *x, size_t c, double *mean,
                               double *var)
{
    double sum = 0, square = 0;
    for (size_t r = 0; r < p->rows; r++)
        sum += (double)x[r * p->C + c];
    *mean = sum / (double)p->rows;
    for (size_t r = 0; r < p->rows; r++)
        square += ((double)x[r * p->C + c] - *mean) * ((double)x[r * p->C + c] - *mean);
    *var = square / (double)p->rows;
}

static void normalise_channel(const struct op_batch_norm *p, const float *x, float *y, size_t c, double mean,
                              double rstd)
{
    const float *residual = p->residual;
    for (size_t r = 0; r < p->rows; r++) {
        size_t at = r * p->C + c;
        double z = ((double)x[at] - mean) * rstd * (double)p->gamma[c] + (double)p->beta[c];
        if (residual)
            z += (double)residual[at];
        y[at] = p->relu && z < 0 ? 0 : (float)z;
    }
}

void ref_batch_norm(struct op_ctx *ctx, const struct op_batch_norm *p, const act *x, act *y, float *mean,
                    float *rstd, float *running_mean, float *running_var)
{
    (void)ctx;
    double momentum = (double)p->momentum, rows = (double)p->rows;
    for (size_t c = 0; c < p->C; c++) {
        double m, var;
        channel_statistics(p, x, c, &m, &var);
        mean[c] = (float)m;
        rstd[c] = (float)(1 / sqrt(var + (double)p->eps));
        double unbiased = p->rows > 1 ? var * rows / (rows - 1) : var;
        running_mean[c] = (float)((1 - momentum) * (double)running_mean[c] + momentum * m);
        running_var[c] = (float)((1 - momentum) * (double)running_var[c] + momentum * unbiased);
        normalise_channel(p, x, y, c, m, 1 / sqrt(var + (double)p->eps));
    }
}

void ref_batch_norm_infer(struct op_ctx *ctx, const struct op_batch_norm *p, const act *x, act *y,
                          const float *running_mean, const float *running_var)
{
    (void)ctx;
    for (size_t c = 0; c < p->C; c++)
        normalise_channel(p, x, y, c, (double)running_mean[c],
                          1 / sqrt((double)running_var[c] + (double)p->eps));
}

void ref_batch_norm_backward(struct op_ctx *ctx, const struct op_batch_norm *p, const act *xv, const act *yv,
                             const float *mean, const float *rstd, const act *dyv, act *dxv, act *dresidualv,
                             float *dgamma, float *dbeta)
{
    (void)ctx;
    const float *x = xv, *y = yv, *dy = dyv;
    float *dx = dxv, *dresidual = dresidualv;
    for (size_t c = 0; c < p->C; c++) {
        double m = (double)mean[c], s = (double)rstd[c], sum = 0, product = 0;
        for (size_t r = 0; r < p->rows; r++) {
            size_t at = r * p->C + c;
            double d = p->relu && y[at] <= 0 ? 0 : (double)dy[at];
            sum += d;
            product += d * ((double)x[at] - m) * s;
        }
        for (size_t r = 0; r < p->rows; r++) {
            size_t at = r * p->C + c;
            double d = p->relu && y[at] <= 0 ? 0 : (double)dy[at], normal = ((double)x[at] - m) * s;
            if (dresidual)
                dresidual[at] = (float)d;
            dx[at] = (float)((double)p->gamma[c] * s * (d - (sum + normal * product) / (double)p->rows));
        }
        dgamma[c] = (float)((double)dgamma[c] + product);
        dbeta[c] = (float)((double)dbeta[c] + sum);
    }
}

void ref_layer_norm(struct op_ctx *ctx, size_t rows, size_t D, size_t ldy, const act *xv, const float *gamma,
                    const float *beta, act *yv, float *mean, float *rstd)
{
    (void)ctx;
    for (size_t r = 0; r < rows; r++) {
        const float *x = (const float *)xv + r * D;
        float *y = (float *)yv + r * (ldy ? ldy : D);
        double sum = 0, square = 0;
        for (size_t d = 0; d < D; d++)
            sum += (double)x[d];
        double m = sum / (double)D;
        for (size_t d = 0; d < D; d++)
            square += ((double)x[d] - m) * ((double)x[d] - m);
        double s = 1 / sqrt(square / (double)D + 1e-5);
        mean[r] = (float)m;
        rstd[r] = (float)s;
        for (size_t d = 0; d < D; d++)
            y[d] = (float)(((double)x[d] - m) * s * (double)gamma[d] + (double)beta[d]);
    }
}

void ref_layer_norm_backward(struct op_ctx *ctx, size_t rows, size_t D, size_t lddy, const act *xv,
                             const float *gamma, const float *mean, const float *rstd, const act *dyv,
                             act *dxv, int accumulate, float *dgamma, float *dbeta)
{
    (void)ctx;
    const float *x = xv, *dy = dyv;
    float *dx = dxv;
    size_t ld = lddy ? lddy : D;
    for (size_t d = 0; d < D; d++) {
        double scale = 0, shift = 0;
        for (size_t r = 0; r < rows; r++) {
            scale += (double)dy[r * ld + d] * ((double)x[r * D + d] - (double)mean[r]) * (double)rstd[r];
            shift += (double)dy[r * ld + d];
        }
        dgamma[d] = (float)((double)dgamma[d] + scale);
        dbeta[d] = (float)((double)dbeta[d] + shift);
    }
    for (size_t r = 0; r < rows; r++) {
        double m = (double)mean[r], s = (double)rstd[r], sum = 0, product = 0;
        for (size_t d = 0; d < D; d++) {
            double g = (double)dy[r * ld + d] * (double)gamma[d];
            sum += g;
            product += g * ((double)x[r * D + d] - m) * s;
        }
        for (size_t d = 0; d < D; d++) {
            double g = (double)dy[r * ld + d] * (double)gamma[d], normal = ((double)x[r * D + d] - m) * s;
            double z = s * (g - (sum + normal * product) / (double)D);
            dx[r * D + d] = (float)(accumulate ? (double)dx[r * D + d] + z : z);
        }
    }
}
