#include "live/server.h"

#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/message_write.h"
#include "live/server_private.h"

static const char *const protocols[] = {"sgaps.v1.json", "sgaps.v1.bin", NULL};
enum { PROTOCOL_BINARY = 1 };
static const double FIRST_MESSAGE_S = 5, MESSAGE_S = 2, PING_S = 20;
/* How long a full recorder may hold up the end (strict). */
static const double LAST_WORDS_S = 30;

/* --- what net calls: the service thread --- */

static int on_opened(void *user, const struct net_peer *peer)
{
    struct server *v = user;
    if (v->stopping)
        return NET_GOING_AWAY;
    struct connection *c = connections_add(&v->connections, peer, clock_seconds());
    if (!c)
        return NET_TRY_LATER;
    c->binary = peer->protocol == PROTOCOL_BINARY;
    return 0;
}

static void on_message(void *user, net_id id, int binary, const void *data, size_t n)
{
    struct server *v = user;
    struct connection *c = connections_find(&v->connections, id);
    if (c)
        dispatch_arrived(v, c, binary, data, n);
}

static void on_closed(void *user, net_id id, int code)
{
    struct server *v = user;
    struct connection *c = connections_find(&v->connections, id);
    if (c)
        dispatch_closed(v, c, code);
}

static void on_request(void *user, const struct net_request *q, struct net_response *a)
{
    struct server *v = user;
    telemetry_answer(v->telemetry, &v->http, q, a);
}

static void on_woken(void *user)
{
    struct server *v = user;
    if (atomic_exchange(&v->reload, 0) && v->models) {
        log_note("SIGHUP: the checkpoints are loaded again");
        models_reload(v->models);
    }
    for (struct start *t; (t = starts_ready(v));)
        session_ready(v, t);
    if (atomic_load(&v->stop) && !v->stopping) {
        v->stopping = 1;
        log_note("going down: %zu sessions", v->session_count);
        net_stop(v->net, NET_GOING_AWAY);
    }
}

static void look_after(void *user, struct connection *c)
{
    struct server *v = user;
    double patience = v->c->server.idle_timeout_s;
    if (c->held) {
        dispatch_waiting(v, c);
    } else if (!c->closing && patience > 0 && clock_seconds() - c->heard > patience) {
        char why[64];
        snprintf(why, sizeof why, "silent for %g s", patience);
        dispatch_refuse(v, c, "TIMEOUT", NET_POLICY, why);
    }
}

static void on_tick(void *user)
{
    struct server *v = user;
    double now = clock_seconds();
    connections_each(&v->connections, look_after, v);
    for (struct session *s = v->sessions, *next; s; s = next) {
        next = s->next;
        if (!s->connection && now > s->deadline)
            session_end(s, 1006, "the connection was cut");
    }
}

/* --- what the HTTP interface asks --- */

static int end_by_operator(void *user, const char *id)
{
    struct server *v = user;
    struct session *s = session_find(v, id);
    if (!s)
        return -1;
    struct connection *c = s->connection;
    if (c) {
        c->closing = 1;
        net_close(v->net, c->id, NET_NORMAL, "ended by the operator");
    }
    session_end(s, NET_NORMAL, "ended by the operator");
    return 0;
}

static int is_ready(void *user)
{
    const struct server *v = user;
    int recording = !v->recorder || recorder_has_room(v->recorder);
    return !v->stopping && recording && v->session_count < (size_t)v->c->server.max_sessions;
}

/* From the recorder's threads. */
static void on_recorder_event(void *user, const char *text)
{
    (void)user;
    log_warning("recording: %s", text);
}

static void on_written(void *user, uint64_t session, uint64_t ordinal, double seconds)
{
    struct server *v = user;
    (void)session;
    (void)ordinal;
    telemetry_stage(v->telemetry, STAGE_RECORD, seconds);
}

/* --- opening --- */

