#include <math.h>

#include "metric/metric.h"

void metric_scale_add(struct metric_scale *s, const uint8_t *truth, const float *x, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double error = fabs((double)x[i] - truth[i] / 255.0), scale = (double)b[i];
        s->error += error;
        s->scale += scale;
        s->error2 += error * error;
        s->scale2 += scale * scale;
        s->both += error * scale;
        s->nll += error / scale + log(2 * scale);
        s->within += error < scale * M_LN2;
    }
    s->n += (double)n;
}

double metric_scale_nll(const struct metric_scale *s)
{
    return s->n > 0 ? s->nll / s->n : NAN;
}

double metric_scale_nll_constant(const struct metric_scale *s)
{
    return s->n > 0 ? 1 + log(2 * s->error / s->n) : NAN;
}

double metric_scale_correlation(const struct metric_scale *s)
{
    double error = s->error / s->n, scale = s->scale / s->n;
    double product = (s->error2 / s->n - error * error) * (s->scale2 / s->n - scale * scale);
    return product > 0 ? (s->both / s->n - error * scale) / sqrt(product) : NAN;
}

double metric_scale_within(const struct metric_scale *s)
{
    return s->n > 0 ? s->within / s->n : NAN;
}
