/* An image in memory, grey or colour, and its size made to fit. */
#ifndef SGAPS_VIEW_IMAGE_H
#define SGAPS_VIEW_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct image {
    uint32_t W, H;
    int channels;          /* 1: grey, 3: RGB */
    const uint8_t *pixels; /* (H,W,channels), row 0 = top */
};

/* p at w x h, each pixel the mean over its area of p, so that a whole multiple repeats pixels and nothing is lost in a
 * smaller one. out (h*w*channels). */
void image_resample(const struct image *p, uint32_t w, uint32_t h, uint8_t *out);

/* The largest size with p's proportions inside of most_w x most_h: a whole multiple of p's size as long as the sides stay
 * below `enough`, p's own size, or else what fits, at least 1. */
void image_fit(const struct image *p, uint32_t most_w, uint32_t most_h, uint32_t enough, uint32_t *w,
               uint32_t *h);

#endif
