/* Tokens: positions, pixels, and rows that move, are summed or shared. */
#include <math.h>

#include "op/ref/ref.h"

/* Feature d of D: the first half belongs to u, the second to v; sin and cos of each frequency in turn. The angle is
 * rounded as torch rounds it. */
static double position_feature(const float *uv, const float *freqs, size_t D, size_t d)
{
    size_t half = D / 2, at = d % half;
    float angle = (float)(2 * M_PI) * freqs[at / 2] * uv[d / half];
    return at % 2 ? cos((double)angle) : sin((double)angle);
}

void ref_position_encode(struct op_ctx *ctx, size_t rows, size_t D, const float *uv, const float *freqs,
                         act *y)
{
    (void)ctx;
    for (size_t r = 0; r < rows; r++)
        for (size_t d = 0; d < D; d++)
            ((float *)y)[r * D + d] = (float)position_feature(uv + 2 * r, freqs, D, d);
}

void ref_embed_pixels(struct op_ctx *ctx, size_t B, size_t N, size_t D, const float *pixels,
                      const int32_t *counts, const float *w, const float *bias, const float *freqs,
                      act *tokens)
{
    (void)ctx;
    for (size_t b = 0; b < B; b++)
        for (size_t n = 0; n < N; n++) {
            const float *pixel = pixels + (b * N + n) * 3;
            float *y = (float *)tokens + (b * (N + 1) + 1 + n) * D;
            int valid = !counts || n < (size_t)counts[b];
            for (size_t d = 0; d < D; d++) {
                double sum = (double)bias[d];
                for (size_t i = 0; i < 3; i++)
                    sum += (double)w[d * 3 + i] * (double)pixel[i];
                y[d] = valid ? (float)(sum + position_feature(pixel, freqs, D, d)) : 0;
            }
        }
}

void ref_embed_pixels_backward(struct op_ctx *ctx, size_t B, size_t N, size_t D, const float *pixels,
                               const int32_t *counts, const act *dtokens, float *dw, float *dbias)
{
    (void)ctx;
    for (size_t d = 0; d < D; d++) {
        double sum[4] = {0};
        for (size_t b = 0; b < B; b++)
            for (size_t n = 0; n < (counts ? (size_t)counts[b] : N); n++) {
                double dy = (double)((const float *)dtokens)[(b * (N + 1) + 1 + n) * D + d];
                for (size_t i = 0; i < 3; i++)
                    sum[i] += dy * (double)pixels[(b * N + n) * 3 + i];
                sum[3] += dy;
            }
        for (size_t i = 0; i < 3; i++)
            dw[d * 3 + i] = (float)((double)dw[d * 3 + i] + sum[i]);
        dbias[d] = (float)((double)dbias[d] + sum[3]);
    }
}

void ref_copy_rows(struct op_ctx *ctx, size_t rows, size_t n, const act *src, size_t lds, act *dst,
                   size_t ldd, int accumulate)
{
    (void)ctx;
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < n; i++) {
            float x = ((const float *)src)[r * lds + i], *y = (float *)dst + r * ldd + i;
            *y = accumulate ? *y + x : x;
        }
}

void ref_mean_tokens(struct op_ctx *ctx, size_t B, size_t T, size_t D, const int32_t *counts,
                     const act *tokens, act *mean)
{
    (void)ctx;
    for (size_t b = 0; b < B; b++)
        for (size_t d = 0; d < D; d++) {
            size_t n = counts ? (size_t)counts[b] : T - 1;
            double sum = 0;
            for (size_t t = 1; t <= n; t++)
                sum += (double)((const float *)tokens)[(b * T + t) * D + d];
            ((float *)mean)[b * D + d] = (float)(sum / (double)n);
        }
}

void ref_mean_tokens_backward(struct op_ctx *ctx, size_t B, size_t T, size_t D, const int32_t *counts,
                              const act *dmean, act *dtokens)
{
    (void)ctx;
    for (size_t b = 0; b < B; b++) {
        size_t n = counts ? (size_t)counts[b] : T - 1;
        for (size_t t = 1; t <= n; t++)
            for (size_t d = 0; d < D; d++) {
                float *to = (float *)dtokens + (b * T + t) * D + d;
                *to = (float)((double)*to + (double)((const float *)dmean)[b * D + d] / (double)n);
            }
    }
}

void ref_add_frame_row(struct op_ctx *ctx, size_t B, size_t T, size_t D, float weight, const act *row, act *x)
{
    (void)ctx;
    for (size_t b = 0; b < B; b++)
        for (size_t t = 0; t < T; t++)
            for (size_t d = 0; d < D; d++)
                ((float *)x)[(b * T + t) * D + d] += weight * ((const float *)row)[b * D + d];
}

void ref_add_frame_row_backward(struct op_ctx *ctx, size_t B, size_t T, size_t D, float weight, const act *dx,
                                act *drow)
{
    (void)ctx;
    for (size_t b = 0; b < B; b++)
        for (size_t d = 0; d < D; d++) {
            double sum = 0;
            for (size_t t = 0; t < T; t++)
                sum += (double)((const float *)dx)[(b * T + t) * D + d];
            ((float *)drow)[b * D + d] = (float)((double)weight * sum);
        }
}

void ref_sum_frames(struct op_ctx *ctx, size_t B, size_t n, const act *x, act *y)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (size_t b = 0; b < B; b++)
            sum += (double)((const float *)x)[b * n + i];
        ((float *)y)[i] = (float)sum;
    }
}
