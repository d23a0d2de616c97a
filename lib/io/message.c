/* The envelope of a message, and the two that are no frames: session_start and heartbeat. */
#include "io/message.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/message_private.h"

const char *message_fault_name(enum message_fault fault)
{
    static const char *const names[] = {"NONE",
                                        "INVALID_JSON",
                                        "UNKNOWN_MESSAGE_TYPE",
                                        "INVALID_FRAME_DATA",
                                        "INVALID_CHECKPOINT_KEY",
                                        "STATE_TOO_LONG",
                                        "UNKNOWN_SET"};
    return (size_t)fault < sizeof names / sizeof *names ? names[fault] : names[0];
}

int message_syntax(struct message_reader *r)
{
    return message_refuse(r, MESSAGE_INVALID_JSON, "invalid JSON at byte %zu: %s",
                          (size_t)(r->s.at - r->s.start), r->s.wrong);
}

/* --- numbers --- */

/* The place is only put into words when something is wrong there: 1,500 of them are read in a frame. */
static const char *place_text(struct message_place at, char out[64])
{
    if (at.index == SIZE_MAX)
        return at.name;
    snprintf(out, 64, "%s[%zu]%s%s", at.name, at.index, at.member ? "." : "", at.member ? at.member : "");
    return out;
}

int message_number(struct message_reader *r, struct message_place at, double low, double high, double *out)
{
    char text[64], c = scan_peek(&r->s);
    if (c != '-' && !(c >= '0' && c <= '9'))
        return message_refuse(r, r->usual, "%s: is no number", place_text(at, text));
    if (scan_number(&r->s, out))
        return message_syntax(r);
    if (*out >= low && *out <= high)
        return 0;
    return message_refuse(r, r->usual, "%s: %.17g is outside [%.17g,%.17g]", place_text(at, text), *out, low,
                          high);
}

int message_whole(struct message_reader *r, const char *name, double low, double high, double *out)
{
    struct message_place at = {name, SIZE_MAX, NULL};
    if (message_number(r, at, low, high, out))
        return -1;
    return *out == floor(*out) ? 0 : message_refuse(r, r->usual, "%s: %.17g is no whole number", name, *out);
}

int message_read_resolution(struct message_reader *r, const char *name)
{
    double side[2] = {0};
    size_t n = 0;
    for (scan_open(&r->s, '['); scan_next(&r->s, ']', n); n++)
        if (n == 2 ? message_refuse(r, r->usual, "%s: is not [w,h]", name)
                   : message_whole(r, name, 1, 65535, &side[n]))
            return -1;
    if (r->s.wrong)
        return message_syntax(r);
    if (n != 2)
        return message_refuse(r, r->usual, "%s: is not [w,h]", name);
    r->m->width = (uint32_t)side[0];
    r->m->height = (uint32_t)side[1];
    return 0;
}

/* --- session_start --- */

static int is_name(const char *text)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    return *text && *text != '.' && !text[strspn(text, allowed)];
}

static int read_text(struct message_reader *r, char *out, size_t size, int cut)
{
    return scan_text(&r->s, out, size, cut) ? message_syntax(r) : 0;
}

/* Too long a text is no JSON error but a name that is not allowed: it is cut one byte after what is. */
static int read_name(struct message_reader *r, const char *name, char *out, size_t size,
                     enum message_fault kind)
{
    char text[80];
    if (read_text(r, text, sizeof text, 1))
        return -1;
    if (!is_name(text) || strlen(text) >= size)
        return message_refuse(r, kind, "%s: is not of 1 to %zu letters, digits, ._- without a leading point",
                              name, size - 1);
    memcpy(out, text, strlen(text) + 1);
    return 0;
}

static int read_key(struct message_reader *r, const char *name)
{
    return read_name(r, name, r->m->checkpoint_key, sizeof r->m->checkpoint_key,
                     MESSAGE_INVALID_CHECKPOINT_KEY);
}

static int read_client(struct message_reader *r, const char *name)
{
    (void)name;
    return read_text(r, r->m->client_name, sizeof r->m->client_name, 1);
}

static int read_debug(struct message_reader *r, const char *name)
{
    (void)name;
    return scan_bool(&r->s, &r->m->debug) ? message_syntax(r) : 0;
}

static int read_value_range(struct message_reader *r, const char *name)
{
    struct message_place at = {name, SIZE_MAX, NULL};
    if (message_number(r, at, 1, 255, &r->m->value_range))
        return -1;
    return r->m->value_range == 1 || r->m->value_range == 255
               ? 0
               : message_refuse(r, r->usual, "%s: is neither 255 nor 1", name);
}

