/* What the parts of the server's network share: net.c (loop, commands of other threads), net_accept.c, net_handshake.c (who
 * may come in), net_conn.c (WebSocket), net_http.c (plain requests). Private to lib/live. */
#ifndef SGAPS_LIVE_NET_PRIVATE_H
#define SGAPS_LIVE_NET_PRIVATE_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>

#include "live/net.h"
#include "live/net_loop.h"
#include "live/net_message.h"

enum conn_state {
    CONN_HANDSHAKE, /* TLS and the first request's head */
    CONN_HTTP,      /* a plain request, or waiting for the next one */
    CONN_OPEN,      /* WebSocket */
    CONN_CLOSING    /* our close frame is waiting or sent, or the peer's was seen: nothing more is taken */
};

struct conn {
    struct net *net;
    struct lws *wsi;
    net_id id;
    enum conn_state state;
    struct conn *next, **before; /* in net->conns */
    struct conn *same_bucket;    /* in net->buckets; under the lock */
    struct in6_addr ip;
    char address[64];
    int authorized, announced; /* announced: the user's `opened` ran, `closed` has to */
    double due;                /* clock_seconds at which it is ended for what it did not do; 0: never */
    double heard;              /* clock_seconds of the last sign of life */
    int ping, pinged;          /* a ping has to be sent; was sent and nothing heard since */
    int close_begun;           /* libwebsockets was told to close */
    int close_code, at_once;   /* code of our close frame; whether what is queued is dropped for it */
    char close_reason[64];
    struct net_inbox in;
    size_t in_flight; /* bytes of the last message that libwebsockets may still hold */
    struct {
        char *body;
        size_t n, sent;
    } http;

    /* Under net->lock: what other threads ask for. */
    struct net_outbox out;
    size_t queued; /* bytes in out and in flight */
    int pending;   /* is in net->dirty */
    struct conn *next_dirty;
    int overrun, wanted_code, paused, paused_now;
    char wanted_reason[64];
};

struct net {
    struct net_options o;
    struct net_handlers h;
    struct net_limits limits;
    struct net_loop loop;
    struct lws_protocols protocols[NET_PROTOCOLS + 1];
    int listen_fd, port, stopped, full_told;
    double stop_due;
    ev_io accept;
    ev_async wake, commands;
    struct conn *conns, *adopting;
    size_t n_conns;
    net_id last_id;

    pthread_mutex_t lock;
    struct conn **buckets; /* id to connection */
    size_t n_buckets;      /* a power of two */
    struct conn *dirty;
    int stop_asked, stop_code;

    atomic_int woken;
    struct {
        atomic_uint_fast64_t connections, open, refused, messages_in, messages_out, bytes_in, bytes_out,
            too_slow, too_large;
    } stats;
};

/* Codes that are never sent: a close frame without a code, no close frame. */
enum { NO_STATUS = 1005, ABNORMAL = 1006 };

#define NET_COUNT(n, what, by) atomic_fetch_add_explicit(&(n)->stats.what, by, memory_order_relaxed)

/* net.c */
struct conn *conn_new(struct net *n, const struct in6_addr *ip, const char *address);
void conn_release(struct conn *c);

/* net_accept.c */
int accept_listen(struct net *n, const char *host, int port, struct err *e);
void accept_ready(struct ev_loop *ev, ev_io *io, int events);

/* net_handshake.c. May this request become a WebSocket? 0 yes; 1: no, and the answer with the reason was written; -1: no
 * answer is possible. */
int handshake_check(struct conn *c, struct lws *wsi);
/* 1 right token (or none is asked for), 0 none was sent, -1 a wrong one. */
int handshake_token(const struct net *n, struct lws *wsi);
/* Whether the Origin, if there is one, may use this server. */
int handshake_origin(const struct net *n, struct lws *wsi);

/* net_conn.c */
void conn_open(struct conn *c, struct lws *wsi, int protocol);
int conn_receive(struct conn *c, struct lws *wsi, const void *chunk, size_t n);
int conn_writable(struct conn *c, struct lws *wsi);
int conn_peer_close(struct conn *c, struct lws *wsi, const unsigned char *body, size_t n);
void conn_heard(struct conn *c);
/* Closes with a code: after what is queued, or at once. */
void conn_close(struct conn *c, int code, const char *reason, int at_once);
/* No more messages come: tells the user. */
void conn_ended(struct conn *c, int code);
void conn_failed(struct conn *c, struct lws *wsi);
void conn_kill(struct conn *c);
void conn_tick(struct conn *c, double now);

/* net_http.c: the callbacks of a plain request; nonzero ends the connection. */
int http_request(struct conn *c, struct lws *wsi);
int http_writable(struct conn *c, struct lws *wsi);
void http_release(struct conn *c);

#endif
