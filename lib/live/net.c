/* The service thread: the loop, and what other threads ask of it.
 *
 * libwebsockets 4.1.6, as Debian 12 ships it, is used in a way that was found by trying; what is refused or done differently,
 * and why, stands where it is done: net_loop.c (extensions, HTTP/2, loop, timers), net_accept.c, net_handshake.c, net_message.c
 * (limits, UTF-8), net_conn.c (pings, closing). */
#include "live/net.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "live/net_private.h"

enum { STOP_S = 5 };

/* ---- connections by number ---- */

static struct conn **bucket(struct net *n, net_id id)
{
    return &n->buckets[id & (n->n_buckets - 1)];
}

/* Under the lock. */
static struct conn *find(struct net *n, net_id id)
{
    struct conn *c = *bucket(n, id);
    while (c && c->id != id)
        c = c->same_bucket;
    return c;
}

struct conn *conn_new(struct net *n, const struct in6_addr *ip, const char *address)
{
    struct conn *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->net = n;
    c->id = ++n->last_id;
    c->ip = *ip;
    snprintf(c->address, sizeof c->address, "%s", address);
    c->due = n->o.first_message_s > 0 ? clock_seconds() + n->o.first_message_s : 0;
    net_outbox_init(&c->out);
    c->next = n->conns;
    c->before = &n->conns;
    if (c->next)
        c->next->before = &c->next;
    n->conns = c;
    n->n_conns++;
    pthread_mutex_lock(&n->lock);
    struct conn **b = bucket(n, c->id);
    c->same_bucket = *b;
    *b = c;
    pthread_mutex_unlock(&n->lock);
    return c;
}

void conn_release(struct conn *c)
{
    struct net *n = c->net;
    pthread_mutex_lock(&n->lock);
    struct conn **b = bucket(n, c->id);
    while (*b != c)
        b = &(*b)->same_bucket;
    *b = c->same_bucket;
    if (c->pending) {
        struct conn **d = &n->dirty;
        while (*d != c)
            d = &(*d)->next_dirty;
        *d = c->next_dirty;
    }
    pthread_mutex_unlock(&n->lock);
    *c->before = c->next;
    if (c->next)
        c->next->before = c->before;
    n->n_conns--;
    net_outbox_clear(&c->out);
    net_inbox_release(&c->in);
    http_release(c);
    free(c);
}

/* ---- what other threads ask ---- */

static void ask(struct net *n, struct conn *c)
{
    if (!c->pending) {
        c->pending = 1;
        c->next_dirty = n->dirty;
        n->dirty = c;
    }
}

/* A single message may be larger than the queue. */
static int too_much(const struct net *n, const struct conn *c, size_t size)
{
    size_t most = n->o.max_queue;
    return most && c->queued && (c->queued >= most || size > most - c->queued);
}

void net_send(struct net *n, net_id id, int binary, const void *data, size_t size)
{
    struct net_letter *l = net_letter_new(binary, data, size);
    pthread_mutex_lock(&n->lock);
    struct conn *c = find(n, id);
    if (c && !c->wanted_code) {
        if (!l || c->overrun || too_much(n, c, size))
            c->overrun = 1;
        else {
            c->queued += size;
            net_outbox_put(&c->out, l);
            l = NULL;
        }
        ask(n, c);
    }
    pthread_mutex_unlock(&n->lock);
    free(l);
    if (c)
        ev_async_send(n->loop.ev, &n->commands);
}

void net_close(struct net *n, net_id id, int code, const char *reason)
{
    pthread_mutex_lock(&n->lock);
    struct conn *c = find(n, id);
    if (c && !c->wanted_code) {
        c->wanted_code = code;
        snprintf(c->wanted_reason, sizeof c->wanted_reason, "%s", reason ? reason : "");
        ask(n, c);
    }
    pthread_mutex_unlock(&n->lock);
    ev_async_send(n->loop.ev, &n->commands);
}

void net_pause(struct net *n, net_id id, int paused)
{
    pthread_mutex_lock(&n->lock);
    struct conn *c = find(n, id);
    if (c) {
        c->paused = !!paused;
        ask(n, c);
    }
    pthread_mutex_unlock(&n->lock);
    ev_async_send(n->loop.ev, &n->commands);
}

void net_wake(struct net *n)
{
    atomic_store(&n->woken, 1);
    ev_async_send(n->loop.ev, &n->wake);
}

void net_stop(struct net *n, int code)
{
    pthread_mutex_lock(&n->lock);
    n->stop_asked = 1;
    n->stop_code = code;
    pthread_mutex_unlock(&n->lock);
    ev_async_send(n->loop.ev, &n->commands);
}