/* "" in the fields that may be left out is how C# writes a string that was never set. */
static int read_coordinate_format(struct message_reader *r, const char *name)
{
    char text[16];
    if (read_text(r, text, sizeof text, 1))
        return -1;
    int *array = &r->m->coordinates_array;
    *array = !strcmp(text, "array") ? 1 : !strcmp(text, "objects") ? 0 : -1;
    return *array >= 0 || !*text ? 0 : message_refuse(r, r->usual, "%s: is neither objects nor array", name);
}

static int read_resume(struct message_reader *r, const char *name)
{
    const char *at = r->s.at; /* at the text: its kind was looked at */
    if (r->s.end - at >= 2 && at[1] == '"')
        return read_text(r, r->m->resume, sizeof r->m->resume, 0);
    return read_name(r, name, r->m->resume, sizeof r->m->resume, r->usual);
}

static int read_token(struct message_reader *r, const char *name)
{
    char text[sizeof r->m->token + 8];
    if (read_text(r, text, sizeof text, 1))
        return -1;
    if (strlen(text) >= sizeof r->m->token)
        return message_refuse(r, r->usual, "%s: is longer than %zu bytes", name, sizeof r->m->token - 1);
    memcpy(r->m->token, text, strlen(text) + 1);
    return 0;
}

static const char *const start_names[] = {"checkpoint_key", "client_name",       "resolution", "debug",
                                          "value_range",    "coordinate_format", "resume",     "token"};
static int (*const start_readers[])(struct message_reader *, const char *) = {
    read_key,    read_client, message_read_resolution, read_debug, read_value_range, read_coordinate_format,
    read_resume, read_token};
static const struct message_fields start_fields = {sizeof start_names / sizeof *start_names, start_names,
                                                   "\"\"[t0\"\"\"", start_readers};

/* --- heartbeat --- */

static int read_beat(struct message_reader *r, const char *name)
{
    struct message_place at = {name, SIZE_MAX, NULL};
    return message_number(r, at, -1e300, 1e300, &r->m->timestamp);
}

static const char *const beat_names[] = {"timestamp"};
static int (*const beat_readers[])(struct message_reader *, const char *) = {read_beat};
static const struct message_fields beat_fields = {1, beat_names, "0", beat_readers};

/* --- the envelope --- */

static enum message_type type_of(const char *name)
{
    static const char *const names[] = {"session_start", "frame_data", "frame_data_debug", "heartbeat"};
    int i = 0;
    while (i < MESSAGE_OTHER && strcmp(name, names[i]))
        i++;
    return (enum message_type)i;
}

static const struct message_fields *fields_of(enum message_type type)
{
    return type == MESSAGE_SESSION_START ? &start_fields
           : type == MESSAGE_HEARTBEAT   ? &beat_fields
           : type == MESSAGE_OTHER       ? NULL
                                         : &message_frame_fields;
}

/* Whether the value that comes is of the kind that the field wants. */
static int check_kind(struct message_reader *r, const char *name, char kind)
{
    char c = scan_peek(&r->s);
    if (c == '-' || (c >= '0' && c <= '9'))
        c = '0';
    else if (c == 'f')
        c = 't';
    if (c == kind)
        return 0;
    int is_key = !strcmp(name, "checkpoint_key");
    return message_refuse(r, is_key ? MESSAGE_INVALID_CHECKPOINT_KEY : r->usual, "%s: is %s", name,
                          kind == '['   ? "no array"
                          : kind == '"' ? "no text"
                          : kind == 't' ? "neither true nor false"
                                        : "no number");
}

static int read_payload(struct message_reader *r)
{
    const struct message_fields *f = fields_of(r->m->type);
    size_t count = 0;
    unsigned seen = 0;
    if (!f)
        return scan_skip(&r->s, NULL, NULL) ? message_syntax(r) : 0;
    if (scan_peek(&r->s) != '{')
        return message_refuse(r, r->usual, "payload: is no object");
    for (scan_open(&r->s, '{'); scan_next(&r->s, '}', count); count++) {
        int i = scan_name(&r->s, f->name, f->count);
        if (i < 0)
            break;
        if (i == f->count) {
            scan_skip(&r->s, NULL, NULL);
            continue;
        }
        if (seen & (1u << i))
            return message_refuse(r, r->usual, "%s: is there twice", f->name[i]);
        seen |= 1u << i;
        if (scan_peek(&r->s) == 'n') /* null: as if it were not there */
            scan_skip(&r->s, NULL, NULL);
        else if (check_kind(r, f->name[i], f->kind[i]) || f->read[i](r, f->name[i]))
            return -1;
    }
    return r->s.wrong ? message_syntax(r) : 0;
}

