/* The layout in a table, so that reading and writing cannot differ:
 *
 *      0  u32  magic, the bytes "SGB1"
 *      4  u8   type: 1 a frame, 2 coordinates
 *      5  u8   flags: bits 0-1 coordinates (0 those of the set, 1 u16, 2 f32), bit 2 values (0 u8, 1 f32)
 *      6  u16  length of this header: 40, or more in a later version; a multiple of 8
 *      8  u64  frame_id; of coordinates the target frame
 *     16  f64  timestamp; 0 in coordinates
 *     24  u32  set_id; 0xffffffff: none
 *     28  u16  width    30  u16  height    32  u16  pixels    34  u16  state values
 *     36  u32  bytes of a full frame as PNG, bottom row first; 0: none
 *     then coordinates (u,v) (u,v) ..., values, state f32, PNG, each begun at a multiple of 8 */
#include "io/message_binary.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/message_private.h"

enum { HEADER = 40, FRAME = 1, COORDINATES = 2, PAIR_MASK = 3, VALUES_F32 = 4 };
static const char magic[4] = {'S', 'G', 'B', '1'};
static const uint32_t no_set = UINT32_MAX;

struct header {
    unsigned type, flags, length;
    uint64_t frame_id;
    double timestamp;
    uint32_t set_id, image;
    unsigned width, height, pixels, state;
};

static uint64_t get(const unsigned char *p, int bytes)
{
    uint64_t x = 0;
    for (int i = bytes - 1; i >= 0; i--)
        x = x << 8 | p[i];
    return x;
}

static void put(unsigned char *p, uint64_t x, int bytes)
{
    for (int i = 0; i < bytes; i++, x >>= 8)
        p[i] = (unsigned char)x;
}

static float get_float(const unsigned char *p)
{
    union {
        uint32_t bits;
        float x;
    } f = {(uint32_t)get(p, 4)};
    return f.x;
}

static void put_float(unsigned char *p, float x)
{
    union {
        float x;
        uint32_t bits;
    } f = {x};
    put(p, f.bits, 4);
}

