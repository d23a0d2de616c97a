/* lib/metric against the reference values (skimage 0.19.3, pytorch-msssim) and by hand. `metric dump W H SEED` prints two
 * frames and their metrics for the comparison with skimage (metric_skimage.t). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/philox.h"
#include "metric/metric.h"
#include "tap.h"

enum { SIDE = 224 };
static uint8_t a[SIDE * SIDE], b[SIDE * SIDE];

static uint8_t clamp(int x)
{
    return (uint8_t)(x < 0 ? 0 : x > 255 ? 255 : x);
}

static double sum_of(const uint8_t *x)
{
    double s = 0;
    for (int i = 0; i < SIDE * SIDE; i++)
        s += x[i];
    return s;
}

static void close_to(double got, double want, const char *name)
{
    ok(fabs(got - want) < 1e-9, "%s %.10f", name, got);
}

static void test_pair_1(void)
{
    for (int y = 0; y < SIDE; y++) {
        for (int x = 0; x < SIDE; x++) {
            int v = (7 * x + 13 * y + ((x * y) >> 4)) & 255;
            a[y * SIDE + x] = (uint8_t)v;
            b[y * SIDE + x] = clamp(v + ((31 * x + 17 * y) % 41) - 20);
        }
    }
    ok(sum_of(a) == 6389616 && sum_of(b) == 6389248, "pair 1 is made right");
    close_to(metric_mse(a, b, SIDE * SIDE), 134.0298549107, "MSE");
    close_to(metric_psnr(a, b, SIDE * SIDE), 26.8587881341, "PSNR");
    close_to(metric_ssim(a, b, SIDE, SIDE), 0.9696379368, "SSIM");
    close_to(metric_ssim_7u(a, b, SIDE, SIDE), 0.9815021307, "SSIM-7u");
    close_to(metric_ms_ssim(a, b, SIDE, SIDE), 0.9979092900, "MS-SSIM");
}

static void test_pair_2(void)
{
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++)
            a[y * SIDE + x] = clamp(abs(2 * x % 256 - 128) + abs(3 * y % 256 - 128));
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++)
            b[y * SIDE + x] = a[y * SIDE + (x + SIDE - 2) % SIDE];
    ok(sum_of(a) == 6096382, "pair 2 is made right");
    close_to(metric_psnr(a, b, SIDE * SIDE), 30.7613978140, "PSNR");
    close_to(metric_ssim(a, b, SIDE, SIDE), 0.9917165887, "SSIM");
    close_to(metric_ssim_7u(a, b, SIDE, SIDE), 0.9837067903, "SSIM-7u");
    close_to(metric_ms_ssim(a, b, SIDE, SIDE), 0.9959068540, "MS-SSIM");
}

static void test_by_hand(void)
{
    static const uint8_t x[4] = {0, 10, 20, 255}, y[4] = {3, 10, 16, 255}, given[4] = {1, 0, 0, 0},
                         all[4] = {1, 1, 1, 1};
    static const uint8_t x0[4] = {1, 10, 25, 250}, y0[4] = {3, 12, 21, 250};
    ok(metric_mse(x, y, 4) == 25 / 4. && metric_mae(x, y, 4) == 7 / 4. && metric_peak(x, y, 4) == 4,
       "MSE, MAE, peak");
    close_to(metric_psnr_off(x, y, given, 4), 10 * log10(255. * 255 / (16 / 3.)), "off-sample PSNR");
    ok(isnan(metric_psnr_off(x, y, all, 4)), "off-sample PSNR of a frame of samples is not there");
    /* Differences: -1 0 -5 5 against 0 -2 -5 5. */
    close_to(metric_tpsnr(x, x0, y, y0, 4), 10 * log10(255. * 255 / (5 / 4.)), "tPSNR");
    ok(isinf(metric_psnr(x, x, 4)) && metric_ssim(a, a, SIDE, SIDE) == 1, "identical frames: inf and 1");
    ok(isnan(metric_ssim(a, b, 10, 40)) && isnan(metric_ssim_7u(a, b, 40, 6)) &&
           isnan(metric_ms_ssim(a, b, 160, 200)),
       "a window larger than the frame has no value");
    ok(isfinite(metric_ssim(a, b, 11, 11)) && isfinite(metric_ssim_7u(a, b, 7, 7)) &&
           isfinite(metric_ms_ssim(a, b, 161, 161)),
       "one window has");
    static const float f[8] = {-1, 0.5f / 255, 1.5f / 255, 1, 2, NAN, 254.4f / 255, INFINITY};
    static const uint8_t want[8] = {0, 0, 2, 255, 255, 0, 254, 255};
    uint8_t q[8];
    metric_quantise(f, q, 8);
    ok(!memcmp(q, want, 8), "clipped and rounded half to even, NaN is black");
}