/* Where the payload stood in a message that has its type behind it. */
struct late_payload {
    const char *at;
    size_t n;
    int there;
};

static int read_type(struct message_reader *r)
{
    char type[64];
    if (scan_peek(&r->s) != '"')
        return message_refuse(r, MESSAGE_UNKNOWN_TYPE, "type: is no text");
    if (read_text(r, type, sizeof type, 1))
        return -1;
    r->m->type = type_of(type);
    r->usual = r->m->type == MESSAGE_FRAME_DATA || r->m->type == MESSAGE_FRAME_DATA_DEBUG
                   ? MESSAGE_INVALID_FRAME_DATA
                   : MESSAGE_INVALID_JSON;
    return 0;
}

static int read_envelope(struct message_reader *r, struct late_payload *late)
{
    static const char *const names[] = {"type", "payload"};
    size_t count = 0;
    int seen = 0;
    for (scan_open(&r->s, '{'); scan_next(&r->s, '}', count); count++) {
        int i = scan_name(&r->s, names, 2);
        if (i < 0)
            break;
        if (i < 2 && (seen & 1 << i))
            return message_refuse(r, r->usual, "%s: is there twice", names[i]);
        seen |= 1 << i;
        if (i == 2)
            scan_skip(&r->s, NULL, NULL);
        else if (i == 0 ? read_type(r) : (seen & 1) && read_payload(r))
            return -1;
        else if (i == 1 && !(seen & 1))
            scan_skip(&r->s, &late->at, &late->n);
    }
    late->there = seen & 2;
    if (scan_end(&r->s))
        return message_syntax(r);
    return seen & 1 ? 0 : message_refuse(r, MESSAGE_UNKNOWN_TYPE, "type: is missing");
}

static int read_message(struct message_reader *r)
{
    struct late_payload late = {0};
    if (read_envelope(r, &late))
        return -1;
    struct message *m = r->m;
    if (late.at) {
        struct json_scan whole = r->s;
        scan_begin(&r->s, late.at, late.n);
        r->s.start = whole.start;
        if (read_payload(r))
            return -1;
    }
    if (m->type == MESSAGE_OTHER || m->type == MESSAGE_HEARTBEAT)
        return 0;
    if (!late.there)
        return message_refuse(r, r->usual, "payload: is missing");
    return m->type == MESSAGE_SESSION_START ? 0 : message_check_frame(r);
}

void message_reset(struct message *m)
{
    free(m->image);
    struct message fresh = {.type = MESSAGE_OTHER,
                            .value_range = 255,
                            .coordinates_array = -1,
                            .set_id = -1,
                            .capacity = m->capacity,
                            .uv = m->uv,
                            .value = m->value,
                            .image_limit = m->image_limit,
                            .state_capacity = m->state_capacity,
                            .state = m->state};
    snprintf(fresh.checkpoint_key, sizeof fresh.checkpoint_key, "default");
    *m = fresh;
}

/* A field was wrong and nothing behind it was read: text that is no JSON is called so, wherever it breaks. */
static void check_rest(struct message_reader *r, const char *text, size_t len)
{
    struct err first = {0};
    scan_begin(&r->s, text, len);
    scan_skip(&r->s, NULL, NULL);
    if (!scan_end(&r->s))
        return;
    if (r->e)
        first = *r->e;
    r->bad = 0;
    message_refuse(r, MESSAGE_INVALID_JSON, "invalid JSON at byte %zu: %s (%.400s)",
                   (size_t)(r->s.at - r->s.start), r->s.wrong, first.text);
}

int message_parse(struct message *m, const char *text, size_t len, double value_range, size_t max_samples,
                  size_t max_state, struct err *e)
{
    struct message_reader r = {.m = m,
                               .value_range = value_range,
                               .max_samples = max_samples,
                               .max_state = max_state,
                               .usual = MESSAGE_INVALID_JSON,
                               .num_pixels = -1,
                               .e = e};
    message_reset(m);
    scan_begin(&r.s, text, len);
    if (!read_message(&r)) {
        m->fault = m->type == MESSAGE_OTHER ? MESSAGE_UNKNOWN_TYPE : MESSAGE_FAULT_NONE;
        return 0;
    }
    if (r.bad == ERR_DATA && m->fault != MESSAGE_INVALID_JSON)
        check_rest(&r, text, len);
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
