/* Films as streams: YUV4MPEG2, concatenated PGM or PNG. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/parse.h"
#include "io/png_file.h"
#include "io/stream.h"

enum { SIDE = 16384, HEADER_LIMIT = 1024 };

struct frame_input {
    struct peek_file file;
    enum stream_format format;
    uint32_t W, H;
    double fps;
    size_t frames;   /* read so far */
    size_t skip;     /* Y4M: bytes of chroma after the luma */
    int started;     /* PGM: the first header was read already */
    unsigned depth;  /* PGM: its largest value */
    uint8_t *pixels; /* PNG: the first picture */
};

static int fault(const struct frame_input *in, struct err *e, const char *what)
{
    if (ferror(in->file.f))
        return err_set(e, ERR_IO, "%s: read failed: %s", in->file.name, strerror(errno));
    return err_set(e, ERR_DATA, "%s: frame %zu: %s", in->file.name, in->frames, what);
}

static int get(struct frame_input *in)
{
    unsigned char c;
    return peek_read(&in->file, &c, 1) == 1 ? c : EOF;
}

static int check_sides(const struct frame_input *in, unsigned long long W, unsigned long long H,
                       struct err *e)
{
    if (W < 1 || H < 1 || W > SIDE || H > SIDE)
        return err_set(e, ERR_DATA, "%s: frames are %llux%llu, sides are 1 to %d", in->file.name, W, H, SIDE);
    return 0;
}

/* --- YUV4MPEG2 --- */

/* A line without its end; -1 at the end of the stream, -2 when it is too long or cut. */
static int read_line(struct frame_input *in, char *line)
{
    int c, n = 0;
    while ((c = get(in)) != EOF && c != '\n') {
        if (n == HEADER_LIMIT - 1)
            return -2;
        line[n++] = (char)c;
    }
    line[n] = 0;
    return c == EOF ? (n ? -2 : -1) : n;
}

/* Bytes of chroma (and alpha) after each luma plane, or -1 for layouts that have no 8-bit luma plane. */
static long long chroma_bytes(const char *layout, long long W, long long H)
{
    static const struct {
        const char *name;
        int across, down, planes;
    } known[] = {
        {"420jpeg", 2, 2, 2},  {"420mpeg2", 2, 2, 2}, {"420paldv", 2, 2, 2},
        {"420", 2, 2, 2},      {"411", 4, 1, 2},      {"422", 2, 1, 2},
        {"444alpha", 1, 1, 3}, {"444", 1, 1, 2},      {"mono", 1, 1, 0},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(layout, known[i].name))
            return known[i].planes * ((W + known[i].across - 1) / known[i].across) *
                   ((H + known[i].down - 1) / known[i].down);
    return -1;
}

static int y4m_tag(struct frame_input *in, char *tag, char *layout, size_t size, struct err *e)
{
    int64_t n = 0, d = 0;
    char *colon;
    switch (*tag) {
    case 'W':
    case 'H':
        if (parse_i64(tag + 1, 1, SIDE, *tag == 'W' ? "W" : "H", &n, ERR_DATA, e))
            return err_prefix(e, "%s: YUV4MPEG2 header: ", in->file.name);
        *(*tag == 'W' ? &in->W : &in->H) = (uint32_t)n;
        break;
    case 'F':
        colon = strchr(tag, ':');
        if (colon)
            *colon = 0;
        if (!colon || parse_i64(tag + 1, 0, INT32_MAX, "F", &n, ERR_DATA, NULL) ||
            parse_i64(colon + 1, 0, INT32_MAX, "F", &d, ERR_DATA, NULL))
            return err_set(e, ERR_DATA, "%s: YUV4MPEG2 header: F is no ratio", in->file.name);
        in->fps = n && d ? (double)n / (double)d : 0;
        break;
    case 'C':
        snprintf(layout, size, "%s", tag + 1);
        break;
    case 'X':
        if (!strcmp(tag, "XCOLORRANGE=LIMITED"))
            log_note("%s: limited range (16..235): taken as it is", in->file.name);
        break;
    default: /* interlacing, aspect: of no matter here */
        break;
    }
    return 0;
}