int server_check(const struct server_options *o, struct err *e)
{
    const struct config *c = o->config;
    if (c->sampling.default_sample_count > c->server.max_samples)
        return err_set(e, ERR_CONFIG,
                       "sampling.default_sample_count: %lld is more than server.max_samples (%lld)",
                       (long long)c->sampling.default_sample_count, (long long)c->server.max_samples);
    uint64_t pixels = (uint64_t)c->server.resolution[0] * c->server.resolution[1];
    if ((uint64_t)c->sampling.default_sample_count > pixels)
        return err_set(
            e, ERR_CONFIG,
            "sampling.default_sample_count: %lld is more than the %llu pixels of server.resolution",
            (long long)c->sampling.default_sample_count, (unsigned long long)pixels);
    if (o->record_reconstruction && !o->record)
        return err_set(e, ERR_USAGE, "--record-reconstruction: needs --record DIR");
    if (!o->cert != !o->key)
        return err_set(e, ERR_USAGE, "--cert and --key: one needs the other");
    return 0;
}

/* A name such as localhost as a number. */
static int resolve(const char *host, char out[64], struct err *e)
{
    struct addrinfo hint = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found = NULL;
    int r = getaddrinfo(host, NULL, &hint, &found);
    if (!r)
        r = getnameinfo(found->ai_addr, found->ai_addrlen, out, 64, NULL, 0, NI_NUMERICHOST);
    if (found)
        freeaddrinfo(found);
    return r ? err_set(e, ERR_CONFIG, "server.host: %s: %s", host, gai_strerror(r)) : 0;
}

static int open_net(struct server *v, struct err *e)
{
    const struct server_config *c = &v->c->server;
    char bind[64];
    int r = resolve(c->host, bind, e);
    struct net_options o = {.bind = bind,
                            .port = (int)c->port,
                            .path = "/ws/stream",
                            .protocols = protocols,
                            .cert = v->o.cert,
                            .key = v->o.key,
                            .origins = v->o.origins,
                            .token = v->o.token,
                            .max_message = (size_t)c->max_message_bytes,
                            .max_connections = (size_t)c->max_connections,
                            .max_per_address = (size_t)c->max_per_address,
                            .max_queue = (size_t)c->max_unread_bytes,
                            .first_message_s = FIRST_MESSAGE_S,
                            .message_s = MESSAGE_S,
                            .max_fragments = 256,
                            .ping_s = PING_S};
    struct net_handlers h = {v, on_opened, on_message, on_closed, on_request, on_woken, on_tick};
    return r ? r : net_open(&v->net, &o, &h, e);
}

/* From the inference thread. The server goes down in good order, with what it received in its recordings; whoever watches
 * it may start it anew. */
static void on_lost(void *user, const struct err *e)
{
    struct server *v = user;
    if (v->lost.code)
        return;
    v->lost = *e;
    atomic_store(&v->stop, 1);
    net_wake(v->net);
}

static int open_engine(struct server *v, struct err *e)
{
    if (v->o.null_model)
        return 0;
    struct models_options models = {.dir = v->o.checkpoints,
                                    .device = v->o.device,
                                    .threads = v->o.threads,
                                    .precision = v->o.precision,
                                    .memory = (size_t)v->c->server.model_memory_mb << 20,
                                    .variants = v->c->server.variants,
                                    .W = v->c->server.resolution[1],
                                    .H = v->c->server.resolution[0]};
    struct engine_handlers h = {v, session_result, session_failed, on_lost};
    int r = models_open(&v->models, &models, e);
    return r ? r : engine_open(&v->engine, v->c, v->models, &h, e);
}

static int open_recorder(struct server *v, struct err *e)
{
    if (!v->o.record)
        return 0;
    struct recorder_options o = {.dir = v->o.record,
                                 .strict = v->o.record_strict,
                                 .queue_bytes = (size_t)v->c->server.record_queue_mb << 20,
                                 .floor_bytes = (uint64_t)v->c->server.record_floor_mb << 20,
                                 .event = on_recorder_event,
                                 .written = on_written,
                                 .user = v};
    return recorder_open(&v->recorder, &o, e);
}

