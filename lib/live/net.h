/* WebSocket and HTTP on one port: the only file of the server that knows libwebsockets (net.c and its parts). It knows
 * nothing of frames and sessions; what arrives is bytes, what leaves is bytes.
 *
 * Threads: net_run is the service thread and calls every callback. net_send, net_close, net_wake, net_stop and
 * net_stats may be called from any thread, callbacks too: they queue and wake the service thread. Nothing here blocks
 * but net_run. What of libwebsockets is not used, and why, is told in net.c. */
#ifndef SGAPS_LIVE_NET_H
#define SGAPS_LIVE_NET_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/text.h"

struct net;
typedef uint64_t net_id; /* a connection; counted up from 1, never used again */

enum {
    NET_NORMAL = 1000,
    NET_GOING_AWAY = 1001,
    NET_PROTOCOL_ERROR = 1002,
    NET_UNSUPPORTED = 1003,
    NET_BAD_DATA = 1007,
    NET_POLICY = 1008,
    NET_TOO_LARGE = 1009,
    NET_TRY_LATER = 1013
};

struct net_peer {
    net_id id;
    char address[64]; /* of the client, numeric */
    int protocol;     /* index into net_options.protocols; -1: none was offered */
    int authorized;   /* the bearer token of the handshake was right, or none is asked for */
};

struct net_request {
    const char *method; /* GET, DELETE */
    const char *path;   /* decoded, without the query */
    const char *query;  /* without the ?, %XX decoded, may be "" */
    char address[64];
    int authorized;
};
struct net_response {
    int status;         /* 200 at first */
    const char *type;   /* "application/json" at first; constant */
    const char *policy; /* Content-Security-Policy of a page, or NULL; lives as long as net */
    struct text body;   /* taken over and released by net */
};

struct net_handlers {
    void *user;
    /* A WebSocket connection stands. Nonzero: closed with that code (and `closed` is called all the same). */
    int (*opened)(void *user, const struct net_peer *peer);
    /* A whole message; text is valid UTF-8. data is only there during the call. */
    void (*message)(void *user, net_id id, int binary, const void *data, size_t n);
    /* Called once for each opened connection, whoever ended it, when nothing more can come from it. code: of the first
     * close frame, ours or the client's; 1005 when that had none, 1006 when there was no close frame. */
    void (*closed)(void *user, net_id id, int code);
    /* A plain HTTP request (not the WebSocket path). */
    void (*request)(void *user, const struct net_request *q, struct net_response *a);
    void (*woken)(void *user); /* after net_wake, at least once */
    void (*tick)(void *user);  /* about every 250 ms */
};

/* Kept by pointer while the net lives. */
struct net_options {
    const char *bind;             /* numeric address */
    int port;                     /* 0: a free one, see net_port */
    const char *path;             /* of the WebSocket: "/ws/stream" */
    const char *const *protocols; /* subprotocols known, NULL-terminated */
    const char *cert, *key;       /* PEM files: TLS; NULL: plain */
    const char *const
        *origins;       /* allowed Origin values, NULL-terminated, "*" is any; NULL: only the server's own
                                         (its host is the Host header's). A client without Origin passes. */
    const char *token;  /* bearer token; NULL: none is asked for. A wrong one in the handshake is 401; none
                                         passes with authorized = 0, for the server to ask in session_start. */
    size_t max_message; /* bytes; more closes 1009 */
    size_t max_connections, max_per_address;
    size_t max_queue;       /* bytes waiting for one client; more: it does not read, and is closed */
    double first_message_s; /* 5: until the first message is there */
    double message_s;       /* 2: from a message's first fragment to its last */
    size_t max_fragments;   /* 256 */
    double ping_s; /* a silent connection is pinged after this and ended after three times this; 0: never */
};

struct net_stats {
    uint64_t connections, open, refused, messages_in, messages_out, bytes_in, bytes_out, too_slow, too_large;
};

/* SIGPIPE is ignored in the process from here on. */
int net_open(struct net **n, const struct net_options *o, const struct net_handlers *h, struct err *e);
int net_port(const struct net *n);
/* Serves until net_stop. */
int net_run(struct net *n, struct err *e);
/* No new connections; open ones are closed with `code` and what is queued for them is sent first; net_run then returns.
 * Safe in a signal handler only through net_wake. */
void net_stop(struct net *n, int code);
void net_release(struct net *n);

void net_wake(struct net *n); /* async-signal-safe */
/* The bytes are copied. An id that is gone is ignored. */
void net_send(struct net *n, net_id id, int binary, const void *data, size_t size);
void net_close(struct net *n, net_id id, int code, const char *reason);
/* Whether reading from this client stops for now (record-mode strict slows the client down). */
void net_pause(struct net *n, net_id id, int paused);
struct net_stats net_stats(struct net *n);

#endif
