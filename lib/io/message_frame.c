/* frame_data and frame_data_debug: one pass over the text, nothing built but what the message holds. */
#include <limits.h>
#include <math.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/message_private.h"
#include "io/png_file.h"
#include "io/stream.h"

const double message_frame_id_limit = 9007199254740992.0;

static int whole_number(struct message_reader *r, const char *name, int64_t *out)
{
    static const char above[] = "9007199254740993"; /* as a double it is the limit */
    const char *from = r->s.at;
    double x;
    if (message_whole(r, name, 0, message_frame_id_limit, &x))
        return -1;
    if (memmem(from, (size_t)(r->s.at - from), above, strlen(above)))
        return message_refuse(r, r->usual, "%s: %s is outside [0,2^53]", name, above);
    *out = (int64_t)x;
    return 0;
}

static int read_frame_id(struct message_reader *r, const char *name)
{
    r->has_frame_id = 1;
    return whole_number(r, name, &r->m->frame_id);
}

static int read_set_id(struct message_reader *r, const char *name)
{
    return whole_number(r, name, &r->m->set_id);
}

static int read_timestamp(struct message_reader *r, const char *name)
{
    struct message_place at = {name, SIZE_MAX, NULL};
    return message_number(r, at, -1e300, 1e300, &r->m->timestamp);
}

static int read_num_pixels(struct message_reader *r, const char *name)
{
    return message_whole(r, name, 0, message_frame_id_limit, &r->num_pixels);
}

/* --- samples --- */

int message_sample_room(struct message *m, size_t n, struct err *e)
{
    size_t points = m->capacity, values = m->capacity;
    int bad = mem_grow(&m->uv, &points, n, 2 * sizeof *m->uv, "samples", e);
    bad = bad ? bad : mem_grow(&m->value, &values, points, sizeof *m->value, "samples", e);
    if (!bad)
        m->capacity = points;
    return bad;
}

int message_state_room(struct message *m, size_t n, struct err *e)
{
    return mem_grow(&m->state, &m->state_capacity, n, sizeof *m->state, "a state", e);
}

uint8_t message_scale(float value, double value_range)
{
    return (uint8_t)lrint(value * (255 / value_range));
}

static int inside(double x, double high)
{
    return x >= 0 && x <= high;
}

static int pixel(struct message_reader *r, size_t i, double p[3])
{
    static const char *const names[3] = {"u", "v", "value"};
    static const char *const lead[3] = {"{\"u\":", ",\"v\":", ",\"value\":"};
    const double high[3] = {1, 1, r->value_range};
    const char *start = r->s.at;
    if (scan_usual(&r->s, lead, 3, p)) {
        if (inside(p[0], high[0]) && inside(p[1], high[1]) && inside(p[2], high[2]))
            return 0;
        r->s.at = start; /* once more, for the words */
    }
    unsigned seen = 0;
    size_t n = 0;
    if (scan_peek(&r->s) != '{')
        return message_refuse(r, r->usual, "pixels[%zu]: is no object", i);
    for (scan_open(&r->s, '{'); scan_next(&r->s, '}', n); n++) {
        int which = scan_name(&r->s, names, 3);
        if (which < 0)
            break;
        if (which == 3) {
            scan_skip(&r->s, NULL, NULL);
            continue;
        }
        struct message_place at = {"pixels", i, names[which]};
        if (seen & (1u << which))
            return message_refuse(r, r->usual, "pixels[%zu].%s: is there twice", i, names[which]);
        seen |= 1u << which;
        if (message_number(r, at, 0, high[which], &p[which]))
            return -1;
    }
    if (r->s.wrong)
        return message_refuse(r, MESSAGE_INVALID_JSON, "invalid JSON at byte %zu: %s (pixels[%zu])",
                              (size_t)(r->s.at - r->s.start), r->s.wrong, i);
    for (int which = 0; which < 3; which++)
        if (!(seen & (1u << which)))
            return message_refuse(r, r->usual, "pixels[%zu]: has no %s", i, names[which]);
    return 0;
}

static int read_pixels(struct message_reader *r, const char *name)
{
    struct message *m = r->m;
    r->has_pixels = 1;
    for (scan_open(&r->s, '['); scan_next(&r->s, ']', m->n); m->n++) {
        double p[3] = {0};
        if (m->n >= r->max_samples)
            return message_refuse(r, r->usual, "%s: more than %zu", name, r->max_samples);
        if (pixel(r, m->n, p))
            return -1;
        if (m->n >= m->capacity && (r->bad = message_sample_room(m, m->n + 1, r->e)))
            return -1;
        m->uv[2 * m->n] = (float)p[0];
        m->uv[2 * m->n + 1] = (float)p[1];
        m->value[m->n] = message_scale((float)p[2], r->value_range);
    }
    return r->s.wrong ? message_syntax(r) : 0;
}

/* What still rounds to a finite float: the largest one, written with nine digits, is a little above it. */
static const double FLOAT_LIMIT = 0x1.fffffefp127;

