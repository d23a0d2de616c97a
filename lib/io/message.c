#include "io/message.h"

#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/json_scan.h"
#include "io/png_file.h"

static const double FRAME_ID_LIMIT = 9007199254740992.0; /* 2^53: what a JSON number holds exactly */

/* One message being read. The first error counts. */
struct reader {
    struct message *m;
    struct json_scan s;
    double value_range;
    size_t max_samples, max_state;
    double num_pixels; /* -1: not said */
    int has_frame_id, has_pixels, bad;
    unsigned seen; /* fields met, by their place in the table */
    struct err *e;
};

#define fault(r, ...) ((r)->bad = (r)->bad ? (r)->bad : err_set((r)->e, ERR_DATA, __VA_ARGS__))

/* JSON's own errors, with where they are. */
static int syntax(struct reader *r)
{
    return fault(r, "invalid JSON at byte %zu: %s", (size_t)(r->s.at - r->s.start), r->s.wrong);
}

static int number(struct reader *r, const char *name, double low, double high, double *out)
{
    char c = scan_peek(&r->s);
    if (c != '-' && !(c >= '0' && c <= '9'))
        return fault(r, "%s: is no number", name);
    if (scan_number(&r->s, out))
        return syntax(r);
    return *out >= low && *out <= high
               ? 0
               : fault(r, "%s: %.17g is outside [%.17g,%.17g]", name, *out, low, high);
}

static int whole(struct reader *r, const char *name, double low, double high, double *out)
{
    if (number(r, name, low, high, out))
        return -1;
    return *out == floor(*out) ? 0 : fault(r, "%s: %.17g is no whole number", name, *out);
}

/* --- fields --- */

static int read_key(struct reader *r, const char *name)
{
    char *key = r->m->checkpoint_key;
    if (scan_text(&r->s, key, sizeof r->m->checkpoint_key, 0))
        return syntax(r);
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    if (!*key || *key == '.' || key[strspn(key, allowed)])
        return fault(r, "%s: is not of 1 to 64 letters, digits, ._- without a leading point", name);
    return 0;
}

static int read_client(struct reader *r, const char *name)
{
    (void)name;
    return scan_text(&r->s, r->m->client_name, sizeof r->m->client_name, 1) ? syntax(r) : 0;
}

static int read_resolution(struct reader *r, const char *name)
{
    double side[2] = {0};
    size_t n = 0;
    for (scan_open(&r->s, '['); scan_next(&r->s, ']', n); n++)
        if (n == 2 ? fault(r, "%s: is not [w,h]", name) : whole(r, name, 1, 65535, &side[n]))
            return -1;
    if (r->s.wrong)
        return syntax(r);
    if (n != 2)
        return fault(r, "%s: is not [w,h]", name);
    r->m->width = (uint32_t)side[0];
    r->m->height = (uint32_t)side[1];
    return 0;
}

static int read_debug(struct reader *r, const char *name)
{
    (void)name;
    return scan_bool(&r->s, &r->m->debug) ? syntax(r) : 0;
}

static int read_value_range(struct reader *r, const char *name)
{
    double x;
    if (number(r, name, 1, 255, &x))
        return -1;
    r->m->value_range = x;
    return x == 1 || x == 255 ? 0 : fault(r, "%s: is neither 255 nor 1", name);
}

static int read_frame_id(struct reader *r, const char *name)
{
    double x;
    if (whole(r, name, 0, FRAME_ID_LIMIT, &x))
        return -1;
    r->m->frame_id = (int64_t)x;
    r->has_frame_id = 1;
    return 0;
}

static int read_set_id(struct reader *r, const char *name)
{
    double x;
    if (whole(r, name, 0, FRAME_ID_LIMIT, &x))
        return -1;
    r->m->set_id = (int64_t)x;
    return 0;
}

static int read_timestamp(struct reader *r, const char *name)
{
    return number(r, name, -1e300, 1e300, &r->m->timestamp);
}

static int read_num_pixels(struct reader *r, const char *name)
{
    return whole(r, name, 0, FRAME_ID_LIMIT, &r->num_pixels);
}

