/* Pictures for people: panels of one size in rows and columns under short captions, as an RGB PNG.
 *
 *     struct sheet s;
 *     sheet_init(&s, W, H, 6, 3, 2, &e);           6 columns, 3 rows, pixels drawn 2 x 2
 *     sheet_grey(&s, 0, 0, frame);  sheet_heat(&s, 5, 0, map, w, h);  sheet_caption(&s, 0, 0, "truth");
 *     sheet_write(&s, "out.png", &e);  sheet_release(&s); */
#ifndef SGAPS_VIEW_SHEET_H
#define SGAPS_VIEW_SHEET_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct sheet {
    uint32_t W, H;          /* of a panel, in frame pixels */
    uint32_t columns, rows; /* panels */
    uint32_t zoom;          /* screen pixels for a frame pixel */
    uint32_t width, height; /* of the picture */
    uint8_t *rgb;
};

int sheet_init(struct sheet *s, uint32_t W, uint32_t H, uint32_t columns, uint32_t rows, uint32_t zoom,
               struct err *e);
void sheet_release(struct sheet *s);
void sheet_clear(struct sheet *s);
/* The zoom at which the pixels of a panel, and a caption above it, can be seen. */
uint32_t sheet_zoom(uint32_t W, uint32_t H);
/* 8-bit grey frame (H,W). */
void sheet_grey(struct sheet *s, uint32_t column, uint32_t row, const uint8_t *frame);
/* A map (h,w) in 0..1 by colour_map, enlarged without smoothing. */
void sheet_heat(struct sheet *s, uint32_t column, uint32_t row, const float *map, uint32_t w, uint32_t h);
/* |a-b| of two frames as heat; `full` is the difference drawn brightest. */
void sheet_error(struct sheet *s, uint32_t column, uint32_t row, const uint8_t *a, const uint8_t *b,
                 double full);
/* Only the sampled pixels, on dark blue; few of them as dots larger than a pixel. */
void sheet_samples(struct sheet *s, uint32_t column, uint32_t row, const float *uv, const uint8_t *value,
                   size_t n);
/* Where samples lie, on top of what the panel shows. */
void sheet_marks(struct sheet *s, uint32_t column, uint32_t row, const float *uv, size_t n);
/* Above the panel; letters, digits and " .-+%/:=", cut at the panel's width. */
void sheet_caption(struct sheet *s, uint32_t column, uint32_t row, const char *text);
int sheet_write(const struct sheet *s, const char *path, struct err *e);

#endif
