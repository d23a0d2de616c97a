/* One WebSocket connection as the server sees it, and the table of all. Service thread only. */
#ifndef SGAPS_LIVE_CONNECTION_H
#define SGAPS_LIVE_CONNECTION_H

#include <stddef.h>

#include "base/err.h"
#include "live/net.h"

struct session;
struct start;

/* A message that waits for its turn. */
struct waiting {
    struct waiting *next;
    size_t n;
    int binary;
    char data[];
};

struct connection {
    net_id id;
    struct connection *next; /* in its bucket */
    char address[64];
    int binary;     /* subprotocol sgaps.v1.bin */
    int authorized; /* the token was right, or none is asked for */
    int closing;    /* the server ends it: nothing more is taken */
    int gone;       /* it is closed; what it sent before may still wait */
    int close_code;
    struct session *session; /* NULL before session_start is answered */
    struct start *start;     /* a session_start that waits for its model */
    double heard;            /* clock_seconds of its newest message */
    double tokens, filled;   /* of the rate limit */
    /* Held: messages wait in order, behind a session_start whose model is being loaded, or for room in the recorder. */
    int held;
    struct waiting *first, **last;
    size_t waiting_bytes;
};

struct connections {
    struct connection **bucket;
    size_t buckets; /* a power of two */
};

int connections_init(struct connections *t, size_t expected, struct err *e);
void connections_release(struct connections *t);
/* NULL: out of memory. */
struct connection *connections_add(struct connections *t, const struct net_peer *peer, double now);
struct connection *connections_find(const struct connections *t, net_id id);
void connections_remove(struct connections *t, struct connection *c);
/* All of them, in no order; fn may remove the one it is given. */
void connections_each(struct connections *t, void (*fn)(void *user, struct connection *c), void *user);

/* Takes one message off the allowance: per_second, over ten seconds and at least 60 messages. 0: it is used up. */
int connection_may_send(struct connection *c, double per_second, double now);

/* Puts a message behind those that wait; ERR_TEMPFAIL over `limit` bytes. */
int connection_keep(struct connection *c, int binary, const void *data, size_t n, size_t limit,
                    struct err *e);
void connection_drop_first(struct connection *c);
void connection_drop_all(struct connection *c);

#endif
