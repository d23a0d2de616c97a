/* Structural similarity (Wang, Bovik, Sheikh, Simoncelli 2004; multi-scale: Wang, Simoncelli, Bovik 2003).
 *
 * All windows are separable: each incoming row is filtered along itself and kept in a ring of as many rows as the
 * window has; each outgoing row is a weighted sum of the ring. Four quantities are enough, a, b, aa+bb and ab, because
 * only the sum of the two variances is needed. Only whole windows count, which is skimage's crop. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "metric/metric.h"

enum { GAUSSIAN_TAPS = 11, UNIFORM_TAPS = 7, QUANTITIES = 4, LEVELS = 5 };

struct window {
    size_t taps;
    double weight[GAUSSIAN_TAPS]; /* symmetric, sum 1 */
    double sample;                /* n/(n-1) for sample covariance, 1 for population */
};

struct ssim_mean {
    double ssim, cs; /* cs: contrast and structure, without luminance */
};

static struct window gaussian_window(void)
{
    struct window w = {.taps = GAUSSIAN_TAPS, .sample = 1};
    double sum = 0;
    for (int k = 0; k < GAUSSIAN_TAPS; k++)
        sum += w.weight[k] = exp(-0.5 * (k - 5) * (k - 5) / (1.5 * 1.5));
    for (int k = 0; k < GAUSSIAN_TAPS; k++)
        w.weight[k] /= sum;
    return w;
}

static struct window uniform_window(void)
{
    struct window w = {.taps = UNIFORM_TAPS, .sample = 49.0 / 48.0};
    for (int k = 0; k < UNIFORM_TAPS; k++)
        w.weight[k] = 1.0 / UNIFORM_TAPS;
    return w;
}

/* out[x] = sum over k of weight[k] * row[k][x]; pairs of equal weight are added first. */
static void weigh(const struct window *w, const double *const *row, double *restrict out, size_t n)
{
    size_t half = w->taps / 2;
    const double *middle = row[half];
#pragma omp simd
    for (size_t x = 0; x < n; x++)
        out[x] = w->weight[half] * middle[x];
    for (size_t k = 0; k < half; k++) {
        const double *first = row[k], *last = row[w->taps - 1 - k];
        double weight = w->weight[k];
#pragma omp simd
        for (size_t x = 0; x < n; x++)
            out[x] += weight * (first[x] + last[x]);
    }
}

/* The four quantities of one row, filtered along it: in (4,W), out (4,W). */
static void filter_row(const struct window *w, const double *a, const double *b, size_t W, double *in,
                       double *out)
{
    double *square = in + 2 * W, *product = in + 3 * W;
    memcpy(in, a, W * sizeof *in);
    memcpy(in + W, b, W * sizeof *in);
#pragma omp simd
    for (size_t x = 0; x < W; x++) {
        square[x] = a[x] * a[x] + b[x] * b[x];
        product[x] = a[x] * b[x];
    }
    for (size_t q = 0; q < QUANTITIES; q++) {
        const double *shifted[GAUSSIAN_TAPS];
        for (size_t k = 0; k < w->taps; k++)
            shifted[k] = in + q * W + k;
        weigh(w, shifted, out + q * W, W - w->taps + 1);
    }
}

