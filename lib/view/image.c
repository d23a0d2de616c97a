#include "view/image.h"

#include <math.h>

/* The mean over [x0,x1) x [y0,y1) of p, in p's pixels. */
static uint8_t mean(const struct image *p, int channel, double x0, double x1, double y0, double y1)
{
    double sum = 0, area = 0;
    for (uint32_t y = (uint32_t)y0; y < p->H && y < y1; y++) {
        double high = fmin(y1, y + 1.0) - fmax(y0, y);
        for (uint32_t x = (uint32_t)x0; x < p->W && x < x1; x++) {
            double part = high * (fmin(x1, x + 1.0) - fmax(x0, x));
            sum += part * p->pixels[((size_t)y * p->W + x) * (size_t)p->channels + (size_t)channel];
            area += part;
        }
    }
    return (uint8_t)(area > 0 ? lrint(sum / area) : 0);
}

void image_resample(const struct image *p, uint32_t w, uint32_t h, uint8_t *out)
{
    double fx = (double)p->W / w, fy = (double)p->H / h;
    for (uint32_t y = 0; y < h; y++)
        for (uint32_t x = 0; x < w; x++)
            for (int c = 0; c < p->channels; c++)
                *out++ = mean(p, c, x * fx, (x + 1) * fx, y * fy, (y + 1) * fy);
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

void image_fit(const struct image *p, uint32_t most_w, uint32_t most_h, uint32_t enough, uint32_t *w,
               uint32_t *h)
{
    uint32_t zoom = least(least(most_w, enough) / p->W, least(most_h, enough) / p->H);
    if (zoom < 1 && p->W <= most_w && p->H <= most_h)
        zoom = 1;
    if (zoom) {
        *w = zoom * p->W;
        *h = zoom * p->H;
        return;
    }
    double shrink = fmin((double)most_w / p->W, (double)most_h / p->H);
    *w = (uint32_t)fmax(1, lrint(p->W * shrink));
    *h = (uint32_t)fmax(1, lrint(p->H * shrink));
}