static int pixel(struct reader *r, size_t i, double p[3])
{
    static const char *const names[3] = {"u", "v", "value"};
    const double high[3] = {1, 1, r->value_range};
    unsigned seen = 0;
    char key[8], place[48];
    size_t n = 0;
    for (scan_open(&r->s, '{'); scan_next(&r->s, '}', n); n++) {
        if (scan_key(&r->s, key, sizeof key))
            break;
        int at = 0;
        while (at < 3 && strcmp(key, names[at]))
            at++;
        if (at == 3) {
            scan_skip(&r->s, NULL, NULL);
            continue;
        }
        snprintf(place, sizeof place, "pixels[%zu].%s", i, names[at]);
        if (seen & (1u << at))
            return fault(r, "%s: is there twice", place);
        seen |= 1u << at;
        if (number(r, place, 0, high[at], &p[at]))
            return -1;
    }
    if (r->s.wrong)
        return fault(r, "pixels[%zu]: %s (byte %zu)", i, r->s.wrong, (size_t)(r->s.at - r->s.start));
    for (int at = 0; at < 3; at++)
        if (!(seen & (1u << at)))
            return fault(r, "pixels[%zu]: has no %s", i, names[at]);
    return 0;
}

static int sample_room(struct message *m, size_t n, struct err *e)
{
    size_t points = m->capacity, values = m->capacity;
    int bad = mem_grow(&m->uv, &points, n, 2 * sizeof *m->uv, "samples", e);
    bad = bad ? bad : mem_grow(&m->value, &values, points, sizeof *m->value, "samples", e);
    if (!bad)
        m->capacity = points;
    return bad;
}

static int read_pixels(struct reader *r, const char *name)
{
    struct message *m = r->m;
    r->has_pixels = 1;
    m->n = 0;
    for (scan_open(&r->s, '['); scan_next(&r->s, ']', m->n); m->n++) {
        double p[3] = {0};
        if (m->n >= r->max_samples)
            return fault(r, "%s: more than %zu", name, r->max_samples);
        if (pixel(r, m->n, p))
            return -1;
        if (m->n >= m->capacity && (r->bad = sample_room(m, m->n + 1, r->e)))
            return -1;
        m->uv[2 * m->n] = (float)p[0];
        m->uv[2 * m->n + 1] = (float)p[1];
        m->value[m->n] = (uint8_t)lrint(p[2] * (255 / r->value_range));
    }
    return r->s.wrong ? syntax(r) : 0;
}

static int read_state(struct reader *r, const char *name)
{
    struct message *m = r->m;
    m->state_n = 0;
    for (scan_open(&r->s, '['); scan_next(&r->s, ']', m->state_n); m->state_n++) {
        char place[40];
        double x;
        if (m->state_n >= r->max_state)
            return fault(r, "%s: more than %zu values", name, r->max_state);
        snprintf(place, sizeof place, "%s[%zu]", name, m->state_n);
        if (number(r, place, -3.4e38, 3.4e38, &x))
            return -1;
        if (m->state_n >= m->state_capacity &&
            (r->bad =
                 mem_grow(&m->state, &m->state_capacity, m->state_n + 1, sizeof *m->state, "a state", r->e)))
            return -1;
        m->state[m->state_n] = (float)x;
    }
    return r->s.wrong ? syntax(r) : 0;
}

/* --- the full frame --- */

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

static int decode_image(struct reader *r, const char *name, const char *text)
{
    struct message *m = r->m;
    size_t n = strlen(text);
    unsigned char *binary = malloc(n / 4 * 3 + 3);
    if (!binary)
        return r->bad = err_memory(r->e, "an image", n);
    int length = n % 4 || n > INT32_MAX ? -1 : EVP_DecodeBlock(binary, (const unsigned char *)text, (int)n);
    if (length >= 0) {
        for (int i = 0; i < 2 && n > (size_t)i && text[n - 1 - (size_t)i] == '='; i++)
            length--;
        struct bytes source = {binary, (size_t)length};
        r->bad = png_decode(read_bytes, &source, name, &m->image, &m->image_w, &m->image_h, r->e);
        if (!r->bad)
            flip(m->image, m->image_w, m->image_h);
    } else
        fault(r, "%s: is no base64", name);
    free(binary);
    return r->bad ? -1 : 0;
}

static int read_image(struct reader *r, const char *name)
{
    size_t room = (size_t)(r->s.end - r->s.at) + 1; /* decoded text is never longer */
    char *text = malloc(room);
    if (!text)
        return r->bad = err_memory(r->e, "an image", room);
    int bad = scan_text(&r->s, text, room, 0) ? syntax(r) : *text ? decode_image(r, name, text) : 0;
    free(text);
    return bad;
}

/* --- messages --- */

struct field {
    const char *name;
    int (*read)(struct reader *r, const char *name);
};