static struct ssim_mean compare(const struct window *w, const double *a, const double *b, size_t W, size_t H)
{
    const double c1 = 0.01 * 255 * 0.01 * 255, c2 = 0.03 * 255 * 0.03 * 255;
    struct ssim_mean mean = {NAN, NAN};
    size_t taps = w->taps, columns = W - taps + 1, row_size = QUANTITIES * W;
    double *work, ssim = 0, cs = 0;
    if (W < taps || H < taps || mem_alloc(&work, (taps + 2) * row_size, sizeof *work, "SSIM rows", NULL))
        return mean;
    double *in = work + taps * row_size, *moment = in + row_size;
    for (size_t y = 0; y < H; y++) {
        filter_row(w, a + y * W, b + y * W, W, in, work + y % taps * row_size);
        if (y + 1 < taps)
            continue;
        for (size_t q = 0; q < QUANTITIES; q++) {
            const double *row[GAUSSIAN_TAPS];
            for (size_t k = 0; k < taps; k++)
                row[k] = work + (y + 1 + k) % taps * row_size + q * W;
            weigh(w, row, moment + q * W, columns);
        }
        double row_ssim = 0, row_cs = 0;
#pragma omp simd reduction(+ : row_ssim, row_cs)
        for (size_t x = 0; x < columns; x++) {
            double ma = moment[x], mb = moment[W + x], mab = ma * mb, mm = ma * ma + mb * mb;
            double variance = w->sample * (moment[2 * W + x] - mm),
                   covariance = w->sample * (moment[3 * W + x] - mab);
            double structure = (2 * covariance + c2) / (variance + c2);
            row_cs += structure;
            row_ssim += structure * (2 * mab + c1) / (mm + c1);
        }
        ssim += row_ssim;
        cs += row_cs;
    }
    free(work);
    double windows = (double)columns * (double)(H - taps + 1);
    return (struct ssim_mean){ssim / windows, cs / windows};
}

/* Both frames as double, one block. */
static double *widen(const uint8_t *a, const uint8_t *b, size_t n)
{
    double *d;
    if (mem_alloc(&d, n, 2 * sizeof *d, "SSIM frames", NULL))
        return NULL;
    for (size_t i = 0; i < n; i++) {
        d[i] = a[i];
        d[n + i] = b[i];
    }
    return d;
}

static double ssim_with(const struct window *w, const uint8_t *a, const uint8_t *b, size_t W, size_t H)
{
    double *d = widen(a, b, W * H);
    double ssim = d ? compare(w, d, d + W * H, W, H).ssim : NAN;
    free(d);
    return ssim;
}

double metric_ssim(const uint8_t *a, const uint8_t *b, uint32_t W, uint32_t H)
{
    struct window w = gaussian_window();
    return ssim_with(&w, a, b, W, H);
}

double metric_ssim_7u(const uint8_t *a, const uint8_t *b, uint32_t W, uint32_t H)
{
    struct window w = uniform_window();
    return ssim_with(&w, a, b, W, H);
}

/* 2x2 means in place. An odd side has a zero row or column in front of it, as pytorch-msssim's padding comes to. */
static void halve(double *x, size_t W, size_t H)
{
    size_t w = (W + 1) / 2, h = (H + 1) / 2, pad_x = W % 2, pad_y = H % 2;
    for (size_t y = 0; y < h; y++) {
        for (size_t c = 0; c < w; c++) {
            double sum = 0;
            for (size_t k = 0; k < 4; k++) {
                size_t from_y = 2 * y + k / 2, from_x = 2 * c + k % 2;
                if (from_y >= pad_y && from_x >= pad_x)
                    sum += x[(from_y - pad_y) * W + from_x - pad_x];
            }
            x[y * w + c] = sum / 4;
        }
    }
}

double metric_ms_ssim(const uint8_t *a, const uint8_t *b, uint32_t width, uint32_t height)
{
    static const double power[LEVELS] = {0.0448, 0.2856, 0.3001, 0.2363, 0.1333};
    size_t W = width, H = height, n = W * H;
    /* The last level's frame must be larger than its window. */
    if ((W < H ? W : H) <= (GAUSSIAN_TAPS - 1) << (LEVELS - 1))
        return NAN;
    double *d = widen(a, b, n), product = 1;
    struct window w = gaussian_window();
    for (int level = 0; d && level < LEVELS; level++) {
        struct ssim_mean mean = compare(&w, d, d + n, W, H);
        double term = level + 1 < LEVELS ? mean.cs : mean.ssim;
        product *= pow(term < 0 ? 0 : term, power[level]); /* NAN stays */
        halve(d, W, H);
        halve(d + n, W, H);
        W = (W + 1) / 2;
        H = (H + 1) / 2;
    }
    if (!d)
        product = NAN;
    free(d);
    return product;
}
