/* A record as bytes and back. */
#include <string.h>

#include "base/mem.h"
#include "io/crc32c.h"
#include "io/journal_private.h"

static const size_t CONTENT_LIMIT = (size_t)1 << 30;

/* The fixed part of each content; arrays and texts follow in the order of the fields, floats first. */
struct open_part {
    uint32_t W, H, screen_w, screen_h, state_dim;
    uint32_t id_n, key_n, client_n, config_n, reserved; /* with their ends; 0: NULL */
    double fps, sentinel, value_range;
};
struct frame_part {
    int64_t frame_id, set_id;
    double timestamp;
    uint32_t n, state_n, image_w, image_h; /* uv, state, value, image */
};
struct set_part {
    int64_t frame_id, set_id;
    uint32_t n, reserved; /* uv */
};
struct reconstruction_part {
    int64_t frame_id;
    uint32_t image_w, image_h, map_w, map_h; /* map, image */
};
struct close_part {
    int32_t code;
    uint32_t reason_n;
};
struct gap_part {
    int64_t frame_id;
    uint64_t count;
    uint32_t reason_n, reserved;
};
_Static_assert(sizeof(struct open_part) == 64 && sizeof(struct frame_part) == 40 &&
                   sizeof(struct set_part) == 24 && sizeof(struct reconstruction_part) == 24 &&
                   sizeof(struct close_part) == 8 && sizeof(struct gap_part) == 24,
               "the layout has no holes");

