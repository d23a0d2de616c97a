#include "view/blocks.h"

#include <stdlib.h>
#include <string.h>

static void colour_of(const struct image *p, uint32_t x, uint32_t y, uint8_t rgb[3])
{
    const uint8_t *at = p->pixels + ((size_t)y * p->W + x) * (size_t)p->channels;
    for (int c = 0; c < 3; c++)
        rgb[c] = at[p->channels == 3 ? c : 0];
}

/* xterm's 256 colours: a cube of 6 x 6 x 6 from 16 on, its steps 0 95 135 175 215 255; greys 8 18 ... 238 from 232 on. */
static int step_of(int x)
{
    return x < 48 ? 0 : x < 115 ? 1 : (x - 35) / 40;
}

static int index_of(const uint8_t rgb[3])
{
    int high = 0, low = 255;
    for (int c = 0; c < 3; c++) {
        high = rgb[c] > high ? rgb[c] : high;
        low = rgb[c] < low ? rgb[c] : low;
    }
    if (high - low < 8)
        return high < 4 ? 16 : low > 246 ? 231 : 232 + (high < 8 ? 0 : high > 238 ? 23 : (high - 3) / 10);
    return 16 + 36 * step_of(rgb[0]) + 6 * step_of(rgb[1]) + step_of(rgb[2]);
}

/* 38: the upper half, 48: the lower. */
static void set_colour(FILE *f, int layer, const uint8_t rgb[3], int colours)
{
    if (colours == 256)
        fprintf(f, "\033[%d;5;%dm", layer, index_of(rgb));
    else
        fprintf(f, "\033[%d;2;%d;%d;%dm", layer, rgb[0], rgb[1], rgb[2]);
}

void blocks_write(FILE *f, const struct image *p, int colours)
{
    for (uint32_t y = 0; y < p->H; y += 2) {
        uint8_t upper[3] = {0}, lower[3] = {0}, now[3];
        for (uint32_t x = 0; x < p->W; x++) {
            colour_of(p, x, y, now);
            if (!x || memcmp(now, upper, 3))
                set_colour(f, 38, now, colours);
            memcpy(upper, now, 3);
            if (y + 1 < p->H) { /* else the terminal's own background */
                colour_of(p, x, y + 1, now);
                if (!x || memcmp(now, lower, 3))
                    set_colour(f, 48, now, colours);
                memcpy(lower, now, 3);
            }
            fputs("\u2580", f);
        }
        fputs("\033[0m\n", f);
    }
}

void letters_write(FILE *f, const struct image *p)
{
    static const char ramp[] = " .:-=+*#%@";
    for (uint32_t y = 0; y < p->H; y += 2) {
        for (uint32_t x = 0; x < p->W; x++) {
            int sum = 0, n = 0;
            for (uint32_t row = y; row < y + 2 && row < p->H; row++, n++) {
                uint8_t rgb[3];
                colour_of(p, x, row, rgb);
                sum += (299 * rgb[0] + 587 * rgb[1] + 114 * rgb[2]) / 1000; /* Rec. 601 */
            }
            putc(ramp[sum / n * 10 / 256], f);
        }
        putc('\n', f);
    }
}
