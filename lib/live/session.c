#include "live/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/message_write.h"
#include "live/server_private.h"
#include "live/session_record.h"
#include "live/session_sets.h"

/* --- opening --- */

static void new_id(char out[17])
{
    uint64_t bits = 0;
    while (getrandom(&bits, sizeof bits, 0) != sizeof bits)
        ; /* interrupted */
    snprintf(out, 17, "%016llx", (unsigned long long)bits);
}

static void speak_as(struct session *s, struct connection *c, double value_range, int array)
{
    const char *format = s->server->c->server.coordinate_format;
    pthread_mutex_lock(&s->lock);
    s->to = c->id;
    s->binary = c->binary;
    s->array = array >= 0 ? array : !strcmp(format, "array");
    pthread_mutex_unlock(&s->lock);
    s->value_range = value_range;
    s->connection = c;
    c->session = s;
}

static void describe_model(struct session *s, const struct model *m)
{
    s->model_loaded = m ? m->exact : 0;
    s->max_state = m ? m->max_state_dim : s->server->c->model.max_state_dim;
    s->sentinel = m ? m->sentinel : s->server->c->model.sentinel_value;
    snprintf(s->model_version, sizeof s->model_version, "%s", m ? m->version : "null");
}

/* The engine's side of the session and its first set. Takes over the model. */
static int make_engine(struct session *s, struct model *model, struct err *e)
{
    struct server *v = s->server;
    const struct config *c = v->c;
    size_t n = (size_t)c->sampling.default_sample_count;
    float *uv;
    int64_t set = 0;
    int r = mem_alloc(&uv, n, 2 * sizeof *uv, "a set of coordinates", e);
    if (r) {
        if (model)
            models_release(v->models, model);
        return r;
    }
    if (v->engine) {
        r = engine_session_open(v->engine, model, s->id, s, &s->engine, uv, &set, e);
    } else {
        struct policy p;
        r = policy_init(&p, c, s->id, c->server.resolution[1], c->server.resolution[0], n, e);
        r = r ? r : policy_first(&p, uv, &set, e);
    }
    s->samples = n;
    if (!r && !session_remember(s, set, uv, n))
        r = err_memory(e, "a set of coordinates", n);
    free(uv);
    return r;
}

void session_discard(struct session *s)
{
    if (s->engine)
        engine_session_close(s->server->engine, s->engine);
    for (int i = 0; i < SETS_KEPT; i++)
        free(s->sets[i].uv);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void session_make(struct start *t)
{
    struct server *v = t->server;
    struct session *s;
    struct model *model = t->model;
    struct err *e = &t->error;
    t->model = NULL;
    if (mem_alloc(&s, 1, sizeof *s, "a session", e)) {
        if (model)
            models_release(v->models, model);
        return;
    }
    *s = (struct session){.server = v,
                          .debug = t->debug,
                          .screen_w = t->screen_w,
                          .screen_h = t->screen_h,
                          .value_range = t->value_range,
                          .last_frame = -1};
    pthread_mutex_init(&s->lock, NULL);
    snprintf(s->key, sizeof s->key, "%s", t->key);
    snprintf(s->client_name, sizeof s->client_name, "%s", t->client_name);
    describe_model(s, model);
    new_id(s->id);
    if (make_engine(s, model, e))
        session_discard(s);
    else
        t->session = s;
}

static void send_ack(const struct session *s)
{
    const struct config *c = s->server->c;
    struct session_ack ack = {.checkpoint_key = s->key,
                              .model_version = s->model_version,
                              .session_id = s->id,
                              .checkpoint_loaded = s->model_loaded,
                              .debug_mode = s->debug,
                              .sample_count = s->samples,
                              .max_state_dim = s->max_state,
                              .target_fps = c->server.target_fps,
                              .sentinel = s->sentinel,
                              .width = c->server.resolution[1],
                              .height = c->server.resolution[0]};
    struct text t = {0};
    message_write_ack(&t, &ack);
    if (!t.failed)
        net_send(s->server->net, s->connection->id, 0, t.at, t.n);
    text_release(&t);
}

static void welcome(struct session *s)
{
    telemetry_session(s->server->telemetry, s->id, s->key, s->model_version, s->client_name,
                      s->connection->address);
    send_ack(s);
    session_send_newest(s);
}

static void begin(struct session *s, struct connection *c, int array)
{
    struct server *v = s->server;
    s->next = v->sessions;
    v->sessions = s;
    v->session_count++;
    speak_as(s, c, s->value_range, array);
    log_note("%s: session of %s '%s', key %s, model %s", s->id, c->address, s->client_name, s->key,
             s->model_version);
    welcome(s);
}

void session_ready(struct server *v, struct start *t)
{
    struct connection *c = connections_find(&v->connections, t->connection);
    int wanted = c && c->start == t && !c->closing;
    if (wanted && t->session && !session_record_open(t->session, &t->error))
        begin(t->session, c, t->array);
    else if (t->session)
        session_discard(t->session);
    if (wanted && t->error.code) { /* the words are the operator's: they name folders */
        log_warning("%s: no session: %s", c->address, t->error.text);
        dispatch_refuse(v, c, "SERVER_OVERLOAD", NET_TRY_LATER,
                        t->error.code == ERR_IO ? "nothing can be recorded now"
                                                : "the session could not be opened");
    }
    if (c && c->start == t)
        c->start = NULL;
    starts_done(v, t);
    if (c)
        dispatch_waiting(v, c);
}

/* --- connections come and go --- */

struct session *session_find(struct server *v, const char *id)
{
    struct session *s = v->sessions;
    while (s && strcmp(s->id, id))
        s = s->next;
    return s;
}

void session_resume(struct session *s, struct connection *c, const struct message *m)
{
    struct connection *before = s->connection;
    if (before && before != c) { /* half open: the client knows before we do */
        before->session = NULL;
        before->closing = 1;
        net_close(s->server->net, before->id, NET_POLICY, "resumed by another connection");
    }
    s->debug = m->debug;
    speak_as(s, c, m->value_range, m->coordinates_array);
    log_note("%s: resumed by %s", s->id, c->address);
    welcome(s);
}

void session_detach(struct session *s, double deadline)
{
    s->connection = NULL;
    s->deadline = deadline;
    pthread_mutex_lock(&s->lock);
    s->to = 0;
    pthread_mutex_unlock(&s->lock);
    log_note("%s: its connection is cut", s->id);
}

struct session *session_oldest_detached(struct server *v)
{
    struct session *oldest = NULL;
    for (struct session *s = v->sessions; s; s = s->next)
        if (!s->connection && (!oldest || s->deadline < oldest->deadline))
            oldest = s;
    return oldest;
}

void session_end(struct session *s, int close_code, const char *reason)
{
    struct server *v = s->server;
    struct session **at = &v->sessions;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    v->session_count--;
    if (s->connection)
        s->connection->session = NULL;
    if (s->engine)
        engine_session_close(v->engine, s->engine);
    s->engine = NULL;
    session_record_close(s, close_code, reason);
    telemetry_session_closed(v->telemetry, s->id);
    log_note("%s: ends after %llu frames: %s (%d)", s->id, (unsigned long long)s->frames, reason, close_code);
    session_discard(s);
}
