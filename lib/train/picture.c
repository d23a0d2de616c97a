/* Example pictures of the validation set. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "interp/interp.h"
#include "io/stream.h"
#include "metric/metric.h"
#include "train/validate.h"

enum { ROWS = 4, COLUMNS = 4, GAP = 2, GREY = 128 };

struct canvas {
    uint8_t *pixels;
    uint32_t W, H, w, h; /* whole, and one panel */
};

static uint8_t *panel(const struct canvas *c, uint32_t row, uint32_t column)
{
    return c->pixels + (size_t)row * (c->h + GAP) * c->W + (size_t)column * (c->w + GAP);
}

static void put(const struct canvas *c, uint32_t row, uint32_t column, const float *frame, uint8_t *line)
{
    for (uint32_t y = 0; y < c->h; y++) {
        metric_quantise(frame + (size_t)y * c->w, line, c->w);
        memcpy(panel(c, row, column) + (size_t)y * c->W, line, c->w);
    }
}

/* The hints as dots on mid-grey; without a full frame they are the nearest thing to the truth. */
static void put_samples(const struct canvas *c, uint32_t row, uint32_t column, const float *pixels, size_t n)
{
    uint8_t *to = panel(c, row, column);
    for (uint32_t y = 0; y < c->h; y++)
        memset(to + (size_t)y * c->W, GREY, c->w);
    for (size_t i = 0; i < n; i++) {
        uint32_t x = interp_pixel(pixels[3 * i], c->w), y = interp_pixel(pixels[3 * i + 1], c->h);
        metric_quantise(&pixels[3 * i + 2], to + (size_t)y * c->W + x, 1);
    }
}

static int draw(struct validation *v, struct canvas *c, uint32_t rows, uint8_t *line, struct err *e)
{
    const struct example_batch *b = &v->batches[0];
    size_t size = (size_t)c->w * c->h;
    for (uint32_t i = 0; i < rows; i++) {
        const float *pixels = b->arrays.pixels + i * b->arrays.sizes.N * 3;
        put(c, i, 3, v->output + i * size, line);
        put_samples(c, i, 1, pixels, (size_t)b->arrays.counts[i]);
        if (v->plan.target)
            put(c, i, 0, b->target + i * size, line);
        else
            put_samples(c, i, 0, pixels, (size_t)b->arrays.counts[i]);
        int code = validation_linear(b, i, v->output + i * size, e);
        if (code)
            return code;
        put(c, i, 2, v->output + i * size, line);
    }
    return 0;
}

int validation_picture(struct validation *v, struct spt *m, const char *path, struct err *e)
{
    size_t B = v->batches[0].arrays.sizes.B;
    uint32_t rows = B < ROWS ? (uint32_t)B : ROWS;
    struct canvas c = {.w = v->plan.W, .h = v->plan.H};
    c.W = COLUMNS * c.w + (COLUMNS - 1) * GAP;
    c.H = rows * c.h + (rows - 1) * GAP;
    uint8_t *line = NULL;
    int code = mem_alloc(&c.pixels, (size_t)c.W * c.H, 1, "an example picture", e);
    if (!code)
        code = mem_alloc(&line, c.w, 1, "an example picture", e);
    if (!code)
        code = validation_forward(m, &v->batches[0], e);
    if (!code)
        code = spt_download_output(m, v->output, e);
    if (!code) {
        memset(c.pixels, 255, (size_t)c.W * c.H);
        code = draw(v, &c, rows, line, e);
    }
    if (!code)
        code = png_write(path, c.pixels, c.W, c.H, 1, e);
    free(c.pixels);
    free(line);
    return code;
}
