#include "io/message_write.h"

#include <openssl/evp.h>
#include <stdlib.h>

#include "base/mem.h"
#include "io/message_private.h"

/* ,"name": and, before the first member, no comma. */
static void member(struct text *t, const char *name)
{
    text_add(t, t->n && t->at[t->n - 1] == '{' ? "\"" : ",\"");
    text_add(t, name);
    text_add(t, "\":");
}

static void member_text(struct text *t, const char *name, const char *value)
{
    member(t, name);
    text_json_string(t, value);
}

static void member_double(struct text *t, const char *name, double value)
{
    member(t, name);
    text_json_double(t, value);
}

static void member_resolution(struct text *t, uint32_t w, uint32_t h)
{
    member(t, "resolution");
    text_printf(t, "[%u,%u]", w, h);
}

static void member_bool(struct text *t, const char *name, int value)
{
    member(t, name);
    text_add(t, value ? "true" : "false");
}

static void begin(struct text *t, const char *type)
{
    text_printf(t, "{\"type\":\"%s\",\"payload\":{", type);
}

static void end(struct text *t)
{
    text_add(t, "}}");
}

/* --- server to client --- */

void message_write_ack(struct text *t, const struct session_ack *a)
{
    begin(t, "session_start_ack");
    member_text(t, "checkpoint_key", a->checkpoint_key);
    member_bool(t, "checkpoint_loaded", a->checkpoint_loaded);
    member_text(t, "model_version", a->model_version);
    text_printf(t, ",\"sample_count\":%llu,\"max_state_dim\":%llu", (unsigned long long)a->sample_count,
                (unsigned long long)a->max_state_dim);
    member_double(t, "target_fps", a->target_fps);
    member_double(t, "sentinel_value", a->sentinel);
    member_resolution(t, a->width, a->height);
    member_bool(t, "debug_mode", a->debug_mode);
    member_text(t, "session_id", a->session_id);
    end(t);
}

void message_write_coordinates(struct text *t, int64_t target_frame_id, int64_t set_id, const float *uv,
                               size_t n, int array)
{
    begin(t, "uv_coordinates");
    text_printf(t, "\"target_frame_id\":%lld,\"set_id\":%lld,\"coordinates\":[", (long long)target_frame_id,
                (long long)set_id);
    for (size_t i = 0; i < n; i++) {
        if (i)
            text_add(t, ",");
        text_add(t, array ? "[" : "{\"u\":");
        text_json_float(t, uv[2 * i]);
        text_add(t, array ? "," : ",\"v\":");
        text_json_float(t, uv[2 * i + 1]);
        text_add(t, array ? "]" : "}");
    }
    text_add(t, "]");
    end(t);
}

void message_write_heartbeat_ack(struct text *t, double unix_time)
{
    begin(t, "heartbeat_ack");
    member_double(t, "timestamp", unix_time);
    end(t);
}

void message_write_error(struct text *t, const char *code, const char *message, const char *details)
{
    begin(t, "error");
    member_text(t, "code", code);
    member_text(t, "message", message);
    if (details) {
        member(t, "details");
        text_add(t, details);
    }
    end(t);
}

/* --- client to server --- */

void message_write_session_start(struct text *t, const struct message *m)
{
    begin(t, "session_start");
    member_text(t, "checkpoint_key", *m->checkpoint_key ? m->checkpoint_key : "default");
    if (*m->client_name)
        member_text(t, "client_name", m->client_name);
    if (m->width)
        member_resolution(t, m->width, m->height);
    if (m->debug)
        member_bool(t, "debug", 1);
    if (m->value_range == 1)
        member_double(t, "value_range", 1);
    if (m->coordinates_array >= 0)
        member_text(t, "coordinate_format", m->coordinates_array ? "array" : "objects");
    if (*m->resume)
        member_text(t, "resume", m->resume);
    if (*m->token)
        member_text(t, "token", m->token);
    end(t);
}

static int add_image(struct text *t, const struct message *m, struct err *e)
{
    struct text png = {0};
    unsigned char *base64 = NULL;
    int bad = message_put_png(&png, m, e);
    if (!bad)
        bad = mem_alloc(&base64, png.n / 3 + 1, 4, "an image", e);
    if (!bad) {
        member(t, "full_frame_base64");
        text_add(t, "\"");
        text_bytes(t, base64, (size_t)EVP_EncodeBlock(base64, (const unsigned char *)png.at, (int)png.n));
        text_add(t, "\"");
    }
    free(base64);
    text_release(&png);
    return bad;
}

int message_write_frame(struct text *t, const struct message *m, struct err *e)
{
    int bad = 0;
    begin(t, m->image ? "frame_data_debug" : "frame_data");
    text_printf(t, "\"frame_id\":%lld", (long long)m->frame_id);
    member_double(t, "timestamp", m->timestamp);
    if (m->width)
        member_resolution(t, m->width, m->height);
    text_printf(t, ",\"num_pixels\":%zu,\"pixels\":[", m->n);
    for (size_t i = 0; i < m->n; i++) {
        text_add(t, i ? ",{\"u\":" : "{\"u\":");
        text_json_float(t, m->uv[2 * i]);
        text_add(t, ",\"v\":");
        text_json_float(t, m->uv[2 * i + 1]);
        text_add(t, ",\"value\":");
        text_json_float(t, m->value[i]);
        text_add(t, "}");
    }
    text_add(t, "],\"state_vector\":[");
    for (size_t i = 0; i < m->state_n; i++) {
        if (i)
            text_add(t, ",");
        text_json_float(t, m->state[i]);
    }
    text_add(t, "]");
    if (m->set_id >= 0)
        text_printf(t, ",\"set_id\":%lld", (long long)m->set_id);
    if (m->image)
        bad = add_image(t, m, e);
    end(t);
    return bad ? bad : t->failed ? err_memory(e, "a message", t->n) : 0;
}
