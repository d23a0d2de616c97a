#include "io/png_file.h"

#include <errno.h>
#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic_file.h"
#include "base/mem.h"
#include "io/stream.h"

enum { PNG_SIDE = 16384 };

/* libpng reports by jumping: what must survive the jump lives here, outside of the function that is left. */
struct decoder {
    png_source_fn read;
    void *source;
    char reason[128];
    jmp_buf back;
    uint8_t *pixels;
    png_bytep *rows;
    uint32_t W, H;
    int colour, wanted; /* channels wanted */
};

static void on_error(png_structp png, png_const_charp text)
{
    struct decoder *d = png_get_error_ptr(png);
    snprintf(d->reason, sizeof d->reason, "%s", text);
    longjmp(d->back, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static void on_read(png_structp png, png_bytep out, size_t n)
{
    struct decoder *d = png_get_io_ptr(png);
    if (d->read(d->source, out, n) != n)
        png_error(png, "is truncated");
}

/* Rec. 601 luma, rounded. */
static uint8_t luma(const uint8_t *p)
{
    return (uint8_t)((299u * p[0] + 587u * p[1] + 114u * p[2] + 500u) / 1000u);
}

static void decode(struct decoder *d, png_structp png, png_infop info)
{
    png_set_user_limits(png, PNG_SIDE, PNG_SIDE);
    png_set_read_fn(png, d, on_read);
    png_read_info(png, info);
    d->W = png_get_image_width(png, info);
    d->H = png_get_image_height(png, info);
    d->colour = (png_get_color_type(png, info) & PNG_COLOR_MASK_COLOR) != 0;
    png_set_expand(png); /* palettes, 1 to 4 bits, transparency */
    png_set_scale_16(png);
    png_set_strip_alpha(png);
    if (d->wanted == 3 && !d->colour) {
        png_set_gray_to_rgb(png);
        d->colour = 1;
    }
    png_set_interlace_handling(png);
    png_read_update_info(png, info);
    size_t stride = png_get_rowbytes(png, info);
    if (stride != (size_t)d->W * (d->colour ? 3 : 1))
        png_error(png, "has an unexpected pixel layout");
    /* calloc: pages of a picture that declares more than it holds are never touched. */
    d->pixels = calloc(d->H, stride);
    d->rows = malloc(d->H * sizeof *d->rows);
    if (!d->pixels || !d->rows)
        png_error(png, "does not fit in memory");
    for (uint32_t y = 0; y < d->H; y++)
        d->rows[y] = d->pixels + y * stride;
    png_read_image(png, d->rows);
    png_read_end(png, NULL);
    if (d->colour && d->wanted == 1)
        for (size_t i = 0; i < (size_t)d->W * d->H; i++)
            d->pixels[i] = luma(d->pixels + 3 * i);
}

static int decode_as(int channels, png_source_fn read, void *source, const char *name, uint8_t **pixels,
                     uint32_t *W, uint32_t *H, struct err *e)
{
    struct decoder d = {.read = read, .source = source, .wanted = channels};
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &d, on_error, on_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    if (!info) {
        png_destroy_read_struct(&png, NULL, NULL);
        return err_set(e, ERR_INTERNAL, "%s: libpng cannot start", name);
    }
    int bad = setjmp(d.back) != 0;
    if (!bad)
        decode(&d, png, info);
    png_destroy_read_struct(&png, &info, NULL);
    free(d.rows);
    if (bad) {
        free(d.pixels);
        return err_set(e, ERR_DATA, "%s: is no sound PNG: %s", name, d.reason);
    }
    *pixels = d.pixels;
    *W = d.W;
    *H = d.H;
    return 0;
}

int png_decode(png_source_fn read, void *source, const char *name, uint8_t **pixels, uint32_t *W, uint32_t *H,
               struct err *e)
{
    return decode_as(1, read, source, name, pixels, W, H, e);
}

static size_t read_peeked(void *source, void *out, size_t n)
{
    return peek_read(source, out, n);
}

int png_read(const char *path, uint8_t **pixels, uint32_t *W, uint32_t *H, struct err *e)
{
    struct peek_file p;
    int bad = peek_open(&p, path, e);
    if (bad)
        return bad;
    bad = peek_format(&p) == STREAM_PNG ? png_decode(read_peeked, &p, p.name, pixels, W, H, e)
                                        : err_set(e, ERR_DATA, "%s: is not a PNG file", p.name);
    peek_close(&p);
    return bad;
}

static size_t read_stream(void *source, void *out, size_t n)
{
    return fread(out, 1, n, source);
}

int png_read_rgb(FILE *f, const char *name, uint8_t **pixels, uint32_t *W, uint32_t *H, struct err *e)
{
    return decode_as(3, read_stream, f, name, pixels, W, H, e);
}

/* --- writing --- */

/* Goes to a file, or into memory. */
struct encoder {
    FILE *f;
    struct text *text;
    const uint8_t (*palette)[3]; /* 256 colours, or NULL */
    char reason[128];
    jmp_buf back;
};

static void on_encode_error(png_structp png, png_const_charp text)
{
    struct encoder *d = png_get_error_ptr(png);
    snprintf(d->reason, sizeof d->reason, "%s", text);
    longjmp(d->back, 1);
}

static void on_write(png_structp png, png_bytep data, size_t n)
{
    struct encoder *d = png_get_io_ptr(png);
    if (d->text)
        text_bytes(d->text, data, n);
    else if (fwrite(data, 1, n, d->f) != n)
        png_error(png, "write failed");
}

static void on_flush(png_structp png)
{
    (void)png;
}

static void encode(struct encoder *d, png_structp png, png_infop info, const uint8_t *pixels, uint32_t W,
                   uint32_t H, int channels)
{
    png_set_write_fn(png, d, on_write, on_flush);
    if (d->text) {
        /* For a client that waits: speed before size. */
        png_set_compression_level(png, 1);
        png_set_filter(png, 0, d->palette ? PNG_FILTER_NONE : PNG_FILTER_SUB);
    }
    int type = d->palette ? PNG_COLOR_TYPE_PALETTE : channels == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY;
    png_set_IHDR(png, info, W, H, 8, type, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    if (d->palette) {
        png_color colours[256];
        for (int i = 0; i < 256; i++)
            colours[i] = (png_color){d->palette[i][0], d->palette[i][1], d->palette[i][2]};
        png_set_PLTE(png, info, colours, 256);
    }
    png_write_info(png, info);
    for (uint32_t y = 0; y < H; y++)
        png_write_row(png, pixels + (size_t)y * W * (size_t)channels);
    png_write_end(png, NULL);
}

static int check_size(const char *name, uint32_t W, uint32_t H, struct err *e)
{
    if (!W || !H || W > PNG_SIDE || H > PNG_SIDE)
        return err_set(e, ERR_INTERNAL, "%s: %ux%u is no size of a picture", name, W, H);
    return 0;
}

static int encode_all(struct encoder *d, const char *name, const uint8_t *pixels, uint32_t W, uint32_t H,
                      int channels, struct err *e)
{
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, d, on_encode_error, on_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    if (!info) {
        png_destroy_write_struct(&png, NULL);
        return err_set(e, ERR_INTERNAL, "%s: libpng cannot start", name);
    }
    errno = 0;
    int bad = setjmp(d->back) != 0;
    if (!bad)
        encode(d, png, info, pixels, W, H, channels);
    png_destroy_write_struct(&png, &info);
    if (bad)
        return err_set(e, ERR_IO, "%s: %s%s%s", name, d->reason, errno ? ": " : "",
                       errno ? strerror(errno) : "");
    return 0;
}

int png_write(const char *path, const uint8_t *pixels, uint32_t W, uint32_t H, int channels, struct err *e)
{
    struct out_stream out;
    int bad = check_size(path, W, H, e);
    if (!bad)
        bad = out_stream_open(&out, path, e);
    if (bad)
        return bad;
    struct encoder d = {.f = out.f};
    bad = encode_all(&d, path, pixels, W, H, channels, e);
    if (!bad)
        return out_stream_close(&out, e);
    out_stream_abort(&out);
    return bad;
}

int png_encode(struct text *out, const uint8_t *pixels, uint32_t W, uint32_t H, const uint8_t palette[256][3],
               struct err *e)
{
    struct encoder d = {.text = out, .palette = palette};
    int bad = check_size("a picture", W, H, e);
    if (!bad)
        bad = encode_all(&d, "a picture", pixels, W, H, 1, e);
    return bad ? bad : out->failed ? err_memory(e, "a picture", out->n) : 0;
}