static int y4m_open(struct frame_input *in, struct err *e)
{
    char line[HEADER_LIMIT], layout[32] = "420", *rest = NULL;
    if (read_line(in, line) < 0)
        return err_set(e, ERR_DATA, "%s: the YUV4MPEG2 header is cut or too long", in->file.name);
    strtok_r(line, " ", &rest);
    for (char *tag; (tag = strtok_r(NULL, " ", &rest));) {
        int bad = y4m_tag(in, tag, layout, sizeof layout, e);
        if (bad)
            return bad;
    }
    int bad = check_sides(in, in->W, in->H, e);
    if (bad)
        return bad;
    long long skip = chroma_bytes(layout, in->W, in->H);
    if (skip < 0)
        return err_set(e, ERR_DATA, "%s: the layout C%s has no 8-bit luma: use -pix_fmt gray or yuv420p",
                       in->file.name, layout);
    in->skip = (size_t)skip;
    return 0;
}

static int skip_bytes(struct frame_input *in, size_t n)
{
    char buffer[4096];
    while (n) {
        size_t part = n < sizeof buffer ? n : sizeof buffer;
        if (peek_read(&in->file, buffer, part) != part)
            return -1;
        n -= part;
    }
    return 0;
}

static int y4m_read(struct frame_input *in, uint8_t *out, struct err *e)
{
    char line[HEADER_LIMIT];
    size_t n = (size_t)in->W * in->H;
    int length = read_line(in, line);
    if (length == -1 && !ferror(in->file.f))
        return 0;
    if (length < 0 || strncmp(line, "FRAME", 5) || (line[5] && line[5] != ' ')) {
        fault(in, e, "does not begin with FRAME");
        return -1;
    }
    if (peek_read(&in->file, out, n) != n || skip_bytes(in, in->skip)) {
        fault(in, e, "is truncated");
        return -1;
    }
    return 1;
}

/* --- PGM --- */

/* The next number of a PNM header; comments run to the line's end. -1: none. */
static long long pnm_number(struct frame_input *in)
{
    int c = get(in);
    while (c != EOF && (isspace(c) || c == '#')) {
        while (c == '#' && c != EOF)
            while ((c = get(in)) != EOF && c != '\n')
                ;
        c = get(in);
    }
    long long n = -1;
    for (; c != EOF && isdigit(c) && n < 1000000; c = get(in))
        n = (n < 0 ? 0 : n * 10) + (c - '0');
    return c != EOF && isspace(c) ? n : -1; /* one white space ends a number, the last one the header */
}

/* 1: a header; 0: the end; -1: neither. */
static int pgm_header(struct frame_input *in, uint32_t *W, uint32_t *H, struct err *e)
{
    int c;
    while ((c = get(in)) != EOF && isspace(c))
        ;
    if (c == EOF && !ferror(in->file.f))
        return 0;
    long long w = -1, h = -1, depth = -1;
    if (c == 'P' && get(in) == '5') {
        w = pnm_number(in);
        h = pnm_number(in);
        depth = pnm_number(in);
    }
    if (w < 0 || h < 0 || depth < 1 || depth > 65535) {
        fault(in, e, "has no sound PGM (P5) header");
        return -1;
    }
    if (check_sides(in, (unsigned long long)w, (unsigned long long)h, e))
        return -1;
    *W = (uint32_t)w;
    *H = (uint32_t)h;
    in->depth = (unsigned)depth;
    return 1;
}

static int pgm_open(struct frame_input *in, struct err *e)
{
    int r = pgm_header(in, &in->W, &in->H, e);
    if (r == 0)
        return err_set(e, ERR_DATA, "%s: holds no frame", in->file.name);
    in->started = 1;
    return r < 0 ? e->code : 0;
}

/* Values of another depth are scaled to 0..255. */
static uint8_t scale(unsigned value, unsigned depth)
{
    return value >= depth ? 255 : (uint8_t)((value * 255u + depth / 2) / depth);
}

