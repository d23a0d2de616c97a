/* Over the whole parameter array. */
#include <math.h>

#include "op/ref/ref.h"

void ref_sum_squares(struct op_ctx *ctx, size_t n, const float *x, double *sum)
{
    (void)ctx;
    double total = 0;
    for (size_t i = 0; i < n; i++)
        total += (double)x[i] * (double)x[i];
    *sum = total;
}

void ref_scale(struct op_ctx *ctx, size_t n, float factor, float *x)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++)
        x[i] *= factor;
}

void ref_adamw(struct op_ctx *ctx, const struct op_adamw *a, size_t n, float *p, const float *g, float *m,
               float *v)
{
    (void)ctx;
    double step = a->lr / (1 - pow(a->beta1, (double)a->step)),
           correction = 1 - pow(a->beta2, (double)a->step);
    for (size_t i = 0; i < n; i++) {
        double d = (double)g[i], first = a->beta1 * (double)m[i] + (1 - a->beta1) * d;
        double second = a->beta2 * (double)v[i] + (1 - a->beta2) * d * d;
        double decayed = (double)p[i] * (1 - a->lr * a->weight_decay);
        p[i] = (float)(decayed - step * first / (sqrt(second / correction) + a->eps));
        m[i] = (float)first;
        v[i] = (float)second;
    }
}
