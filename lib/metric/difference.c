/* Metrics that look at each pixel alone, and the statistics over frames. */
#include <math.h>
#include <stdlib.h>

#include "metric/metric.h"

/* Sums are whole numbers: 255^2 a pixel fits 2^48 pixels. */
double metric_mse(const uint8_t *a, const uint8_t *b, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        int d = a[i] - b[i];
        sum += (uint64_t)(d * d);
    }
    return n ? (double)sum / (double)n : NAN;
}

double metric_psnr_of_mse(double mse)
{
    return mse > 0 ? 10 * log10(255.0 * 255.0 / mse) : mse == 0 ? INFINITY : NAN;
}

double metric_psnr(const uint8_t *a, const uint8_t *b, size_t n)
{
    return metric_psnr_of_mse(metric_mse(a, b, n));
}

double metric_mae(const uint8_t *a, const uint8_t *b, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (uint64_t)abs(a[i] - b[i]);
    return n ? (double)sum / (double)n : NAN;
}

double metric_peak(const uint8_t *a, const uint8_t *b, size_t n)
{
    int peak = 0;
    for (size_t i = 0; i < n; i++) {
        int d = abs(a[i] - b[i]);
        peak = d > peak ? d : peak;
    }
    return n ? peak : NAN;
}

double metric_tpsnr(const uint8_t *a, const uint8_t *a_before, const uint8_t *b, const uint8_t *b_before,
                    size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        int d = (a[i] - a_before[i]) - (b[i] - b_before[i]);
        sum += (uint64_t)(d * d);
    }
    return n ? metric_psnr_of_mse((double)sum / (double)n) : NAN;
}

double metric_psnr_off(const uint8_t *a, const uint8_t *b, const uint8_t *given, size_t n)
{
    uint64_t sum = 0;
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        if (given[i])
            continue;
        int d = a[i] - b[i];
        sum += (uint64_t)(d * d);
        count++;
    }
    return count ? metric_psnr_of_mse((double)sum / (double)count) : NAN;
}

void metric_quantise(const float *x, uint8_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float v = x[i] * 255;
        out[i] = v > 0 ? (uint8_t)(v < 255 ? lrintf(v) : 255) : 0; /* NaN is not greater than 0 */
    }
}

void metric_stat_add(struct metric_stat *s, double value)
{
    if (isnan(value))
        return;
    if (isinf(value)) {
        s->identical++;
        return;
    }
    if (!s->n || value < s->min)
        s->min = value;
    if (!s->n || value > s->max)
        s->max = value;
    /* Welford: no loss of digits where the deviation is small beside the mean. */
    double before = value - s->mean;
    s->n++;
    s->mean += before / (double)s->n;
    s->m2 += before * (value - s->mean);
}

double metric_stat_std(const struct metric_stat *s)
{
    return s->n ? sqrt(s->m2 / (double)s->n) : NAN;
}
