/* A libev loop with libwebsockets on it, for the server and the client. Private to lib/live.
 *
 * libwebsockets' own poll loop walks all connections at each event; as a guest in a libev loop it does not. Its timers
 * then only run after an event of its own, which the tick makes (250 ms). */
#ifndef SGAPS_LIVE_NET_LOOP_H
#define SGAPS_LIVE_NET_LOOP_H

#include <ev.h>
#include <libwebsockets.h>

#include "base/err.h"

/* With reads of 4096 bytes a frame of 20 kB costs four times as much. */
enum { NET_BUFFER = 65536, NET_HEADERS = 8192 /* of a request, all together */, NET_PROTOCOLS = 8 };
#define NET_TICK 0.25

struct net_loop {
    struct ev_loop *ev;
    struct lws_context *lws;
    struct lws_vhost *vhost;
    ev_timer tick;
    int files; /* a descriptor from here on must not be handed to it: it writes past its table */
};

/* info: protocols and what else a vhost needs; loop, options, buffers and timeouts are filled in here. tick runs every
 * 250 ms, before libwebsockets' timers. */
int net_loop_open(struct net_loop *l, struct lws_context_creation_info *info,
                  void (*tick)(struct ev_loop *ev, ev_timer *timer, int events), void *user, struct err *e);
void net_loop_release(struct net_loop *l);
/* libwebsockets looks after what is not an event: its timers, input that it holds back. */
void net_loop_nudge(struct net_loop *l);

#endif