static size_t aligned(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

static size_t pair_bytes(unsigned flags)
{
    static const size_t bytes[] = {0, 4, 8};
    return bytes[flags & PAIR_MASK];
}

/* Where the parts begin; [4] is the end. All counts have 32 bits at most, so nothing overflows. */
static void offsets(const struct header *h, size_t at[5])
{
    at[0] = h->length;
    at[1] = at[0] + aligned(h->pixels * pair_bytes(h->flags));
    at[2] = at[1] + (h->type == FRAME ? aligned(h->pixels * (size_t)(h->flags & VALUES_F32 ? 4 : 1)) : 0);
    at[3] = at[2] + aligned(h->state * sizeof(float));
    at[4] = at[3] + aligned(h->image);
}

/* Everything that does not depend on the contents: *why is what is wrong, or NULL. */
static void read_header(const unsigned char *p, size_t n, struct header *h, const char **why)
{
    union {
        uint64_t bits;
        double x;
    } time;
    size_t at[5];
    *why = n < HEADER                       ? "is shorter than a header"
           : memcmp(p, magic, sizeof magic) ? "has no SGB1 in front"
                                            : NULL;
    if (*why)
        return;
    time.bits = get(p + 16, 8);
    *h = (struct header){.type = p[4],
                         .flags = p[5],
                         .length = (unsigned)get(p + 6, 2),
                         .frame_id = get(p + 8, 8),
                         .timestamp = time.x,
                         .set_id = (uint32_t)get(p + 24, 4),
                         .width = (unsigned)get(p + 28, 2),
                         .height = (unsigned)get(p + 30, 2),
                         .pixels = (unsigned)get(p + 32, 2),
                         .state = (unsigned)get(p + 34, 2),
                         .image = (uint32_t)get(p + 36, 4)};
    if (h->length < HEADER || h->length % 8)
        *why = "has a header length that is no multiple of 8 from 40 on";
    else if ((h->flags & PAIR_MASK) == PAIR_MASK || h->flags > (PAIR_MASK | VALUES_F32))
        *why = "has unknown flags";
    else if (h->frame_id > (uint64_t)message_frame_id_limit)
        *why = "has a frame_id outside [0,2^53]";
    else if (!h->pixels)
        *why = "has no pixels";
    else if (offsets(h, at), at[4] != n)
        *why = "has a length that its counts do not give";
}

static void write_header(struct text *t, const struct header *h)
{
    unsigned char p[HEADER] = {0};
    union {
        double x;
        uint64_t bits;
    } time = {h->timestamp};
    memcpy(p, magic, sizeof magic);
    p[4] = (unsigned char)h->type;
    p[5] = (unsigned char)h->flags;
    put(p + 6, HEADER, 2);
    put(p + 8, h->frame_id, 8);
    put(p + 16, time.bits, 8);
    put(p + 24, h->set_id, 4);
    put(p + 28, h->width, 2);
    put(p + 30, h->height, 2);
    put(p + 32, h->pixels, 2);
    put(p + 34, h->state, 2);
    put(p + 36, h->image, 4);
    text_bytes(t, p, sizeof p);
}

/* --- coordinates --- */

static float pair_value(const unsigned char *p, unsigned kind, size_t i)
{
    return kind == BINARY_U16 ? (float)((double)get(p + 2 * i, 2) / 65535) : get_float(p + 4 * i);
}

/* n pairs into uv; the index of the first that is not in [0,1], or n. */
static size_t read_pairs(const unsigned char *p, unsigned flags, size_t n, float *uv)
{
    unsigned kind = flags & PAIR_MASK;
    for (size_t i = 0; i < 2 * n; i++) {
        uv[i] = pair_value(p, kind, i);
        if (!(uv[i] >= 0 && uv[i] <= 1))
            return i / 2;
    }
    return n;
}

static void pad(struct text *t, size_t bytes)
{
    static const char zero[8] = {0};
    text_bytes(t, zero, aligned(bytes) - bytes);
}

static void write_pairs(struct text *t, enum binary_coordinates kind, const float *uv, size_t n)
{
    for (size_t i = 0; i < 2 * n && kind != BINARY_OF_SET; i++) {
        unsigned char p[4];
        if (kind == BINARY_U16)
            put(p, (uint64_t)lrint((double)uv[i] * 65535), 2);
        else
            put_float(p, uv[i]);
        text_bytes(t, p, kind == BINARY_U16 ? 2 : 4);
    }
    pad(t, n * pair_bytes(kind));
}

/* --- a frame --- */

static int take_pairs(struct message_reader *r, const struct header *h, const unsigned char *p,
                      message_set_fn sets, void *user)
{
    struct message *m = r->m;
    if (h->flags & PAIR_MASK) {
        size_t bad = read_pairs(p, h->flags, h->pixels, m->uv);
        return bad == h->pixels ? 0
                                : message_refuse(r, r->usual, "pixels[%zu]: u or v is outside [0,1]", bad);
    }
    size_t n = 0;
    if (m->set_id < 0)
        return message_refuse(r, r->usual, "set_id: is missing, and so are the coordinates");
    const float *uv = sets ? sets(user, m->set_id, &n) : NULL;
    if (!uv)
        return message_refuse(r, MESSAGE_UNKNOWN_SET, "set_id: %lld is not known, or not any more",
                              (long long)m->set_id);
    if (n != h->pixels)
        return message_refuse(r, r->usual, "num_pixels: is %u, set %lld has %zu", h->pixels,
                              (long long)m->set_id, n);
    memcpy(m->uv, uv, 2 * n * sizeof *uv);
    return 0;
}

static int take_values(struct message_reader *r, const struct header *h, const unsigned char *p)
{
    struct message *m = r->m;
    if (!(h->flags & VALUES_F32)) {
        memcpy(m->value, p, h->pixels);
        return 0;
    }
    for (size_t i = 0; i < h->pixels; i++) {
        float x = get_float(p + 4 * i);
        if (!(x >= 0 && (double)x <= r->value_range))
            return message_refuse(r, r->usual, "pixels[%zu].value: %.9g is outside [0,%g]", i, (double)x,
                                  r->value_range);
        m->value[i] = message_scale(x, r->value_range);
    }
    return 0;
}

static int take_state(struct message_reader *r, const struct header *h, const unsigned char *p)
{
    struct message *m = r->m;
    for (size_t i = 0; i < h->state; i++) {
        m->state[i] = get_float(p + 4 * i);
        if (!isfinite(m->state[i]))
            return message_refuse(r, r->usual, "state_vector[%zu]: is not finite", i);
    }
    return 0;
}

static int take_header(struct message_reader *r, const struct header *h)
{
    struct message *m = r->m;
    m->type = h->image ? MESSAGE_FRAME_DATA_DEBUG : MESSAGE_FRAME_DATA;
    m->frame_id = (int64_t)h->frame_id;
    m->timestamp = h->timestamp;
    m->set_id = h->set_id == no_set ? -1 : (int64_t)h->set_id;
    m->width = h->width;
    m->height = h->height;
    if (!(fabs(h->timestamp) <= 1e300))
        return message_refuse(r, r->usual, "timestamp: %g is outside [-1e300,1e300]", h->timestamp);
    if (!h->width != !h->height)
        return message_refuse(r, r->usual, "resolution: is not [w,h]");
    if (h->pixels > r->max_samples)
        return message_refuse(r, r->usual, "pixels: more than %zu", r->max_samples);
    if (h->state > r->max_state)
        return message_refuse(r, MESSAGE_STATE_TOO_LONG, "state_vector: more than %zu values", r->max_state);
    r->bad = message_sample_room(m, h->pixels, r->e);
    if (!r->bad)
        r->bad = message_state_room(m, h->state, r->e);
    if (!r->bad) {
        m->n = h->pixels;
        m->state_n = h->state;
    }
    return r->bad;
}

int message_parse_binary(struct message *m, const void *data, size_t n, double value_range,
                         size_t max_samples, size_t max_state, message_set_fn sets, void *user, struct err *e)
{
    struct message_reader r = {.m = m,
                               .value_range = value_range,
                               .max_samples = max_samples,
                               .max_state = max_state,
                               .usual = MESSAGE_INVALID_FRAME_DATA,
                               .e = e};
    const unsigned char *p = data;
    const char *why;
    struct header h = {0};
    size_t at[5];
    message_reset(m);
    read_header(p, n, &h, &why);
    if (why)
        return message_refuse(&r, r.usual, "a binary message %s", why);
    if (h.type != FRAME)
        return message_refuse(&r, MESSAGE_UNKNOWN_TYPE, "a binary message of the unknown type %u", h.type);
    offsets(&h, at);
    if (take_header(&r, &h) || take_pairs(&r, &h, p + at[0], sets, user) || take_values(&r, &h, p + at[1]) ||
        take_state(&r, &h, p + at[2]))
        return r.bad;
    if (h.image)
        message_take_png(&r, "full_frame", p + at[3], h.image);
    return r.bad;
}

int message_write_frame_binary(struct text *t, const struct message *m, enum binary_coordinates kind,
                               struct err *e)
{
    struct text png = {0};
    if (m->n > UINT16_MAX || m->state_n > UINT16_MAX)
        return err_set(e, ERR_DATA,
                       "a frame of %zu samples and %zu state values: a binary message has at most %d", m->n,
                       m->state_n, UINT16_MAX);
    int r = m->image ? message_put_png(&png, m, e) : 0;
    if (r) {
        text_release(&png);
        return r;
    }
    struct header h = {.type = FRAME,
                       .flags = kind,
                       .frame_id = (uint64_t)m->frame_id,
                       .timestamp = m->timestamp,
                       .set_id = m->set_id >= 0 && m->set_id < no_set ? (uint32_t)m->set_id : no_set,
                       .width = m->width,
                       .height = m->height,
                       .pixels = (unsigned)m->n,
                       .state = (unsigned)m->state_n,
                       .image = (uint32_t)png.n};
    write_header(t, &h);
    write_pairs(t, kind, m->uv, m->n);
    text_bytes(t, m->value, m->n);
    pad(t, m->n);
    for (size_t i = 0; i < m->state_n; i++) {
        unsigned char p[4];
        put_float(p, m->state[i]);
        text_bytes(t, p, sizeof p);
    }
    pad(t, m->state_n * sizeof(float));
    text_bytes(t, png.at, png.n);
    pad(t, png.n);
    text_release(&png);
    return t->failed ? err_memory(e, "a message", t->n) : 0;
}

/* --- coordinates to the client --- */

void message_write_coordinates_binary(struct text *t, int64_t target_frame_id, int64_t set_id,
                                      const float *uv, size_t n)
{
    struct header h = {.type = COORDINATES,
                       .flags = BINARY_U16,
                       .frame_id = (uint64_t)target_frame_id,
                       .set_id = set_id >= 0 && set_id < no_set ? (uint32_t)set_id : no_set,
                       .pixels = (unsigned)n};
    write_header(t, &h);
    write_pairs(t, BINARY_U16, uv, n);
}

int message_parse_coordinates_binary(const void *data, size_t size, int64_t *target_frame_id, int64_t *set_id,
                                     float **uv, size_t *capacity, size_t *n, struct err *e)
{
    const unsigned char *p = data;
    const char *why;
    struct header h = {0};
    read_header(p, size, &h, &why);
    if (why)
        return err_set(e, ERR_DATA, "a binary message %s", why);
    if (h.type != COORDINATES || !(h.flags & PAIR_MASK) || h.state || h.image)
        return err_set(e, ERR_DATA, "a binary message that is no coordinates");
    int r = mem_grow(uv, capacity, 2 * (size_t)h.pixels, sizeof **uv, "coordinates", e);
    if (r)
        return r;
    size_t bad = read_pairs(p + h.length, h.flags, h.pixels, *uv);
    if (bad < h.pixels)
        return err_set(e, ERR_DATA, "coordinates[%zu]: u or v is outside [0,1]", bad);
    *target_frame_id = (int64_t)h.frame_id;
    *set_id = h.set_id == no_set ? -1 : (int64_t)h.set_id;
    *n = h.pixels;
    return 0;
}