static void pause_reading(struct conn *c, int paused)
{
    if (c->state != CONN_OPEN || c->paused_now == paused)
        return;
    c->paused_now = paused;
    lws_rx_flow_control(c->wsi, !paused);
    if (!paused) { /* the time that we made it wait is not its fault */
        conn_heard(c);
        if (c->due)
            c->due = c->heard + (c->in.begun ? c->net->o.message_s : c->net->o.first_message_s);
        net_loop_nudge(&c->net->loop);
    }
}

static void serve(struct conn *c, int overrun, int code, int paused, const char *reason)
{
    if (c->state != CONN_OPEN)
        return;
    if (overrun) {
        NET_COUNT(c->net, too_slow, 1);
        conn_ended(c, NET_POLICY);
        conn_kill(c);
        return;
    }
    pause_reading(c, paused);
    if (code)
        conn_close(c, code, reason, 0);
    lws_callback_on_writable(c->wsi);
}

static void leave(struct net *n, int code)
{
    n->stopped = 1;
    n->stop_due = clock_seconds() + STOP_S;
    ev_io_stop(n->loop.ev, &n->accept);
    close(n->listen_fd);
    n->listen_fd = -1;
    for (struct conn *c = n->conns, *next; c; c = next) {
        next = c->next;
        if (c->state == CONN_OPEN)
            conn_close(c, code, "the server is going away", 0);
        else if (c->state == CONN_HANDSHAKE || (c->state == CONN_HTTP && !c->http.body))
            conn_kill(c);
    }
}

static void commands_ready(struct ev_loop *ev, ev_async *async, int events)
{
    struct net *n = async->data;
    (void)ev;
    (void)events;
    pthread_mutex_lock(&n->lock);
    for (struct conn *c; (c = n->dirty);) {
        char reason[sizeof c->wanted_reason];
        int overrun = c->overrun, code = c->wanted_code, paused = c->paused;
        n->dirty = c->next_dirty;
        c->pending = 0;
        memcpy(reason, c->wanted_reason, sizeof reason);
        pthread_mutex_unlock(&n->lock);
        serve(c, overrun, code, paused, reason);
        pthread_mutex_lock(&n->lock);
    }
    int stop = n->stop_asked && !n->stopped, code = n->stop_code;
    pthread_mutex_unlock(&n->lock);
    if (stop)
        leave(n, code);
    if (n->stopped && !n->conns)
        ev_break(n->loop.ev, EVBREAK_ALL);
}

static void wake_ready(struct ev_loop *ev, ev_async *async, int events)
{
    struct net *n = async->data;
    (void)ev;
    (void)events;
    if (atomic_exchange(&n->woken, 0) && n->h.woken)
        n->h.woken(n->h.user);
}

static void tick(struct ev_loop *ev, ev_timer *timer, int events)
{
    struct net *n = timer->data;
    double now = clock_seconds();
    (void)events;
    for (struct conn *c = n->conns, *next; c; c = next) {
        next = c->next;
        conn_tick(c, now);
    }
    if (!n->stopped) {
        n->full_told = n->full_told && !ev_is_active(&n->accept);
        ev_io_start(ev, &n->accept);
    } else if (!n->conns || now > n->stop_due)
        ev_break(ev, EVBREAK_ALL);
    if (n->h.tick)
        n->h.tick(n->h.user);
    net_loop_nudge(&n->loop);
}

/* ---- libwebsockets ---- */

static int service(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t size)
{
    struct conn *c = NULL;
    (void)user;
    switch (reason) { /* before the others: here wsi may be no real connection */
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
    case LWS_CALLBACK_ESTABLISHED:
    case LWS_CALLBACK_RECEIVE:
    case LWS_CALLBACK_RECEIVE_PONG:
    case LWS_CALLBACK_SERVER_WRITEABLE:
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
    case LWS_CALLBACK_WS_SERVER_DROP_PROTOCOL:
    case LWS_CALLBACK_CLOSED:
    case LWS_CALLBACK_HTTP:
    case LWS_CALLBACK_HTTP_WRITEABLE:
    case LWS_CALLBACK_WSI_DESTROY:
        c = lws_get_opaque_user_data(wsi);
        break;
    default:
        return 0;
    }
    if (!c)
        return 0;
    c->wsi = wsi;
    switch (reason) {
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return handshake_check(c, wsi);
    case LWS_CALLBACK_ESTABLISHED:
        conn_open(c, wsi, (int)lws_get_protocol(wsi)->id - 1);
        return 0;
    case LWS_CALLBACK_RECEIVE:
        return conn_receive(c, wsi, in, size);
    case LWS_CALLBACK_RECEIVE_PONG:
        conn_heard(c);
        return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return conn_writable(c, wsi);
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        return conn_peer_close(c, wsi, in, size);
    case LWS_CALLBACK_HTTP:
        return http_request(c, wsi);
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return http_writable(c, wsi);
    case LWS_CALLBACK_WS_SERVER_DROP_PROTOCOL: /* the connection is about to close */
    case LWS_CALLBACK_CLOSED:
        conn_failed(c, wsi);
        return 0;
    case LWS_CALLBACK_WSI_DESTROY:
        conn_ended(c, ABNORMAL);
        if (c->net->adopting == c)
            c->net->adopting = NULL;
        lws_set_opaque_user_data(wsi, NULL);
        conn_release(c);
        return 0;
    default:
        return 0;
    }
}

