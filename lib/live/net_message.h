/* Messages on their way: put together from the chunks that arrive, and queued until they can leave. Shared by the server
 * (net.c) and the client (net_client.c). Private to lib/live. */
#ifndef SGAPS_LIVE_NET_MESSAGE_H
#define SGAPS_LIVE_NET_MESSAGE_H

#include <stddef.h>

#include "live/net_utf8.h"

struct lws;

/* One message arriving. All zero is empty. */
struct net_inbox {
    unsigned char *at; /* what came so far, when it is more than one chunk; free() */
    size_t n, capacity;
    size_t fragments;
    int begun, binary, inside_frame;
    double since; /* clock_seconds of its first chunk */
    struct net_utf8 utf8;
};

struct net_limits {
    size_t message, fragments; /* 0: no limit */
};

/* Takes a chunk that libwebsockets has just received on wsi. *whole is the message when this was its end, and lives until
 * the next call; else NULL. Returns 0 or the code to close with, *reason in words. */
int net_inbox_take(struct net_inbox *b, struct lws *wsi, const void *chunk, size_t n,
                   const struct net_limits *limits, double now, const void **whole, size_t *size,
                   const char **reason);
void net_inbox_release(struct net_inbox *b);

/* One message waiting to leave, with the room in front that libwebsockets writes the frame's header into. */
struct net_letter {
    struct net_letter *next;
    size_t n;
    int binary;
    unsigned char room[]; /* LWS_PRE, then n bytes */
};
struct net_outbox {
    struct net_letter *first, **last;
};

void net_outbox_init(struct net_outbox *q);
/* NULL: out of memory. */
struct net_letter *net_letter_new(int binary, const void *data, size_t n);
void net_outbox_put(struct net_outbox *q, struct net_letter *l);
struct net_letter *net_outbox_take(struct net_outbox *q); /* free() it; NULL when empty */
void net_outbox_clear(struct net_outbox *q);
/* Writes one whole message as one frame. Nonzero: the connection is gone. */
int net_letter_write(struct net_letter *l, struct lws *wsi);

#endif