static size_t text_size(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

static size_t content_size(const struct journal_record *r)
{
    size_t image = r->image ? (size_t)r->image_w * r->image_h : 0;
    size_t map = r->map ? (size_t)r->map_w * r->map_h * sizeof(float) : 0;
    switch (r->type) {
    case JOURNAL_OPEN:
        return sizeof(struct open_part) + text_size(r->id) + text_size(r->checkpoint_key) +
               text_size(r->client_name) + text_size(r->config);
    case JOURNAL_FRAME:
        return sizeof(struct frame_part) + r->n * (2 * sizeof(float) + 1) + r->state_n * sizeof(float) +
               image;
    case JOURNAL_SET:
        return sizeof(struct set_part) + r->n * 2 * sizeof(float);
    case JOURNAL_RECONSTRUCTION:
        return sizeof(struct reconstruction_part) + map + image;
    case JOURNAL_CLOSE:
        return sizeof(struct close_part) + text_size(r->reason);
    case JOURNAL_GAP:
        return sizeof(struct gap_part) + text_size(r->reason);
    }
    return 0;
}

size_t journal_size(const struct journal_record *r)
{
    return JOURNAL_HEADER + journal_padded(content_size(r));
}

static uint8_t *put(uint8_t *at, const void *bytes, size_t n)
{
    if (n)
        memcpy(at, bytes, n);
    return at + n;
}

static void put_content(uint8_t *at, const struct journal_record *r)
{
    size_t image = r->image ? (size_t)r->image_w * r->image_h : 0;
    size_t map = r->map ? (size_t)r->map_w * r->map_h * sizeof(float) : 0;
    uint32_t image_w = r->image ? r->image_w : 0, image_h = r->image ? r->image_h : 0;
    if (r->type == JOURNAL_OPEN) {
        struct open_part p = {r->W, r->H, r->screen_w, r->screen_h, r->state_dim,  0, 0, 0,
                              0,    0,    r->fps,      r->sentinel, r->value_range};
        const char *texts[4] = {r->id, r->checkpoint_key, r->client_name, r->config};
        uint32_t *sizes[4] = {&p.id_n, &p.key_n, &p.client_n, &p.config_n};
        for (int i = 0; i < 4; i++)
            *sizes[i] = (uint32_t)text_size(texts[i]);
        at = put(at, &p, sizeof p);
        for (int i = 0; i < 4; i++)
            at = put(at, texts[i], *sizes[i]);
    } else if (r->type == JOURNAL_FRAME) {
        struct frame_part p = {r->frame_id,          r->set_id, r->timestamp, (uint32_t)r->n,
                               (uint32_t)r->state_n, image_w,   image_h};
        at = put(at, &p, sizeof p);
        at = put(at, r->uv, r->n * 2 * sizeof(float));
        at = put(at, r->state, r->state_n * sizeof(float));
        at = put(at, r->value, r->n);
        put(at, r->image, image);
    } else if (r->type == JOURNAL_SET) {
        struct set_part p = {r->frame_id, r->set_id, (uint32_t)r->n, 0};
        put(put(at, &p, sizeof p), r->uv, r->n * 2 * sizeof(float));
    } else if (r->type == JOURNAL_RECONSTRUCTION) {
        struct reconstruction_part p = {r->frame_id, image_w, image_h, r->map ? r->map_w : 0,
                                        r->map ? r->map_h : 0};
        put(put(put(at, &p, sizeof p), r->map, map), r->image, image);
    } else if (r->type == JOURNAL_CLOSE) {
        struct close_part p = {r->close_code, (uint32_t)text_size(r->reason)};
        put(put(at, &p, sizeof p), r->reason, p.reason_n);
    } else {
        struct gap_part p = {r->frame_id, r->count, (uint32_t)text_size(r->reason), 0};
        put(put(at, &p, sizeof p), r->reason, p.reason_n);
    }
}

/* Checksums and sequence number are left to the writer, which has the time. */
int journal_encode(struct journal_bytes *out, const struct journal_record *r, struct err *e)
{
    size_t n = content_size(r), whole = JOURNAL_HEADER + journal_padded(n);
    if (n > CONTENT_LIMIT)
        return err_set(e, ERR_DATA, "a record of %zu bytes, at most %zu", n, CONTENT_LIMIT);
    int bad = mem_grow(&out->at, &out->capacity, out->n + whole, 1, "a record", e);
    if (bad)
        return bad;
    struct journal_header h = {.magic = JOURNAL_MAGIC,
                               .type = (uint16_t)r->type,
                               .version = JOURNAL_VERSION,
                               .session = r->session,
                               .ordinal = r->ordinal,
                               .monotonic = r->monotonic,
                               .unix_time = r->unix_time,
                               .length = (uint32_t)n};
    uint8_t *at = out->at + out->n;
    memcpy(at, &h, sizeof h);
    memset(at + whole - 8, 0, 8);
    put_content(at + JOURNAL_HEADER, r);
    out->n += whole;
    return 0;
}

struct journal_head journal_head(const uint8_t *record)
{
    struct journal_header h;
    memcpy(&h, record, sizeof h);
    return (struct journal_head){(enum journal_type)h.type, h.session, h.ordinal, h.monotonic,
                                 JOURNAL_HEADER + journal_padded(h.length)};
}

int journal_decode(const uint8_t *record, struct journal_record *out, struct err *e)
{
    struct journal_header h;
    memcpy(&h, record, sizeof h);
    return journal_decode_content(&h, record + JOURNAL_HEADER, out, e);
}

int journal_header_sound(const struct journal_header *h)
{
    return h->magic == JOURNAL_MAGIC && h->header == crc32c(0, h, offsetof(struct journal_header, header)) &&
           h->length <= CONTENT_LIMIT;
}

uint32_t journal_content_sum(const struct journal_header *h, const void *content)
{
    return crc32c(0, content, journal_padded(h->length));
}

/* --- decoding: nothing is believed about sizes --- */

struct cursor {
    const uint8_t *at;
    size_t left;
    int short_; /* the content ended before what it announced */
};

static const void *take(struct cursor *c, uint64_t n)
{
    const uint8_t *at = c->at;
    if (n > c->left) {
        c->short_ = 1;
        return NULL;
    }
    c->at += n;
    c->left -= (size_t)n;
    return n ? at : NULL;
}

static void take_part(struct cursor *c, void *part, size_t n)
{
    const void *at = take(c, n);
    memset(part, 0, n);
    if (at)
        memcpy(part, at, n);
}

/* n counts the end; 0: NULL. */
static const char *take_text(struct cursor *c, uint32_t n)
{
    const char *text = take(c, n);
    if (text && text[n - 1]) {
        c->short_ = 1;
        return NULL;
    }
    return text;
}

static void take_open(struct cursor *c, struct journal_record *r)
{
    struct open_part p;
    take_part(c, &p, sizeof p);
    r->W = p.W;
    r->H = p.H;
    r->screen_w = p.screen_w;
    r->screen_h = p.screen_h;
    r->state_dim = p.state_dim;
    r->fps = p.fps;
    r->sentinel = p.sentinel;
    r->value_range = p.value_range;
    r->id = take_text(c, p.id_n);
    r->checkpoint_key = take_text(c, p.key_n);
    r->client_name = take_text(c, p.client_n);
    r->config = take_text(c, p.config_n);
}

static void take_frame(struct cursor *c, struct journal_record *r)
{
    struct frame_part p;
    take_part(c, &p, sizeof p);
    r->frame_id = p.frame_id;
    r->set_id = p.set_id;
    r->timestamp = p.timestamp;
    r->n = p.n;
    r->state_n = p.state_n;
    r->image_w = p.image_w;
    r->image_h = p.image_h;
    r->uv = take(c, (uint64_t)p.n * 2 * sizeof(float));
    r->state = take(c, (uint64_t)p.state_n * sizeof(float));
    r->value = take(c, p.n);
    r->image = take(c, (uint64_t)p.image_w * p.image_h);
}

static void take_set(struct cursor *c, struct journal_record *r)
{
    struct set_part p;
    take_part(c, &p, sizeof p);
    r->frame_id = p.frame_id;
    r->set_id = p.set_id;
    r->n = p.n;
    r->uv = take(c, (uint64_t)p.n * 2 * sizeof(float));
}

static void take_reconstruction(struct cursor *c, struct journal_record *r)
{
    struct reconstruction_part p;
    take_part(c, &p, sizeof p);
    r->frame_id = p.frame_id;
    r->image_w = p.image_w;
    r->image_h = p.image_h;
    r->map_w = p.map_w;
    r->map_h = p.map_h;
    uint64_t cells = (uint64_t)p.map_w * p.map_h;
    r->map = take(c, cells > CONTENT_LIMIT ? cells : cells * sizeof(float));
    r->image = take(c, (uint64_t)p.image_w * p.image_h);
}

static void take_end(struct cursor *c, struct journal_record *r)
{
    if (r->type == JOURNAL_CLOSE) {
        struct close_part p;
        take_part(c, &p, sizeof p);
        r->close_code = p.code;
        r->reason = take_text(c, p.reason_n);
        return;
    }
    struct gap_part p;
    take_part(c, &p, sizeof p);
    r->frame_id = p.frame_id;
    r->count = p.count;
    r->reason = take_text(c, p.reason_n);
}

int journal_decode_content(const struct journal_header *h, const uint8_t *content, struct journal_record *out,
                           struct err *e)
{
    struct cursor c = {content, h->length, 0};
    *out = (struct journal_record){.type = (enum journal_type)h->type,
                                   .sequence = h->sequence,
                                   .session = h->session,
                                   .ordinal = h->ordinal,
                                   .monotonic = h->monotonic,
                                   .unix_time = h->unix_time,
                                   .set_id = -1};
    switch (out->type) {
    case JOURNAL_OPEN:
        take_open(&c, out);
        break;
    case JOURNAL_FRAME:
        take_frame(&c, out);
        break;
    case JOURNAL_SET:
        take_set(&c, out);
        break;
    case JOURNAL_RECONSTRUCTION:
        take_reconstruction(&c, out);
        break;
    case JOURNAL_CLOSE:
    case JOURNAL_GAP:
        take_end(&c, out);
        break;
    default:
        return err_set(e, ERR_DATA, "a record of the unknown type %u", h->type);
    }
    if (c.short_ || c.left)
        return err_set(e, ERR_DATA, "a record of type %u whose sizes do not add up to its %u bytes", h->type,
                       h->length);
    return 0;
}