/* Number 0 stands for "none was offered"; its name is no token, so that no client can ask for it. */
static int name_protocols(struct net *n, struct err *e)
{
    size_t k = 0;
    n->protocols[0].name = "none offered";
    for (const char *const *p = n->o.protocols; p && *p; p++) {
        if (++k == NET_PROTOCOLS)
            return err_set(e, ERR_INTERNAL, "more than %d subprotocols", NET_PROTOCOLS - 1);
        n->protocols[k].name = *p;
    }
    for (size_t i = 0; i <= k; i++) {
        n->protocols[i].callback = service;
        n->protocols[i].rx_buffer_size = NET_BUFFER;
        n->protocols[i].tx_packet_size =
            1 << 30; /* what the kernel does not take at once is kept and sent later */
        n->protocols[i].per_session_data_size = 1;
        n->protocols[i].id = (unsigned)i;
    }
    return 0;
}

/* ---- opening, running, closing ---- */

/* libwebsockets would go on without a certificate that it cannot read. */
static int readable(const char *path, struct err *e)
{
    return path && !access(path, R_OK) ? 0
                                       : err_set(e, ERR_NOINPUT, "%s: %s", path ? path : "--key",
                                                 path ? strerror(errno) : "is needed with --cert");
}

static int open_loop(struct net *n, struct err *e)
{
    struct lws_context_creation_info info = {.port = CONTEXT_PORT_NO_LISTEN_SERVER,
                                             .protocols = n->protocols,
                                             .vhost_name = "sgaps",
                                             .max_http_header_data = NET_HEADERS,
                                             .server_string = "sgaps",
                                             .user = n};
    if (n->o.cert) {
        if (readable(n->o.cert, e) || readable(n->o.key, e))
            return e ? e->code : ERR_NOINPUT;
        info.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
        info.ssl_cert_filepath = n->o.cert;
        info.ssl_private_key_filepath = n->o.key;
    }
    return net_loop_open(&n->loop, &info, tick, n, e);
}

int net_open(struct net **out, const struct net_options *o, const struct net_handlers *h, struct err *e)
{
    struct net *n;
    *out = NULL;
    int code = mem_alloc(&n, 1, sizeof *n, "the network", e);
    if (code)
        return code;
    n->o = *o;
    n->h = *h;
    n->limits = (struct net_limits){.message = o->max_message, .fragments = o->max_fragments};
    n->listen_fd = -1;
    pthread_mutex_init(&n->lock, NULL);
    for (n->n_buckets = 64; n->n_buckets < o->max_connections && n->n_buckets < 1 << 16;)
        n->n_buckets *= 2;
    code = mem_alloc(&n->buckets, n->n_buckets, sizeof *n->buckets, "connections", e);
    if (!code)
        code = name_protocols(n, e);
    if (!code)
        code = accept_listen(n, o->bind ? o->bind : "127.0.0.1", o->port, e);
    if (!code)
        code = open_loop(n, e);
    if (code) {
        net_release(n);
        return code;
    }
    ev_async_init(&n->wake, wake_ready);
    ev_async_init(&n->commands, commands_ready);
    ev_io_init(&n->accept, accept_ready, n->listen_fd, EV_READ);
    n->wake.data = n->commands.data = n->accept.data = n;
    ev_async_start(n->loop.ev, &n->wake);
    ev_async_start(n->loop.ev, &n->commands);
    ev_io_start(n->loop.ev, &n->accept);
    *out = n;
    return 0;
}

int net_port(const struct net *n)
{
    return n->port;
}

int net_run(struct net *n, struct err *e)
{
    (void)e;
    ev_run(n->loop.ev, 0);
    for (struct conn *c = n->conns; c; c = c->next) /* who did not leave in time */
        conn_ended(c, n->stop_code);
    return 0;
}

void net_release(struct net *n)
{
    if (!n)
        return;
    net_loop_release(&n->loop);
    if (n->listen_fd >= 0)
        close(n->listen_fd);
    while (n->conns)
        conn_release(n->conns);
    pthread_mutex_destroy(&n->lock);
    free(n->buckets);
    free(n);
}

struct net_stats net_stats(struct net *n)
{
    struct net_stats s;
#define READ(what) s.what = atomic_load_explicit(&n->stats.what, memory_order_relaxed)
    READ(connections);
    READ(open);
    READ(refused);
    READ(messages_in);
    READ(messages_out);
    READ(bytes_in);
    READ(bytes_out);
    READ(too_slow);
    READ(too_large);
#undef READ
    return s;
}