/* Errors of 0, .1, .2, .3 and what is said of them. */
static void test_scale(void)
{
    const uint8_t truth[4] = {51, 51, 51, 51};
    const float x[4] = {0.2f, 0.3f, 0.0f, 0.5f}, right[4] = {0.05f, 0.15f, 0.25f, 0.35f},
                flat[4] = {0.15f, 0.15f, 0.15f, 0.15f}, low[4] = {0.1f, 0.1f, 0.1f, 0.1f};
    struct metric_scale s = {0}, f = {0}, l = {0}, none = {0};
    metric_scale_add(&s, truth, x, right, 2);
    metric_scale_add(&s, truth + 2, x + 2, right + 2, 2);
    metric_scale_add(&f, truth, x, flat, 4);
    metric_scale_add(&l, truth, x, low, 4);
    double want = 0;
    for (int i = 0; i < 4; i++)
        want += (0.1 * i / (0.05 + 0.1 * i) + log(2 * (0.05 + 0.1 * i))) / 4;
    ok(fabs(metric_scale_nll(&s) - want) < 1e-6 && fabs(metric_scale_correlation(&s) - 1) < 1e-6,
       "a scale that is 0.05 above each error: nll %.6f, correlation %.6f", metric_scale_nll(&s),
       metric_scale_correlation(&s));
    ok(fabs(metric_scale_nll_constant(&s) - (1 + log(0.3))) < 1e-6 &&
           fabs(metric_scale_nll(&f) - metric_scale_nll_constant(&f)) < 1e-6,
       "one scale for all: nll %.6f where it is the mean error", metric_scale_nll_constant(&s));
    ok(isnan(metric_scale_correlation(&f)) || fabs(metric_scale_correlation(&f)) < 1e-3,
       "which goes along with nothing");
    ok(metric_scale_within(&s) == 0.5 && metric_scale_within(&l) == 0.25,
       "within the median: %.2f and %.2f of the pixels", metric_scale_within(&s), metric_scale_within(&l));
    ok(isnan(metric_scale_nll(&none)) && isnan(metric_scale_nll_constant(&none)) &&
           isnan(metric_scale_correlation(&none)) && isnan(metric_scale_within(&none)),
       "no pixels, no figures");
}

static void test_statistics(void)
{
    struct metric_stat s = {0};
    ok(isnan(metric_stat_std(&s)), "no value, no deviation");
    static const double v[6] = {4, NAN, -2, INFINITY, 10, 4};
    for (int i = 0; i < 6; i++)
        metric_stat_add(&s, v[i]);
    ok(s.n == 4 && s.identical == 1 && s.min == -2 && s.max == 10,
       "NaN and infinity are left out, the latter counted");
    ok(fabs(s.mean - 4) < 1e-12 && fabs(metric_stat_std(&s) - sqrt(18)) < 1e-12,
       "mean and population deviation");
}

static int dump(uint32_t W, uint32_t H, uint64_t seed)
{
    size_t n = (size_t)W * H;
    uint8_t *x = malloc(n), *y = malloc(n);
    struct philox p;
    philox_init(&p, seed, 1);
    for (size_t i = 0; i < n; i++) {
        x[i] = clamp(
            (int)(128 + 90 * sin((double)(i % W) / 9) * cos((double)(i / W) / 7) + 10 * philox_normal(&p)));
        y[i] = clamp((int)(x[i] + 25 * philox_normal(&p)));
    }
    printf("%.17g %.17g %.17g %.17g %.17g\n", metric_psnr(x, y, n), metric_ssim(x, y, W, H),
           metric_ssim_7u(x, y, W, H), metric_mae(x, y, n), metric_ms_ssim(x, y, W, H));
    for (size_t i = 0; i < 2 * n; i++)
        printf("%d\n", i < n ? x[i] : y[i - n]);
    free(x);
    free(y);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 5 && !strcmp(argv[1], "dump"))
        return dump((uint32_t)atoi(argv[2]), (uint32_t)atoi(argv[3]), (uint64_t)atoi(argv[4]));
    test_pair_1();
    test_pair_2();
    test_by_hand();
    test_scale();
    test_statistics();
    return tap_done();
}
