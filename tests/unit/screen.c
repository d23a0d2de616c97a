/* lib/view: images made to fit, and drawn as characters. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "tap.h"
#include "view/blocks.h"
#include "view/image.h"

static int fits(uint32_t W, uint32_t H, uint32_t most_w, uint32_t most_h, uint32_t enough, uint32_t w,
                uint32_t h)
{
    const struct image p = {W, H, 1, NULL};
    uint32_t got_w, got_h;
    image_fit(&p, most_w, most_h, enough, &got_w, &got_h);
    if (got_w != w || got_h != h)
        tap_diag("%ux%u in %ux%u: %ux%u, wanted %ux%u", W, H, most_w, most_h, got_w, got_h, w, h);
    return got_w == w && got_h == h;
}

static void test_fit(void)
{
    ok(fits(64, 48, 800, 460, 640, 576, 432), "enlarged by a whole number that fits both sides");
    ok(fits(64, 64, 4000, 4000, 640, 640, 640), "until it is large enough");
    ok(fits(700, 500, 800, 600, 640, 700, 500), "its own size where it fits");
    ok(fits(224, 224, 80, 46, 640, 46, 46), "smaller, with its proportions");
    ok(fits(1000, 1, 10, 10, 640, 10, 1), "never nothing");
}

static void test_resample(void)
{
    const uint8_t grey[6] = {0, 100, 200, 10, 110, 210}, rgb[6] = {1, 2, 3, 101, 202, 255};
    uint8_t out[64];
    const struct image p = {3, 2, 1, grey}, colour = {2, 1, 3, rgb};
    image_resample(&p, 6, 4, out);
    int same = 1;
    for (int y = 0; y < 4; y++)
        for (int x = 0; x < 6; x++)
            same &= out[6 * y + x] == grey[3 * (y / 2) + x / 2];
    ok(same, "a whole multiple repeats pixels");
    image_resample(&p, 1, 1, out);
    ok(out[0] == 105, "one pixel is the mean of all: %d", out[0]);
    image_resample(&p, 2, 2, out); /* columns 0, half of 1; half of 1, 2 */
    ok(out[0] == 33 && out[1] == 167 && out[2] == 43 && out[3] == 177, "pixels count by their share: %d %d",
       out[0], out[1]);
    image_resample(&colour, 1, 1, out);
    ok(out[0] == 51 && out[1] == 102 && out[2] == 129, "each channel on its own");
}

/* What an index of xterm's palette shows, from 16 on. */
static void shown(int index, int rgb[3])
{
    static const int steps[] = {0, 95, 135, 175, 215, 255};
    for (int c = 0; c < 3; c++)
        rgb[c] = index >= 232 ? 8 + 10 * (index - 232)
                              : steps[(index - 16) /
                                      (c == 0   ? 36
                                       : c == 1 ? 6
                                                : 1) %
                                      6];
}

static int distance(const uint8_t *want, int index)
{
    int rgb[3], d = 0;
    shown(index, rgb);
    for (int c = 0; c < 3; c++)
        d += (rgb[c] - want[c]) * (rgb[c] - want[c]);
    return d;
}

static char *drawn(const struct image *p, int colours)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (colours < 0)
        letters_write(f, p);
    else
        blocks_write(f, p, colours);
    fclose(f);
    return text;
}

static void test_palette(void)
{
    int worst_cube = 0, worst_grey = 0;
    for (int i = 0; i < 4096 + 256; i++) {
        uint8_t rgb[3] = {(uint8_t)(i >> 8 << 4), (uint8_t)((i >> 4 & 15) << 4), (uint8_t)((i & 15) << 4)};
        int grey = i >= 4096, index = 0, best = INT_MAX;
        if (grey)
            memset(rgb, i - 4096, 3);
        const struct image p = {1, 1, 3, rgb};
        char *text = drawn(&p, 256);
        sscanf(text, "\033[38;5;%dm", &index);
        free(text);
        for (int k = 16; k < (grey ? 256 : 232); k++)
            best = distance(rgb, k) < best ? distance(rgb, k) : best;
        int more = distance(rgb, index) - best;
        if (grey)
            worst_grey = more > worst_grey ? more : worst_grey;
        else if (index < 232)
            worst_cube = more > worst_cube ? more : worst_cube;
    }
    ok(worst_cube == 0, "256 colours: the nearest of the cube: %d", worst_cube);
    ok(worst_grey <= 3 * 25, "greys: the nearest of their ramp, or as good: %d", worst_grey);
}

int main(void)
{
    test_fit();
    test_resample();
    const uint8_t pixels[6] = {0, 255, 0, 255, 128, 128};
    const struct image p = {2, 3, 1, pixels};
    char *text = drawn(&p, 0);
    ok(!strcmp(
           text,
           "\033[38;2;0;0;0m\033[48;2;0;0;0m\u2580\033[38;2;255;255;255m\033[48;2;255;255;255m\u2580\033[0m\n"
           "\033[38;2;128;128;128m\u2580\u2580\033[0m\n"),
       "half blocks: colours only where they change, an odd row without a lower half");
    free(text);
    text = drawn(&p, -1);
    ok(!strcmp(text, " @\n++\n"), "letters, each as high as two pixels");
    free(text);
    test_palette();
    return tap_done();
}
