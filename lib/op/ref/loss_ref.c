/* Losses and their gradients. Each adds weight * loss to *loss, and to dpred where there is one. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "op/ref/ref.h"

static void add_to(float *x, double d)
{
    *x = (float)((double)*x + d);
}

static double sign_of(double x)
{
    return (double)((x > 0) - (x < 0));
}

int ref_loss_pixels(struct op_ctx *ctx, enum op_pixel_loss kind, size_t n, double weight, const float *pred,
                    const float *target, double *loss, float *dpred, struct err *e)
{
    (void)ctx;
    (void)e;
    const double eps = 1e-3; /* of the charbonnier loss, sqrt(d^2 + eps^2) */
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)pred[i] - (double)target[i], slope = 0;
        switch (kind) {
        case OP_LOSS_L1:
            sum += fabs(d);
            slope = sign_of(d);
            break;
        case OP_LOSS_L2:
            sum += d * d;
            slope = 2 * d;
            break;
        case OP_LOSS_CHARBONNIER:
            sum += sqrt(d * d + eps * eps);
            slope = d / sqrt(d * d + eps * eps);
            break;
        }
        if (dpred)
            add_to(dpred + i, weight * slope / (double)n);
    }
    *loss += weight * sum / (double)n;
    return 0;
}

int ref_loss_nll(struct op_ctx *ctx, size_t n, double weight, const float *pred, const float *z,
                 const float *target, double *loss, float *dpred, float *dz, struct err *e)
{
    (void)ctx;
    (void)e;
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)pred[i] - (double)target[i], x = (double)z[i];
        double b = fmax(x, 0) + log1p(exp(-fabs(x))) + (double)OP_SCALE_LEAST;
        sum += fabs(d) / b + log(2 * b);
        if (dpred)
            add_to(dpred + i, weight * sign_of(d) / b / (double)n);
        if (dz) /* by b, times the slope of softplus */
            add_to(dz + i, weight * (1 - fabs(d) / b) / b / (1 + exp(-x)) / (double)n);
    }
    *loss += weight * sum / (double)n;
    return 0;
}

int ref_loss_sampled(struct op_ctx *ctx, size_t B, size_t N, size_t pixels, double weight, const float *pred,
                     const int32_t *index, const float *value, const uint8_t *select, double *loss,
                     float *dpred, struct err *e)
{
    (void)ctx;
    size_t selected = 0;
    double sum = 0;
    for (size_t i = 0; i < B * N; i++)
        selected += select[i] != 0;
    if (!selected)
        return err_set(e, ERR_DATA, "a loss over samples needs at least one sample");
    for (size_t i = 0; i < B * N; i++) {
        if (!select[i])
            continue;
        size_t at = i / N * pixels + (size_t)index[i];
        double d = (double)pred[at] - (double)value[i];
        sum += d * d;
        if (dpred)
            add_to(dpred + at, weight * 2 * d / (double)selected);
    }
    *loss += weight * sum / (double)selected;
    return 0;
}

enum { WINDOW = 11 };

/* Gaussian of sigma 1.5, normalised; its square is the window. */
static void gaussian(double tap[WINDOW])
{
    double sum = 0;
    for (int i = 0; i < WINDOW; i++)
        sum += tap[i] = exp(-(double)((i - 5) * (i - 5)) / (2 * 1.5 * 1.5));
    for (int i = 0; i < WINDOW; i++)
        tap[i] /= sum;
}

/* SSIM of the window whose corner is (y,x), and what its gradient by pred pixel k is made of:
 * tap_k (slope[0] + slope[1] pred_k + slope[2] target_k). */
