#include "view/sheet.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/stream.h"
#include "view/colour.h"
#include "view/font.h"

enum { MARGIN = 6, CAPTION = 14, LIMIT = 1 << 14, SHARP = 224, DOT = 8 };
static const uint8_t background[3] = {28, 28, 32}, ink[3] = {230, 230, 230}, unseen[3] = {20, 24, 58};

int sheet_init(struct sheet *s, uint32_t W, uint32_t H, uint32_t columns, uint32_t rows, uint32_t zoom,
               struct err *e)
{
    *s = (struct sheet){.W = W, .H = H, .columns = columns, .rows = rows, .zoom = zoom};
    uint64_t width = (uint64_t)columns * (W * (uint64_t)zoom + MARGIN) + MARGIN;
    uint64_t height = (uint64_t)rows * (H * (uint64_t)zoom + MARGIN + CAPTION) + MARGIN;
    if (width > LIMIT || height > LIMIT)
        return err_set(e, ERR_USAGE, "a picture of %llux%llu is larger than %d a side",
                       (unsigned long long)width, (unsigned long long)height, LIMIT);
    s->width = (uint32_t)width;
    s->height = (uint32_t)height;
    int r = mem_alloc(&s->rgb, (size_t)width * height, 3, "a picture", e);
    if (!r)
        sheet_clear(s);
    return r;
}

void sheet_clear(struct sheet *s)
{
    for (size_t i = 0; i < (size_t)s->width * s->height; i++)
        memcpy(s->rgb + 3 * i, background, 3);
}

uint32_t sheet_zoom(uint32_t W, uint32_t H)
{
    uint32_t side = W > H ? W : H;
    return side < SHARP ? (SHARP + side - 1) / side : 1;
}

void sheet_release(struct sheet *s)
{
    free(s->rgb);
    memset(s, 0, sizeof *s);
}

/* The screen's place of a panel's first pixel. */
static void origin(const struct sheet *s, uint32_t column, uint32_t row, uint32_t *x, uint32_t *y)
{
    *x = MARGIN + column * (s->W * s->zoom + MARGIN);
    *y = MARGIN + CAPTION + row * (s->H * s->zoom + MARGIN + CAPTION);
}

static void put(struct sheet *s, uint32_t column, uint32_t row, uint32_t x, uint32_t y, const uint8_t rgb[3])
{
    uint32_t x0, y0;
    origin(s, column, row, &x0, &y0);
    for (uint32_t j = 0; j < s->zoom; j++) {
        uint8_t *p = s->rgb + 3 * ((size_t)(y0 + y * s->zoom + j) * s->width + x0 + x * s->zoom);
        for (uint32_t i = 0; i < s->zoom; i++)
            memcpy(p + 3 * i, rgb, 3);
    }
}

/* A square of `side` screen pixels around the middle of the frame pixel that uv lies in, cut at the panel's edge. */
static void square(struct sheet *s, uint32_t column, uint32_t row, const float uv[2], int side,
                   const uint8_t rgb[3])
{
    uint32_t x0, y0, fx = (uint32_t)(uv[0] * (float)s->W), fy = (uint32_t)(uv[1] * (float)s->H);
    int zoom = (int)s->zoom, w = (int)s->W * zoom, h = (int)s->H * zoom;
    int left = (int)(fx < s->W ? fx : s->W - 1) * zoom + (zoom - side) / 2;
    int top = (int)(fy < s->H ? fy : s->H - 1) * zoom + (zoom - side) / 2;
    origin(s, column, row, &x0, &y0);
    for (int y = top < 0 ? 0 : top; y < top + side && y < h; y++)
        for (int x = left < 0 ? 0 : left; x < left + side && x < w; x++)
            memcpy(s->rgb + 3 * ((y0 + (size_t)y) * s->width + x0 + (size_t)x), rgb, 3);
}

/* As large as can be told apart where n samples lie evenly: a quarter of their distance, and no less than a pixel. */
static int dot_side(const struct sheet *s, size_t n)
{
    double side = n ? sqrt((double)s->W * s->H / (double)n) * s->zoom / 4 : 0;
    return side <= s->zoom ? (int)s->zoom : side > DOT ? DOT : (int)side;
}

void sheet_grey(struct sheet *s, uint32_t column, uint32_t row, const uint8_t *frame)
{
    for (uint32_t y = 0; y < s->H; y++)
        for (uint32_t x = 0; x < s->W; x++) {
            uint8_t g = frame[(size_t)y * s->W + x], rgb[3] = {g, g, g};
            put(s, column, row, x, y, rgb);
        }
}

void sheet_heat(struct sheet *s, uint32_t column, uint32_t row, const float *map, uint32_t w, uint32_t h)
{
    for (uint32_t y = 0; y < s->H; y++)
        for (uint32_t x = 0; x < s->W; x++) {
            uint8_t rgb[3];
            size_t my = (size_t)y * h / s->H, mx = (size_t)x * w / s->W;
            colour_map(map[my * w + mx], rgb);
            put(s, column, row, x, y, rgb);
        }
}

void sheet_error(struct sheet *s, uint32_t column, uint32_t row, const uint8_t *a, const uint8_t *b,
                 double full)
{
    for (uint32_t y = 0; y < s->H; y++)
        for (uint32_t x = 0; x < s->W; x++) {
            size_t i = (size_t)y * s->W + x;
            uint8_t rgb[3];
            colour_map(abs(a[i] - b[i]) / full, rgb);
            put(s, column, row, x, y, rgb);
        }
}

void sheet_samples(struct sheet *s, uint32_t column, uint32_t row, const float *uv, const uint8_t *value,
                   size_t n)
{
    for (uint32_t y = 0; y < s->H; y++)
        for (uint32_t x = 0; x < s->W; x++)
            put(s, column, row, x, y, unseen);
    int side = dot_side(s, n);
    for (size_t i = 0; i < n; i++) {
        const uint8_t rgb[3] = {value[i], value[i], value[i]};
        square(s, column, row, uv + 2 * i, side, rgb);
    }
}

void sheet_marks(struct sheet *s, uint32_t column, uint32_t row, const float *uv, size_t n)
{
    int side = dot_side(s, n);
    for (size_t i = 0; i < n; i++) {
        if (side > 3) /* a rim, or they drown in the bright end of the map */
            square(s, column, row, uv + 2 * i, side, background);
        square(s, column, row, uv + 2 * i, side > 3 ? side - 2 : side, colour_mark);
    }
}

void sheet_caption(struct sheet *s, uint32_t column, uint32_t row, const char *text)
{
    uint32_t x0, y0;
    origin(s, column, row, &x0, &y0);
    uint32_t end = x0 + s->W * s->zoom;
    for (; *text && x0 + FONT_WIDTH <= end; text++, x0 += FONT_WIDTH + 1) {
        const uint8_t *glyph = font_glyph(*text);
        for (uint32_t j = 0; j < FONT_HEIGHT; j++)
            for (uint32_t i = 0; i < FONT_WIDTH; i++)
                if (glyph[j] >> (FONT_WIDTH - 1 - i) & 1)
                    memcpy(s->rgb + 3 * ((size_t)(y0 - CAPTION + 4 + j) * s->width + x0 + i), ink, 3);
    }
}

int sheet_write(const struct sheet *s, const char *path, struct err *e)
{
    return png_write(path, s->rgb, s->width, s->height, 3, e);
}
