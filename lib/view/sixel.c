#include "view/sixel.h"

#include <errno.h>
#include <sixel.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static int put(char *data, int size, void *user)
{
    return fwrite(data, 1, (size_t)size, user) == (size_t)size ? size : -1;
}

/* --- colours: a palette of our own, since libsixel's built-in greys misread 8-bit pixels without a word, and its choice of
 * colours leaves a frame beside a map a dozen greys --- */

enum { COLOURS = 256, SLOTS = 1024 };

struct palette {
    uint8_t rgb[3 * COLOURS];
    int n;
    uint32_t key[SLOTS]; /* a colour's levels + 1; 0: free */
    uint8_t index[SLOTS];
};

static uint32_t level(uint32_t x, uint32_t levels)
{
    return (x * (levels - 1) + 127) / 255;
}

static uint8_t of_level(uint32_t i, uint32_t levels)
{
    return (uint8_t)((i * 255 + (levels - 1) / 2) / (levels - 1));
}

/* The index of a colour, which is added where it is new; -1: there is no room. */
static int look_up(struct palette *p, uint32_t key, const uint8_t rgb[3])
{
    uint32_t slot = (key * 2654435761u) >> 22; /* Knuth's multiplicative hash, ten bits of it */
    while (p->key[slot] && p->key[slot] != key)
        slot = (slot + 1) % SLOTS;
    if (!p->key[slot]) {
        if (p->n == COLOURS)
            return -1;
        memcpy(p->rgb + 3 * p->n, rgb, 3);
        p->index[slot] = (uint8_t)p->n++;
        p->key[slot] = key;
    }
    return p->index[slot];
}

/* Greys at SIXEL_GREYS levels, other colours at so many a channel. 1: all pixels have found a colour. */
static int assign(struct palette *p, const struct image *image, uint32_t levels, uint8_t *out)
{
    memset(p, 0, sizeof *p);
    for (size_t i = 0; i < (size_t)image->W * image->H; i++) {
        const uint8_t *in = image->pixels + 3 * i;
        int grey = in[0] == in[1] && in[0] == in[2], found;
        uint32_t n = grey ? SIXEL_GREYS : levels, l[3];
        uint8_t rgb[3];
        for (int c = 0; c < 3; c++) {
            l[c] = level(in[c], n);
            rgb[c] = of_level(l[c], n);
        }
        if ((found = look_up(p, (l[0] << 16 | l[1] << 8 | l[2] | (uint32_t)grey << 24) + 1, rgb)) < 0)
            return 0;
        out[i] = (uint8_t)found;
    }
    return 1;
}

static void choose_colours(struct palette *p, const struct image *image, uint8_t *out)
{
    /* 101 is all that sixel can tell; 5 always fit, beside the greys */
    static const uint32_t levels[] = {101, 64, 32, 24, 16, 12, 8, 5};
    size_t i = 0;
    while (!assign(p, image, levels[i], out))
        i++;
}

static void choose_greys(struct palette *p, const struct image *image, uint8_t *out)
{
    p->n = SIXEL_GREYS;
    for (uint32_t i = 0; i < SIXEL_GREYS; i++)
        memset(p->rgb + 3 * i, of_level(i, SIXEL_GREYS), 3);
    for (size_t i = 0; i < (size_t)image->W * image->H; i++)
        out[i] = (uint8_t)level(image->pixels[i], SIXEL_GREYS);
}

static SIXELSTATUS encode(FILE *f, const struct image *p, struct palette *palette, uint8_t *pixels)
{
    sixel_output_t *output = NULL;
    sixel_dither_t *dither = NULL;
    SIXELSTATUS s = sixel_output_new(&output, put, f, NULL);
    if (!SIXEL_FAILED(s))
        s = sixel_dither_new(&dither, palette->n, NULL);
    if (!SIXEL_FAILED(s)) {
        sixel_dither_set_palette(dither, palette->rgb);
        sixel_dither_set_pixelformat(dither, SIXEL_PIXELFORMAT_PAL8);
        s = sixel_encode(pixels, (int)p->W, (int)p->H, 0, dither, output);
    }
    if (output)
        sixel_output_unref(output);
    if (dither)
        sixel_dither_unref(dither);
    return s;
}

int sixel_write(FILE *f, const struct image *p, struct err *e)
{
    struct palette palette;
    uint8_t *pixels;
    int r = mem_alloc(&pixels, p->W, p->H, "a sixel picture", e);
    if (r)
        return r;
    if (p->channels == 1)
        choose_greys(&palette, p, pixels);
    else
        choose_colours(&palette, p, pixels);
    errno = 0;
    SIXELSTATUS s = encode(f, p, &palette, pixels);
    if (ferror(f))
        r = err_set(e, ERR_IO, "write failed: %s", strerror(errno ? errno : EIO));
    else if (SIXEL_FAILED(s))
        r = err_set(e, ERR_INTERNAL, "libsixel: %s", sixel_helper_format_error(s));
    free(pixels);
    return r;
}