static int pgm_pixels(struct frame_input *in, uint8_t *out)
{
    size_t n = (size_t)in->W * in->H;
    if (in->depth < 256) {
        if (peek_read(&in->file, out, n) != n)
            return -1;
        for (size_t i = 0; i < n && in->depth != 255; i++)
            out[i] = scale(out[i], in->depth);
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        uint8_t pair[2];
        if (peek_read(&in->file, pair, 2) != 2)
            return -1;
        out[i] = scale(pair[0] * 256u + pair[1], in->depth);
    }
    return 0;
}

static int pgm_read(struct frame_input *in, uint8_t *out, struct err *e)
{
    uint32_t W = in->W, H = in->H;
    int r = in->started ? 1 : pgm_header(in, &W, &H, e);
    if (r <= 0)
        return r;
    in->started = 0;
    if (W != in->W || H != in->H) {
        err_set(e, ERR_DATA, "%s: frame %zu: is %ux%u, the first is %ux%u", in->file.name, in->frames, W, H,
                in->W, in->H);
        return -1;
    }
    if (pgm_pixels(in, out)) {
        fault(in, e, "is truncated");
        return -1;
    }
    return 1;
}

/* --- PNG --- */

static size_t read_peeked(void *source, void *out, size_t n)
{
    return peek_read(source, out, n);
}

/* libpng takes a picture's bytes and not one more, so the next begins where it stopped. */
static int png_read_next(struct frame_input *in, uint8_t *out, struct err *e)
{
    uint32_t W = in->W, H = in->H;
    uint8_t *pixels = in->pixels;
    in->pixels = NULL;
    if (!pixels) {
        int c = getc(in->file.f);
        if (c == EOF)
            return ferror(in->file.f) ? (fault(in, e, ""), -1) : 0;
        ungetc(c, in->file.f);
        if (png_decode(read_peeked, &in->file, in->file.name, &pixels, &W, &H, e))
            return -1;
    }
    int same = W == in->W && H == in->H;
    if (same)
        memcpy(out, pixels, (size_t)W * H);
    else
        err_set(e, ERR_DATA, "%s: frame %zu: is %ux%u, the first is %ux%u", in->file.name, in->frames, W, H,
                in->W, in->H);
    free(pixels);
    return same ? 1 : -1;
}

/* --- all of them --- */

int frame_input_open(struct frame_input **out, struct peek_file *p, struct err *e)
{
    struct frame_input *in;
    *out = NULL;
    int bad = mem_alloc(&in, 1, sizeof *in, "a stream", e);
    if (bad) {
        peek_close(p);
        return bad;
    }
    in->file = *p;
    p->f = NULL; /* taken over */
    in->format = peek_format(&in->file);
    if (in->format == STREAM_Y4M)
        bad = y4m_open(in, e);
    else if (in->format == STREAM_PGM)
        bad = pgm_open(in, e);
    else if (in->format == STREAM_PNG)
        bad = png_decode(read_peeked, &in->file, in->file.name, &in->pixels, &in->W, &in->H, e);
    else
        bad = err_set(e, ERR_DATA, "%s: is neither Y4M, PGM nor PNG", in->file.name);
    if (bad) {
        frame_input_close(in);
        return bad;
    }
    *out = in;
    return 0;
}

void frame_input_size(const struct frame_input *in, uint32_t *W, uint32_t *H, double *fps)
{
    *W = in->W;
    *H = in->H;
    *fps = in->fps;
}

int frame_input_read(struct frame_input *in, uint8_t *out, struct err *e)
{
    int r;
    struct err own;
    e = e ? e : &own;
    if (in->format == STREAM_Y4M)
        r = y4m_read(in, out, e);
    else if (in->format == STREAM_PGM)
        r = pgm_read(in, out, e);
    else
        r = png_read_next(in, out, e);
    in->frames += r > 0;
    return r;
}

void frame_input_close(struct frame_input *in)
{
    if (!in)
        return;
    peek_close(&in->file);
    free(in->pixels);
    free(in);
}
