/* How near one frame is to another. Frames are 8-bit, data range 255, arithmetic in double; a is the reference.
 * Definitions and reference values: doc of the metrics (Wang 2004; skimage 0.19.3; pytorch-msssim). Values that cannot be
 * computed (a window larger than the frame) are NAN; identical frames have PSNR +INFINITY. */
#ifndef SGAPS_METRIC_METRIC_H
#define SGAPS_METRIC_METRIC_H

#include <stddef.h>
#include <stdint.h>

double metric_mse(const uint8_t *a, const uint8_t *b, size_t n);
double metric_psnr_of_mse(double mse);
double metric_psnr(const uint8_t *a, const uint8_t *b, size_t n);
double metric_mae(const uint8_t *a, const uint8_t *b, size_t n);
double metric_peak(const uint8_t *a, const uint8_t *b, size_t n);
/* 11x11 Gaussian sigma 1.5, population covariance, cropped by 5. */
double metric_ssim(const uint8_t *a, const uint8_t *b, uint32_t W, uint32_t H);
/* skimage's default: 7x7 uniform, sample covariance, cropped by 3. */
double metric_ssim_7u(const uint8_t *a, const uint8_t *b, uint32_t W, uint32_t H);
double metric_ms_ssim(const uint8_t *a, const uint8_t *b, uint32_t W, uint32_t H);
/* PSNR of the differences to the previous frames. */
double metric_tpsnr(const uint8_t *a, const uint8_t *a_before, const uint8_t *b, const uint8_t *b_before,
                    size_t n);
/* PSNR over the pixels whose given[i] is 0; NAN when there are none. */
double metric_psnr_off(const uint8_t *a, const uint8_t *b, const uint8_t *given, size_t n);

/* How well a scale b foretells the absolute error |x - truth / 255| of each pixel, over any number of frames: x and b floats, white
 * = 1, b > 0. The figures are NAN where there are no pixels, the correlation too where one of the two is constant. */
struct metric_scale {
    double n, error, scale, error2, scale2, both, nll, within; /* sums over pixels */
};
void metric_scale_add(struct metric_scale *s, const uint8_t *truth, const float *x, const float *b, size_t n);
/* Mean of |error| / b + log(2 b), in nats a pixel: Laplace's negative log likelihood; and that of the one scale for all pixels that
 * makes it least, their mean error. */
double metric_scale_nll(const struct metric_scale *s);
double metric_scale_nll_constant(const struct metric_scale *s);
/* Pearson's, between scale and absolute error. */
double metric_scale_correlation(const struct metric_scale *s);
/* Share of the pixels that err by less than b log 2, the median of their distribution: 0.5 where the scale is right, more where it is
 * too large. */
double metric_scale_within(const struct metric_scale *s);

/* float (white = 1) -> 8 bit, clipped and rounded, half to even as numpy and PyTorch do; NaN becomes 0. */
void metric_quantise(const float *x, uint8_t *out, size_t n);

/* Mean, least, greatest and standard deviation (population) over frames; NAN and INFINITY are left out, the latter
 * counted. */
struct metric_stat {
    size_t n, identical;
    double mean, min, max, m2;
};
void metric_stat_add(struct metric_stat *s, double value);
double metric_stat_std(const struct metric_stat *s);

#endif