static const struct field start_fields[] = {
    {"checkpoint_key", read_key}, {"client_name", read_client},      {"resolution", read_resolution},
    {"debug", read_debug},        {"value_range", read_value_range}, {NULL, NULL},
};
static const struct field frame_fields[] = {
    {"frame_id", read_frame_id},     {"timestamp", read_timestamp},     {"resolution", read_resolution},
    {"num_pixels", read_num_pixels}, {"pixels", read_pixels},           {"state_vector", read_state},
    {"set_id", read_set_id},         {"full_frame_base64", read_image}, {NULL, NULL},
};

static int read_payload(struct reader *r, const struct field *fields, const char *text, size_t n)
{
    char key[32];
    size_t count = 0;
    struct json_scan outer = r->s;
    scan_begin(&r->s, text, n);
    r->s.start = outer.start;
    for (scan_open(&r->s, '{'); scan_next(&r->s, '}', count); count++) {
        if (scan_key(&r->s, key, sizeof key))
            break;
        int i = 0;
        while (fields[i].name && strcmp(key, fields[i].name))
            i++;
        if (!fields[i].name) {
            scan_skip(&r->s, NULL, NULL);
            continue;
        }
        if (r->seen & (1u << i))
            return fault(r, "%s: is there twice", key);
        r->seen |= 1u << i;
        if (scan_peek(&r->s) == 'n') /* null: as if it were not there */
            scan_skip(&r->s, NULL, NULL);
        else if (fields[i].read(r, key) || r->bad)
            return -1;
    }
    return r->s.wrong ? syntax(r) : 0;
}

static enum message_type type_of(const char *name)
{
    static const char *const names[] = {"session_start", "frame_data", "frame_data_debug", "heartbeat"};
    int i = 0;
    while (i < MESSAGE_OTHER && strcmp(name, names[i]))
        i++;
    return (enum message_type)i;
}

static int check_frame(struct reader *r)
{
    if (!r->has_frame_id)
        return fault(r, "frame_id: is missing");
    if (!r->has_pixels || !r->m->n)
        return fault(r, "pixels: is missing or empty");
    if (r->num_pixels >= 0 && r->num_pixels != (double)r->m->n)
        return fault(r, "num_pixels: is %.0f, pixels has %zu", r->num_pixels, r->m->n);
    return 0;
}

static void reset(struct message *m)
{
    free(m->image);
    struct message fresh = {.type = MESSAGE_OTHER,
                            .value_range = 255,
                            .set_id = -1,
                            .capacity = m->capacity,
                            .uv = m->uv,
                            .value = m->value,
                            .state_capacity = m->state_capacity,
                            .state = m->state};
    snprintf(fresh.checkpoint_key, sizeof fresh.checkpoint_key, "default");
    *m = fresh;
}

int message_parse(struct message *m, const char *text, size_t len, double value_range, size_t max_samples,
                  size_t max_state, struct err *e)
{
    struct reader r = {.m = m,
                       .value_range = value_range,
                       .max_samples = max_samples,
                       .max_state = max_state,
                       .num_pixels = -1,
                       .e = e};
    const char *payload = NULL;
    size_t n = 0, count = 0;
    char key[16], type[64] = "";
    int seen = 0;
    reset(m);
    scan_begin(&r.s, text, len);
    for (scan_open(&r.s, '{'); scan_next(&r.s, '}', count); count++) {
        if (scan_key(&r.s, key, sizeof key))
            break;
        int field = !strcmp(key, "type") ? 1 : !strcmp(key, "payload") ? 2 : 0;
        if (seen & field)
            return fault(&r, "%s: is there twice", key);
        seen |= field;
        if (field == 1)
            scan_text(&r.s, type, sizeof type, 1);
        else
            scan_skip(&r.s, field == 2 ? &payload : NULL, field == 2 ? &n : NULL);
    }
    if (scan_end(&r.s))
        return syntax(&r);
    if (!(seen & 1))
        return fault(&r, "type: is missing");
    m->type = type_of(type);
    if (m->type == MESSAGE_OTHER || m->type == MESSAGE_HEARTBEAT)
        return 0;
    if (!payload)
        return fault(&r, "payload: is missing");
    if (!read_payload(&r, m->type == MESSAGE_SESSION_START ? start_fields : frame_fields, payload, n) &&
        m->type != MESSAGE_SESSION_START)
        check_frame(&r);
    return r.bad;
}

void message_release(struct message *m)
{
    free(m->uv);
    free(m->value);
    free(m->state);
    free(m->image);
    *m = (struct message){0};
}

int message_is_json(const char *text)
{
    struct json_scan s;
    scan_begin(&s, text, strlen(text));
    return !scan_skip(&s, NULL, NULL) && !scan_end(&s);
}