int server_open(struct server **out, const struct server_options *o, struct err *e)
{
    struct server *v;
    int r = server_check(o, e);
    r = r ? r : mem_alloc(&v, 1, sizeof *v, "the server", e);
    if (r)
        return r;
    *v = (struct server){.o = *o,
                         .c = o->config,
                         /* what a client could not send uncompressed, it cannot send compressed either */
                         .message = {.image_limit = (size_t)o->config->server.max_message_bytes},
                         .starts = {.lock = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER}};
    struct telemetry_options t = {.version = o->version, .device = o->device_name, .log = o->log_metrics};
    v->config_json = config_json(o->config);
    if (!v->config_json)
        r = err_memory(e, "the configuration", 0);
    r = r ? r : connections_init(&v->connections, (size_t)o->config->server.max_connections, e);
    r = r ? r : telemetry_open(&v->telemetry, &t, e);
    r = r ? r : open_engine(v, e);
    r = r ? r : open_net(v, e); /* before the recorder: a port that is taken leaves the data alone */
    r = r ? r : starts_open(v, e);
    r = r ? r : open_recorder(v, e);
    if (r) {
        server_close(v);
        return r;
    }
    v->http = (struct telemetry_http){.sources = {v->net, v->engine, v->recorder, v->models},
                                      .end = end_by_operator,
                                      .ready = is_ready,
                                      .user = v};
    *out = v;
    return 0;
}

int server_port(const struct server *v)
{
    return net_port(v->net);
}

void server_signal(struct server *v, int signal)
{
    atomic_store(signal == SIGHUP ? &v->reload : &v->stop, 1);
    net_wake(v->net);
}

/* --- the end --- */

static void count_waiting(void *user, struct connection *c)
{
    if (c->first && !c->start)
        ++*(size_t *)user;
}

/* Frames that still wait for room in the recorder (strict) have been received: they get in. */
static void record_the_rest(struct server *v)
{
    double end = clock_seconds() + LAST_WORDS_S;
    for (;;) {
        size_t waiting = 0;
        connections_each(&v->connections, look_after, v);
        connections_each(&v->connections, count_waiting, &waiting);
        if (!waiting || clock_seconds() > end)
            break;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
}

/* The network is gone; what was received is rebuilt and recorded. */
static void drain(struct server *v)
{
    v->stopping = 1;
    record_the_rest(v);
    starts_close(v);
    if (v->engine)
        engine_close(v->engine, 1);
    v->engine = v->http.sources.engine = NULL;
    for (struct session *s = v->sessions; s; s = s->next)
        s->engine = NULL; /* went with it */
    while (v->sessions)
        session_end(v->sessions, NET_GOING_AWAY, "the server went down");
    if (v->recorder)
        recorder_close(v->recorder);
    v->recorder = v->http.sources.recorder = NULL;
}

int server_run(struct server *v, struct err *e)
{
    int r = net_run(v->net, e);
    drain(v);
    if (!r && v->lost.code) /* the inference thread has ended */
        r = err_set(e, v->lost.code, "%s", v->lost.text);
    return r;
}

void server_close(struct server *v)
{
    if (!v)
        return;
    starts_close(v);
    if (v->engine) /* never ran */
        engine_close(v->engine, 0);
    if (v->recorder)
        recorder_close(v->recorder);
    if (v->models)
        models_close(v->models);
    starts_release(v);
    if (v->net)
        net_release(v->net);
    connections_release(&v->connections);
    if (v->telemetry)
        telemetry_close(v->telemetry);
    message_release(&v->message);
    pthread_cond_destroy(&v->starts.work);
    pthread_mutex_destroy(&v->starts.lock);
    free(v->config_json);
    free(v);
}
