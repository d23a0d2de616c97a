/* Discrete Sibson interpolation (Park, Linsen, Kreylos, Owens, Hamann: Discrete Sibson interpolation, TVCG
 * 2006): every pixel q gives its nearest sample's value to all pixels of the disc around q that reaches to
 * that sample; the result is the mean of what a pixel was given. A disc is written as one run a row into
 * difference arrays, so that it costs its height and not its area. Where two samples are equally far from q
 * the disc of one touches the other: a pixel with a sample on its centre keeps that sample's value. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "interp/interp.h"

static void add_disc(double *sum, int32_t *count, uint32_t W, uint32_t H, uint32_t x, uint32_t y,
                     double radius, double value)
{
    /* The sample itself lies on the rim. */
    double r2 = radius * radius * (1 + 1e-6);
    long reach = (long)(radius * (1 + 1e-6)), row0 = (long)y - reach, row1 = (long)y + reach;
    for (long row = row0 < 0 ? 0 : row0; row <= row1 && row < (long)H; row++) {
        double dy = (double)(row - (long)y);
        if (dy * dy > r2)
            continue;
        long half = (long)sqrt(r2 - dy * dy), left = (long)x - half, right = (long)x + half + 1;
        size_t at = (size_t)row * (W + 1);
        left = left < 0 ? 0 : left;
        right = right > (long)W ? (long)W : right;
        sum[at + (size_t)left] += value;
        sum[at + (size_t)right] -= value;
        count[at + (size_t)left]++;
        count[at + (size_t)right]--;
    }
}

int interp_natural(const float *uv, const float *value, size_t n, uint32_t W, uint32_t H, float *out,
                   struct err *e)
{
    float *distance = NULL;
    double *sum = NULL;
    int32_t *count = NULL;
    size_t cells = (size_t)(W + 1) * H;
    int rc = mem_alloc(&distance, (size_t)W * H, sizeof *distance, "distances", e);
    if (!rc)
        rc = mem_alloc(&sum, cells, sizeof *sum, "sums", e);
    if (!rc)
        rc = mem_alloc(&count, cells, sizeof *count, "sums", e);
    if (!rc)
        rc = interp_nearest(uv, value, n, W, H, out, distance, NULL, e);
    if (!rc) {
        for (uint32_t y = 0; y < H; y++)
            for (uint32_t x = 0; x < W; x++)
                add_disc(sum, count, W, H, x, y, distance[(size_t)y * W + x], out[(size_t)y * W + x]);
        for (uint32_t y = 0; y < H; y++) {
            double s = 0;
            int32_t c = 0;
            for (uint32_t x = 0; x < W; x++) {
                s += sum[(size_t)y * (W + 1) + x];
                c += count[(size_t)y * (W + 1) + x];
                if (distance[(size_t)y * W + x] > 0)
                    out[(size_t)y * W + x] = (float)(s / c); /* c >= 1: a pixel's own disc holds it */
            }
        }
    }
    free(distance);
    free(sum);
    free(count);
    return rc;
}
