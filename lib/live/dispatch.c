#include "live/dispatch.h"

#include <math.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "io/message_binary.h"
#include "io/message_write.h"
#include "live/server_private.h"

/* What a client may have waiting here beside one whole message; reading from it has stopped by then. */
static const size_t WAITING_LIMIT = 1 << 20;

enum outcome {
    DONE,
    HOLD, /* done, but what comes behind it waits */
    AGAIN /* there is no room for it now */
};

static void send_text(struct server *v, const struct connection *c, struct text *t)
{
    if (!t->failed)
        net_send(v->net, c->id, 0, t->at, t->n);
    text_release(t);
}

void dispatch_error(struct server *v, struct connection *c, const char *code, const char *message,
                    const char *details)
{
    struct text t = {0};
    message_write_error(&t, code, message, details);
    send_text(v, c, &t);
    if (c->session)
        telemetry_frame(v->telemetry, c->session->id, EVENT_ERROR);
    log_note("%s: %s: %s", c->session ? c->session->id : c->address, code, message);
}

void dispatch_refuse(struct server *v, struct connection *c, const char *code, int close_code,
                     const char *message)
{
    dispatch_error(v, c, code, message, NULL);
    net_close(v->net, c->id, close_code, code);
    c->closing = 1;
    if (c->session)
        session_end(c->session, close_code, code);
}

/* --- refused messages --- */

/* The reason begins with the field's name: "pixels[12].u: 1.7 is outside [0,1]" gives {"field":"pixels[12].u","index":12}. */
static const char *details_of(const char *reason, struct text *t)
{
    const char *end = strstr(reason, ": "), *bracket = strchr(reason, '[');
    char field[64];
    unsigned long index;
    if (!end || (size_t)(end - reason) >= sizeof field || memchr(reason, ' ', (size_t)(end - reason)))
        return NULL;
    snprintf(field, sizeof field, "%.*s", (int)(end - reason), reason);
    text_add(t, "{\"field\":");
    text_json_string(t, field);
    if (bracket && bracket < end && sscanf(bracket, "[%lu]", &index) == 1)
        text_printf(t, ",\"index\":%lu", index);
    text_add(t, "}");
    return t->failed ? NULL : t->at;
}

static enum outcome reject(struct server *v, struct connection *c, int is_frame, const struct err *e)
{
    if (v->message.fault == MESSAGE_FAULT_NONE) { /* not the client's: out of memory */
        dispatch_refuse(v, c, "SERVER_OVERLOAD", NET_TRY_LATER, e->text);
        return DONE;
    }
    struct text t = {0};
    if (is_frame && c->session)
        telemetry_frame(v->telemetry, c->session->id, EVENT_REJECTED);
    dispatch_error(v, c, message_fault_name(v->message.fault), e->text, details_of(e->text, &t));
    text_release(&t);
    return DONE;
}

/* --- messages --- */

static int token_is_right(const char *said, const char *token)
{
    size_t n = strlen(token);
    return strlen(said) == n && !CRYPTO_memcmp(said, token, n);
}

static int is_full(struct server *v)
{
    if (v->session_count + v->starts.n < (size_t)v->c->server.max_sessions)
        return 0;
    struct session *waiting = session_oldest_detached(v);
    if (waiting)
        session_end(waiting, 1006, "its place was needed");
    return !waiting;
}

static enum outcome start(struct server *v, struct connection *c, const struct message *m)
{
    struct err e = {0};
    if (!c->authorized && !token_is_right(m->token, v->o.token)) {
        dispatch_error(v, c, "UNAUTHORIZED", "the token is missing or wrong", NULL);
        return DONE;
    }
    c->authorized = 1;
    struct session *s = *m->resume ? session_find(v, m->resume) : NULL;
    if (c->session && c->session != s)
        session_end(c->session, NET_NORMAL, "another session_start");
    if (s) {
        session_resume(s, c, m);
        return DONE;
    }
    if (v->stopping)
        dispatch_refuse(v, c, "SERVER_OVERLOAD", NET_TRY_LATER, "the server is going down");
    else if (is_full(v))
        dispatch_refuse(v, c, "SERVER_OVERLOAD", NET_TRY_LATER, "there are as many sessions as are allowed");
    else if (starts_request(v, c, m, &e))
        dispatch_refuse(v, c, "SERVER_OVERLOAD", NET_TRY_LATER, e.text);
    else
        return HOLD;
    return DONE;
}

static enum outcome heartbeat(struct server *v, struct connection *c)
{
    struct text t = {0};
    message_write_heartbeat_ack(&t, clock_unix());
    send_text(v, c, &t);
    return DONE;
}

static int parse(struct server *v, struct connection *c, int binary, const void *data, size_t n,
                 struct err *e)
{
    struct session *s = c->session;
    size_t max_samples = (size_t)v->c->server.max_samples;
    double range = s ? s->value_range : 255;
    size_t max_state = s ? s->max_state : v->c->model.max_state_dim;
    if (!binary)
        return message_parse(&v->message, data, n, range, max_samples, max_state, e);
    pthread_mutex_lock(&s->lock);
    int r = message_parse_binary(&v->message, data, n, range, max_samples, max_state, session_set, s, e);
    pthread_mutex_unlock(&s->lock);
    return r;
}

