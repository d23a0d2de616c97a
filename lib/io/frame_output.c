/* Films out: YUV4MPEG2, concatenated PGM, numbered PNG files. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic_file.h"
#include "base/mem.h"
#include "io/stream.h"

enum { SIDE = 16384, NAME = 4096 };

struct frame_output {
    enum stream_format format;
    struct out_stream out; /* not for PNG */
    char *path;
    int numbered; /* PNG: path is a pattern */
    int channels; /* of PNG: 1 or 3 */
    uint32_t W, H;
    size_t frames;
};

/* Whole numbers and thousandths as they are, the broadcast rates as over 1001; 30 when it is not known. */
static void ratio(double fps, long *n, long *d)
{
    *n = 30;
    *d = 1;
    if (!(fps > 0 && fps < 1e6))
        return;
    double over = fps * 1001 / 1000;
    if (fabs(fps - round(fps)) < 1e-9) {
        *n = lround(fps);
    } else if (fabs(over - round(over)) < 1e-3) {
        *n = lround(over) * 1000;
        *d = 1001;
    } else {
        *n = lround(fps * 1000);
        *d = 1000;
    }
    if (!*n)
        *n = 1;
}

/* A pattern has one %d (with zeros and a width), and %% for a percent sign. 1: it has, 0: none at all. */
static int check_pattern(const char *path, struct err *e)
{
    int numbers = 0;
    for (const char *p = path; *p; p++) {
        if (*p != '%')
            continue;
        if (*++p == '%')
            continue;
        while (*p == '0')
            p++;
        size_t digits = strspn(p, "0123456789");
        p += digits;
        if (*p != 'd' || digits > 2 || numbers++)
            return err_set(e, ERR_USAGE, "%s: a pattern has one %%d, such as %%06d", path), -1;
    }
    return numbers;
}

int frame_output_open(struct frame_output **result, enum stream_format format, const char *path, uint32_t W,
                      uint32_t H, double fps, struct err *e)
{
    struct frame_output *o;
    struct err own;
    e = e ? e : &own;
    *result = NULL;
    if (!W || !H || W > SIDE || H > SIDE)
        return err_set(e, ERR_DATA, "%s: frames of %ux%u: sides are 1 to %d", path, W, H, SIDE);
    int bad = mem_alloc(&o, 1, sizeof *o, "a stream", e);
    bad = bad ? bad : mem_string(&o->path, path, e);
    if (bad) {
        free(o);
        return bad;
    }
    o->out.file.slot = -1;
    o->format = format;
    o->channels = 1;
    o->W = W;
    o->H = H;
    if (format == STREAM_PNG) {
        o->numbered = strcmp(path, "-") ? check_pattern(path, e) : 0;
        bad = o->numbered < 0 ? e->code : 0;
    } else {
        bad = out_stream_open(&o->out, path, e);
    }
    if (!bad && format == STREAM_Y4M) {
        long n, d;
        ratio(fps, &n, &d);
        fprintf(o->out.f, "YUV4MPEG2 W%u H%u F%ld:%ld Ip A1:1 Cmono XCOLORRANGE=FULL\n", W, H, n, d);
    }
    if (bad)
        frame_output_abandon(o);
    else
        *result = o;
    return bad;
}

static int write_png(struct frame_output *o, const uint8_t *frame, struct err *e)
{
    char name[NAME];
    if (!o->numbered && o->frames)
        return err_set(e, ERR_USAGE, "%s: holds one frame, name a pattern such as out/%%06d.png for more",
                       o->path);
    if (o->numbered) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        int n = snprintf(name, sizeof name, o->path, (int)o->frames); /* one %d, see check_pattern */
#pragma GCC diagnostic pop
        if (n < 0 || n >= NAME)
            return err_set(e, ERR_CANTCREATE, "%s: the name is too long", o->path);
    }
    return png_write(o->numbered ? name : o->path, frame, o->W, o->H, o->channels, e);
}

void frame_output_set_colour(struct frame_output *o)
{
    o->channels = 3;
}

int frame_output_write(struct frame_output *o, const uint8_t *frame, struct err *e)
{
    size_t n = (size_t)o->W * o->H;
    int bad = 0;
    if (o->format == STREAM_PNG) {
        bad = write_png(o, frame, e);
    } else {
        if (o->format == STREAM_Y4M)
            fputs("FRAME\n", o->out.f);
        else
            fprintf(o->out.f, "P5\n%u %u\n255\n", o->W, o->H);
        if (fwrite(frame, 1, n, o->out.f) != n)
            bad = err_set(e, ERR_IO, "%s: write failed: %s",
                          strcmp(o->path, "-") ? o->path : "standard output", strerror(errno));
    }
    o->frames++;
    return bad;
}

int frame_output_close(struct frame_output *o, struct err *e)
{
    int bad = o->format == STREAM_PNG ? 0 : out_stream_close(&o->out, e);
    free(o->path);
    free(o);
    return bad;
}

void frame_output_abandon(struct frame_output *o)
{
    if (!o)
        return;
    if (o->format != STREAM_PNG)
        out_stream_abort(&o->out);
    free(o->path);
    free(o);
}
