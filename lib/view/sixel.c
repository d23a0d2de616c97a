#include "view/sixel.h"

#include <errno.h>
#include <limits.h>
#include <sixel.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static int put(char *data, int size, void *user)
{
    return fwrite(data, 1, (size_t)size, user) == (size_t)size ? size : -1;
}

/* libsixel's built-in greys misread 8-bit pixels without a word, so the palette is our own. */
static int grey_dither(sixel_dither_t **dither)
{
    uint8_t palette[3 * SIXEL_GREYS];
    for (int i = 0; i < SIXEL_GREYS; i++)
        memset(palette + 3 * i, (i * 255 + (SIXEL_GREYS - 1) / 2) / (SIXEL_GREYS - 1), 3);
    SIXELSTATUS s = sixel_dither_new(dither, SIXEL_GREYS, NULL);
    if (SIXEL_FAILED(s))
        return s;
    sixel_dither_set_palette(*dither, palette);
    sixel_dither_set_pixelformat(*dither, SIXEL_PIXELFORMAT_PAL8);
    return s;
}

static int colour_dither(sixel_dither_t **dither, uint8_t *pixels, const struct image *p)
{
    SIXELSTATUS s = sixel_dither_new(dither, 256, NULL);
    if (!SIXEL_FAILED(s))
        s = sixel_dither_initialize(*dither, pixels, (int)p->W, (int)p->H, SIXEL_PIXELFORMAT_RGB888,
                                    SIXEL_LARGE_AUTO, SIXEL_REP_AUTO, SIXEL_QUALITY_HIGH);
    if (!SIXEL_FAILED(s))
        sixel_dither_set_diffusion_type(*dither, SIXEL_DIFFUSE_NONE);
    return s;
}

int sixel_write(FILE *f, const struct image *p, struct err *e)
{
    size_t n = (size_t)p->W * p->H;
    sixel_output_t *output = NULL;
    sixel_dither_t *dither = NULL;
    uint8_t *pixels; /* the encoder wants to own them */
    int r = mem_alloc(&pixels, n, (size_t)p->channels, "a sixel picture", e);
    if (r)
        return r;
    if (p->channels == 1)
        for (size_t i = 0; i < n; i++)
            pixels[i] = (uint8_t)((p->pixels[i] * (SIXEL_GREYS - 1) + 127) / 255);
    else
        memcpy(pixels, p->pixels, 3 * n);
    SIXELSTATUS s = p->channels == 1 ? grey_dither(&dither) : colour_dither(&dither, pixels, p);
    if (!SIXEL_FAILED(s))
        s = sixel_output_new(&output, put, f, NULL);
    errno = 0;
    if (!SIXEL_FAILED(s))
        s = sixel_encode(pixels, (int)p->W, (int)p->H, 0, dither, output);
    if (ferror(f))
        r = err_set(e, ERR_IO, "a sixel picture: write failed: %s", strerror(errno ? errno : EIO));
    else if (SIXEL_FAILED(s))
        r = err_set(e, ERR_INTERNAL, "libsixel: %s", sixel_helper_format_error(s));
    if (output)
        sixel_output_unref(output);
    if (dither)
        sixel_dither_unref(dither);
    free(pixels);
    return r;
}