/* Of a message that was refused only the fault is known. */
static int is_frame(const struct message *m, int binary, int bad)
{
    if (bad && !binary)
        return m->fault == MESSAGE_INVALID_FRAME_DATA || m->fault == MESSAGE_STATE_TOO_LONG ||
               m->fault == MESSAGE_UNKNOWN_SET;
    return binary || m->type == MESSAGE_FRAME_DATA || m->type == MESSAGE_FRAME_DATA_DEBUG;
}

static enum outcome take(struct server *v, struct connection *c, int binary, const void *data, size_t n)
{
    struct err e = {0};
    struct message *m = &v->message;
    double received = clock_seconds();
    if (binary && !c->binary) {
        dispatch_refuse(v, c, "INVALID_FRAME_DATA", NET_UNSUPPORTED,
                        "a binary message: offer the subprotocol sgaps.v1.bin");
        return DONE;
    }
    int bad = binary && !c->session ? 0 : parse(v, c, binary, data, n, &e);
    int frame = is_frame(m, binary, bad);
    if (frame && !c->session) {
        dispatch_error(v, c, "SESSION_NOT_STARTED", "send session_start first", NULL);
        return DONE;
    }
    if (bad)
        return reject(v, c, frame, &e);
    if (m->type == MESSAGE_OTHER) {
        dispatch_error(v, c, message_fault_name(MESSAGE_UNKNOWN_TYPE),
                       "type: is none of session_start, frame_data, frame_data_debug, heartbeat", NULL);
        return DONE;
    }
    if (!frame)
        return m->type == MESSAGE_SESSION_START ? start(v, c, m) : heartbeat(v, c);
    telemetry_stage(v->telemetry, STAGE_PARSE, clock_seconds() - received);
    return session_frame(c->session, m, received, &e) == ERR_TEMPFAIL ? AGAIN : DONE;
}

/* --- order --- */

static void hold(struct server *v, struct connection *c)
{
    c->held = 1;
    net_pause(v->net, c->id, 1);
}

static void keep(struct server *v, struct connection *c, int binary, const void *data, size_t n)
{
    struct err e = {0};
    if (connection_keep(c, binary, data, n, WAITING_LIMIT + (size_t)v->c->server.max_message_bytes, &e))
        dispatch_refuse(v, c, "SERVER_OVERLOAD", NET_TRY_LATER, e.text);
}

void dispatch_arrived(struct server *v, struct connection *c, int binary, const void *data, size_t n)
{
    if (c->closing)
        return;
    c->heard = clock_seconds();
    if (!connection_may_send(c, v->c->server.max_frame_rate, c->heard)) {
        char why[96];
        snprintf(why, sizeof why, "more than %g messages a second (server.max_frame_rate)",
                 v->c->server.max_frame_rate);
        dispatch_refuse(v, c, "SERVER_OVERLOAD", NET_TRY_LATER, why);
        return;
    }
    if (c->held) {
        keep(v, c, binary, data, n);
        return;
    }
    enum outcome r = take(v, c, binary, data, n);
    if (r != DONE)
        hold(v, c);
    if (r == AGAIN)
        keep(v, c, binary, data, n);
}

static void forget(struct server *v, struct connection *c)
{
    struct session *s = c->session;
    double patience = v->stopping ? INFINITY : v->c->server.resume_s;
    /* 1006: no close frame. The client may not even know yet that it is cut off. */
    if (s && (v->stopping || (c->close_code == 1006 && patience > 0)))
        session_detach(s, clock_seconds() + patience);
    else if (s)
        session_end(s, c->close_code, "the client closed");
    connections_remove(&v->connections, c);
}

void dispatch_waiting(struct server *v, struct connection *c)
{
    while (c->first && !c->start && !c->closing) {
        enum outcome r = take(v, c, c->first->binary, c->first->data, c->first->n);
        if (r == AGAIN)
            return;
        connection_drop_first(c);
        if (r == HOLD)
            return;
    }
    if (c->start)
        return;
    connection_drop_all(c);
    c->heard = clock_seconds(); /* it was us who did not listen */
    if (c->held && !c->gone)
        net_pause(v->net, c->id, 0);
    c->held = 0;
    if (c->gone)
        forget(v, c);
}

void dispatch_closed(struct server *v, struct connection *c, int code)
{
    if (code == NET_TOO_LARGE && !c->closing) {
        char why[96];
        snprintf(why, sizeof why, "more than %lld bytes (server.max_message_bytes)",
                 (long long)v->c->server.max_message_bytes);
        dispatch_error(v, c, "MESSAGE_TOO_LARGE", why, NULL);
    }
    c->gone = 1;
    c->close_code = code;
    if (!c->held)
        forget(v, c);
}
