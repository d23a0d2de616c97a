/* 3x3 convolution through the patch around each pixel, laid out as torch's weights are: channel, then row, then
 * column; zero outside the image. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "op/ref/ref.h"

static void gather(const struct op_conv *p, const float *image, size_t y, size_t x, float *patch)
{
    for (size_t t = 0; t < 9; t++) {
        size_t yy = y + t / 3, xx = x + t % 3; /* one more than the place: no negative numbers */
        int inside = yy >= 1 && yy <= p->H && xx >= 1 && xx <= p->W;
        const float *from = inside ? image + ((yy - 1) * p->W + xx - 1) * p->C : NULL;
        for (size_t c = 0; c < p->C; c++)
            patch[c * 9 + t] = from ? from[c] : 0;
    }
}

int ref_conv3x3(struct op_ctx *ctx, const struct op_conv *p, const act *xv, act *yv, struct err *e)
{
    (void)ctx;
    const float *x = xv, *residual = p->residual;
    float *out = yv, *patch;
    size_t n = 9 * p->C, pixels = p->H * p->W;
    int r = mem_alloc(&patch, n, sizeof *patch, "a patch", e);
    if (r)
        return r;
    for (size_t at = 0; at < p->B * pixels; at++) {
        size_t b = at / pixels, i = at % pixels;
        gather(p, x + b * pixels * p->C, i / p->W, i % p->W, patch);
        for (size_t o = 0; o < p->O; o++) {
            const float *w = p->w + o * n;
            double sum = p->bias ? (double)p->bias[o] : 0;
#pragma omp simd reduction(+ : sum)
            for (size_t k = 0; k < n; k++)
                sum += (double)patch[k] * (double)w[k];
            if (residual)
                sum += (double)residual[at * p->O + o];
            out[at * p->O + o] = p->relu && sum < 0 ? 0 : (float)sum;
        }
    }
    free(patch);
    return 0;
}

/* Adds the gradient of one pixel's patch to the image's. */
static void scatter(const struct op_conv *p, const double *patch, size_t y, size_t x, double *image)
{
    for (size_t t = 0; t < 9; t++) {
        size_t yy = y + t / 3, xx = x + t % 3;
        if (yy < 1 || yy > p->H || xx < 1 || xx > p->W)
            continue;
        double *to = image + ((yy - 1) * p->W + xx - 1) * p->C;
        for (size_t c = 0; c < p->C; c++)
            to[c] += patch[c * 9 + t];
    }
}

int ref_conv3x3_backward_data(struct op_ctx *ctx, const struct op_conv *p, const act *dyv, act *dxv,
                              struct err *e)
{
    (void)ctx;
    const float *dy = dyv, *residual = p->residual;
    float *dx = dxv;
    size_t n = 9 * p->C, pixels = p->H * p->W, size = pixels * p->C;
    double *image, *patch;
    int r = mem_alloc(&image, size + n, sizeof *image, "an image of sums", e);
    if (r)
        return r;
    patch = image + size;
    for (size_t b = 0; b < p->B; b++) {
        memset(image, 0, size * sizeof *image);
        for (size_t i = 0; i < pixels; i++) {
            memset(patch, 0, n * sizeof *patch);
            for (size_t o = 0; o < p->O; o++) {
                const float *w = p->w + o * n;
                double d = (double)dy[(b * pixels + i) * p->O + o];
#pragma omp simd
                for (size_t k = 0; k < n; k++)
                    patch[k] += d * (double)w[k];
            }
            scatter(p, patch, i / p->W, i % p->W, image);
        }
        for (size_t k = 0; k < size; k++)
            dx[b * size + k] = (float)(image[k] + (residual ? (double)residual[b * size + k] : 0));
    }
    free(image);
    return 0;
}

int ref_conv3x3_backward_weight(struct op_ctx *ctx, const struct op_conv *p, const act *xv, const act *dyv,
                                float *dw, float *dbias, struct err *e)
{
    (void)ctx;
    const float *x = xv, *dy = dyv;
    size_t n = 9 * p->C, pixels = p->H * p->W;
    double *sum;
    float *patch;
    int r = mem_alloc(&sum, p->O * (n + 1), sizeof *sum, "gradients of weights", e);
    if (r)
        return r;
    r = mem_alloc(&patch, n, sizeof *patch, "a patch", e);
    if (r) {
        free(sum);
        return r;
    }
    double *bias = sum + p->O * n;
    for (size_t at = 0; at < p->B * pixels; at++) {
        size_t b = at / pixels, i = at % pixels;
        gather(p, x + b * pixels * p->C, i / p->W, i % p->W, patch);
        for (size_t o = 0; o < p->O; o++) {
            double *to = sum + o * n, d = (double)dy[at * p->O + o];
            bias[o] += d;
#pragma omp simd
            for (size_t k = 0; k < n; k++)
                to[k] += d * (double)patch[k];
        }
    }
    for (size_t k = 0; k < p->O * n; k++)
        dw[k] = (float)((double)dw[k] + sum[k]);
    for (size_t o = 0; dbias && o < p->O; o++)
        dbias[o] = (float)((double)dbias[o] + bias[o]);
    free(patch);
    free(sum);
    return 0;
}