static int read_state(struct message_reader *r, const char *name)
{
    struct message *m = r->m;
    for (scan_open(&r->s, '['); scan_next(&r->s, ']', m->state_n); m->state_n++) {
        struct message_place at = {name, m->state_n, NULL};
        double x;
        if (m->state_n >= r->max_state)
            return message_refuse(r, MESSAGE_STATE_TOO_LONG, "%s: more than %zu values", name, r->max_state);
        if (message_number(r, at, -FLOAT_LIMIT, FLOAT_LIMIT, &x))
            return -1;
        if (m->state_n >= m->state_capacity && (r->bad = message_state_room(m, m->state_n + 1, r->e)))
            return -1;
        m->state[m->state_n] = (float)x;
    }
    return r->s.wrong ? message_syntax(r) : 0;
}

/* --- the full frame --- */

/* An 8K screen. A small file can declare far more than it holds, and is decoded while others wait. */
enum { IMAGE_PIXELS = 1 << 25 };

struct bytes {
    const unsigned char *at;
    size_t left;
};

static size_t read_bytes(void *source, void *out, size_t n)
{
    struct bytes *b = source;
    size_t part = n < b->left ? n : b->left;
    memcpy(out, b->at, part);
    b->at += part;
    b->left -= part;
    return part;
}

/* Unity writes the bottom row first. */
static void flip(uint8_t *image, size_t W, size_t H)
{
    for (size_t y = 0; y < H / 2; y++)
        for (size_t x = 0; x < W; x++) {
            uint8_t *a = image + y * W + x, *b = image + (H - 1 - y) * W + x, t = *a;
            *a = *b;
            *b = t;
        }
}

static uint64_t big_endian(const unsigned char *p)
{
    return (uint64_t)p[0] << 24 | (uint64_t)p[1] << 16 | (uint64_t)p[2] << 8 | p[3];
}

int message_take_png(struct message_reader *r, const char *name, const void *png, size_t n)
{
    struct message *m = r->m;
    struct bytes source = {png, n};
    struct err why = {0};
    enum {
        SIZE_AT = 16,
        SIZE_END = 24
    }; /* width and height in the header chunk, which is always the first */
    size_t limit = m->image_limit && m->image_limit < IMAGE_PIXELS ? m->image_limit : IMAGE_PIXELS;
    if (n >= SIZE_END && big_endian(source.at + SIZE_AT) * big_endian(source.at + SIZE_AT + 4) > limit)
        return message_refuse(r, r->usual, "%s: is of more than %zu pixels", name, limit);
    if (png_decode(read_bytes, &source, name, &m->image, &m->image_w, &m->image_h, &why))
        return message_refuse(r, r->usual, "%s", why.text);
    flip(m->image, m->image_w, m->image_h);
    return 0;
}

int message_put_png(struct text *t, const struct message *m, struct err *e)
{
    uint8_t *flipped;
    size_t n = (size_t)m->image_w * m->image_h;
    int r = mem_alloc(&flipped, n, 1, "an image", e);
    if (r)
        return r;
    memcpy(flipped, m->image, n);
    flip(flipped, m->image_w, m->image_h);
    int bad = png_encode(t, flipped, m->image_w, m->image_h, NULL, e);
    free(flipped);
    return bad;
}

static int decode_image(struct message_reader *r, const char *name, const char *text)
{
    size_t n = strlen(text);
    unsigned char *binary = malloc(n / 4 * 3 + 3);
    if (!binary)
        return r->bad = err_memory(r->e, "an image", n);
    int length = n % 4 || n > INT_MAX ? -1 : EVP_DecodeBlock(binary, (const unsigned char *)text, (int)n);
    for (int i = 0; i < 2 && length > 0 && text[n - 1 - (size_t)i] == '='; i++)
        length--;
    if (length < 0)
        message_refuse(r, r->usual, "%s: is no base64", name);
    else
        message_take_png(r, name, binary, (size_t)length);
    free(binary);
    return r->bad ? -1 : 0;
}

static int read_image(struct message_reader *r, const char *name)
{
    size_t room = (size_t)(r->s.end - r->s.at) + 1; /* decoded text is never longer */
    char *text = malloc(room);
    if (!text)
        return r->bad = err_memory(r->e, "an image", room);
    int bad = scan_text(&r->s, text, room, 0) ? message_syntax(r) : *text ? decode_image(r, name, text) : 0;
    free(text);
    return bad;
}

/* --- the payload --- */

static const char *const names[] = {"frame_id", "timestamp",    "resolution", "num_pixels",
                                    "pixels",   "state_vector", "set_id",     "full_frame_base64"};
static int (*const readers[])(struct message_reader *, const char *) = {
    read_frame_id, read_timestamp, message_read_resolution, read_num_pixels, read_pixels, read_state,
    read_set_id,   read_image};
const struct message_fields message_frame_fields = {sizeof names / sizeof *names, names, "00[0[[0\"",
                                                    readers};

int message_check_frame(struct message_reader *r)
{
    if (!r->has_frame_id)
        return message_refuse(r, r->usual, "frame_id: is missing");
    if (!r->has_pixels || !r->m->n)
        return message_refuse(r, r->usual, "pixels: is missing or empty");
    if (r->num_pixels >= 0 && r->num_pixels != (double)r->m->n)
        return message_refuse(r, r->usual, "num_pixels: is %.0f, pixels has %zu", r->num_pixels, r->m->n);
    return 0;
}