static double ssim_window(const double tap[WINDOW], const float *pred, const float *target, size_t W,
                          double slope[3])
{
    const double c1 = 0.01 * 0.01, c2 = 0.03 * 0.03;
    double x1 = 0, y1 = 0, xx = 0, yy = 0, xy = 0;
    for (size_t i = 0; i < WINDOW; i++)
        for (size_t j = 0; j < WINDOW; j++) {
            double t = tap[i] * tap[j], x = (double)pred[i * W + j], y = (double)target[i * W + j];
            x1 += t * x;
            y1 += t * y;
            xx += t * x * x;
            yy += t * y * y;
            xy += t * x * y;
        }
    double vx = xx - x1 * x1, vy = yy - y1 * y1, cov = xy - x1 * y1;
    double a = 2 * x1 * y1 + c1, b = 2 * cov + c2, c = x1 * x1 + y1 * y1 + c1, d = vx + vy + c2,
           s = a * b / (c * d);
    double by_var = -s / d, by_cov = 2 * a / (c * d), by_mean = 2 * y1 * b / (c * d) - 2 * x1 * s / c;
    slope[0] = by_mean - 2 * x1 * by_var - y1 * by_cov;
    slope[1] = 2 * by_var;
    slope[2] = by_cov;
    return s;
}

int ref_loss_ssim(struct op_ctx *ctx, size_t B, size_t H, size_t W, double weight, const float *pred,
                  const float *target, double *loss, float *dpred, struct err *e)
{
    (void)ctx;
    if (H < WINDOW || W < WINDOW)
        return err_set(e, ERR_DATA, "the ssim loss needs frames of at least 11x11, not %zux%zu", W, H);
    double tap[WINDOW], sum = 0, *d;
    gaussian(tap);
    int r = mem_alloc(&d, H * W, sizeof *d, "gradient of a frame", e);
    if (r)
        return r;
    size_t windows = (H - WINDOW + 1) * (W - WINDOW + 1);
    double share = -weight / (double)(windows * B);
    for (size_t b = 0; b < B; b++) {
        for (size_t i = 0; i < H * W; i++)
            d[i] = 0;
        for (size_t y = 0; y + WINDOW <= H; y++)
            for (size_t x = 0; x + WINDOW <= W; x++) {
                const float *p = pred + (b * H + y) * W + x, *t = target + (b * H + y) * W + x;
                double slope[3];
                sum += ssim_window(tap, p, t, W, slope);
                for (size_t k = 0; dpred && k < WINDOW * WINDOW; k++) {
                    size_t i = k / WINDOW, j = k % WINDOW, at = i * W + j;
                    d[(y + i) * W + x + j] +=
                        share * tap[i] * tap[j] *
                        (slope[0] + slope[1] * (double)p[at] + slope[2] * (double)t[at]);
                }
            }
        for (size_t i = 0; dpred && i < H * W; i++)
            add_to(dpred + b * H * W + i, d[i]);
    }
    free(d);
    *loss += weight * (1 - sum / (double)(windows * B));
    return 0;
}

/* Pixels lie `step` apart; adds |difference of differences| and its slopes. */
static double difference(const float *pred, const float *target, size_t step, double share, float *dpred)
{
    double d = ((double)pred[step] - (double)pred[0]) - ((double)target[step] - (double)target[0]);
    if (dpred) {
        add_to(dpred + step, share * sign_of(d));
        add_to(dpred, -share * sign_of(d));
    }
    return fabs(d);
}

int ref_loss_gradient(struct op_ctx *ctx, size_t B, size_t H, size_t W, double weight, const float *pred,
                      const float *target, double *loss, float *dpred, struct err *e)
{
    (void)ctx;
    if (H < 2 || W < 2)
        return err_set(e, ERR_DATA, "the gradient loss needs frames of at least 2x2, not %zux%zu", W, H);
    double in_x = (double)(B * H * (W - 1)), in_y = (double)(B * (H - 1) * W), sum_x = 0, sum_y = 0;
    for (size_t b = 0; b < B; b++)
        for (size_t y = 0; y < H; y++)
            for (size_t x = 0; x < W; x++) {
                size_t at = (b * H + y) * W + x;
                float *d = dpred ? dpred + at : NULL;
                if (x + 1 < W)
                    sum_x += difference(pred + at, target + at, 1, weight / in_x, d);
                if (y + 1 < H)
                    sum_y += difference(pred + at, target + at, W, weight / in_y, d);
            }
    *loss += weight * (sum_x / in_x + sum_y / in_y);
    return 0;
}
