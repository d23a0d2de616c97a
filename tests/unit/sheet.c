/* lib/view: what is drawn is what was given, at its place. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/stream.h"
#include "tap.h"
#include "view/colour.h"
#include "view/font.h"
#include "view/sheet.h"

static const uint8_t *pixel(const struct sheet *s, uint32_t column, uint32_t row, uint32_t x, uint32_t y)
{
    uint32_t pitch_x = (s->width - 6) / s->columns, pitch_y = (s->height - 6) / s->rows;
    uint32_t left = 6 + column * pitch_x, top = 6 + 14 + row * pitch_y;
    return s->rgb + 3 * ((size_t)(top + y * s->zoom) * s->width + left + x * s->zoom);
}

int main(void)
{
    struct err e;
    struct sheet s;
    enum { W = 5, H = 4 };
    uint8_t a[W * H], b[W * H];
    float map[2] = {0, 1};
    for (int i = 0; i < W * H; i++) {
        a[i] = (uint8_t)(12 * i);
        b[i] = (uint8_t)(a[i] + (i == 7 ? 20 : 0));
    }
    ok(!sheet_init(&s, W, H, 3, 2, 2, &e), "a sheet of 3 x 2 panels");
    sheet_grey(&s, 1, 1, a);
    int same = 1;
    for (uint32_t y = 0; y < H; y++)
        for (uint32_t x = 0; x < W; x++) {
            const uint8_t *p = pixel(&s, 1, 1, x, y);
            same &= p[0] == a[y * W + x] && p[1] == p[0] && p[2] == p[0] && p[3] == p[0];
        }
    ok(same, "a frame is drawn pixel by pixel");
    sheet_heat(&s, 0, 0, map, 2, 1);
    uint8_t cold[3], hot[3];
    colour_map(0, cold);
    colour_map(1, hot);
    ok(!memcmp(pixel(&s, 0, 0, 0, 3), cold, 3) && !memcmp(pixel(&s, 0, 0, 4, 0), hot, 3) &&
           hot[0] > cold[0] + 100,
       "a map goes from cold on its left to hot on its right");
    colour_map(NAN, hot);
    ok(!memcmp(hot, cold, 3), "NaN is drawn cold");
    sheet_error(&s, 2, 0, a, b, 20);
    colour_map(1, hot);
    ok(!memcmp(pixel(&s, 2, 0, 2, 1), hot, 3) && !memcmp(pixel(&s, 2, 0, 3, 1), cold, 3),
       "an error shows where it is");
    const float uv[4] = {0.5f, 0.5f, 1.f, 1.f};
    const uint8_t value[2] = {200, 100};
    sheet_samples(&s, 0, 1, uv, value, 2);
    ok(pixel(&s, 0, 1, 2, 2)[0] == 200 && pixel(&s, 0, 1, 4, 3)[0] == 100 && pixel(&s, 0, 1, 0, 0)[0] < 40,
       "samples lie at their pixels, the corner included");
    sheet_marks(&s, 1, 1, uv, 2);
    ok(!memcmp(pixel(&s, 1, 1, 2, 2), colour_mark, 3) && !memcmp(pixel(&s, 1, 1, 4, 3), colour_mark, 3) &&
           pixel(&s, 1, 1, 1, 2)[0] == a[2 * W + 1],
       "marks lie on top of a frame");
    struct sheet wide;
    ok(!sheet_init(&wide, 40, 40, 1, 1, 2, &e), "a panel with room");
    sheet_samples(&wide, 0, 0, uv, value, 2);
    ok(pixel(&wide, 0, 0, 20, 20)[0] == 200 && pixel(&wide, 0, 0, 19, 19)[0] == 200 &&
           pixel(&wide, 0, 0, 18, 20)[0] < 40 && pixel(&wide, 0, 0, 38, 38)[0] == 100 &&
           pixel(&wide, 0, 0, 40, 39)[0] == pixel(&wide, 0, 0, 41, 0)[0],
       "few samples are dots larger than a pixel, cut at the panel's edge");
    sheet_marks(&wide, 0, 0, uv, 1);
    ok(!memcmp(pixel(&wide, 0, 0, 20, 20), colour_mark, 3) && pixel(&wide, 0, 0, 22, 20)[0] < 40,
       "a mark has a rim");
    sheet_release(&wide);
    ok(sheet_zoom(112, 112) == 2 && sheet_zoom(64, 32) == 4 && sheet_zoom(640, 480) == 1,
       "small frames are enlarged");
    sheet_caption(&s, 2, 1, "a caption much longer than the panel is wide");
    int drawn = 0, alike = 0;
    for (const char *c = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-+%/:="; *c; c++) {
        drawn += memcmp(font_glyph(*c), font_glyph(' '), FONT_HEIGHT) != 0;
        for (const char *d = c + 1; *d; d++)
            alike += !memcmp(font_glyph(*c), font_glyph(*d), FONT_HEIGHT);
    }
    ok(drawn == 69 && !alike && !memcmp(font_glyph('~'), font_glyph(' '), FONT_HEIGHT),
       "every letter, digit and sign looks like itself alone, others like a space");
    char path[] = "/tmp/sgaps-sheet-XXXXXX";
    int fd = mkstemp(path);
    close(fd);
    uint8_t *read = NULL;
    uint32_t w = 0, h = 0;
    ok(!sheet_write(&s, path, &e) && !png_read(path, &read, &w, &h, &e) && w == s.width && h == s.height,
       "the picture is a PNG of its size");
    free(read);
    unlink(path);
    sheet_release(&s);
    ok(sheet_init(&s, 10000, 10000, 9, 1, 4, &e) == ERR_USAGE, "a picture too large is refused");
    sheet_release(&s);
    return tap_done();
}
