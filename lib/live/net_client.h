/* The other end: many WebSocket connections to one URL from one thread. For sgaps-replay. */
#ifndef SGAPS_LIVE_NET_CLIENT_H
#define SGAPS_LIVE_NET_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct net_client;

struct net_client_handlers {
    void *user;
    void (*opened)(void *user, size_t i); /* connection i stands */
    void (*message)(void *user, size_t i, int binary, const void *data, size_t n);
    void (*closed)(void *user, size_t i, int code,
                   const char *reason); /* also when connecting failed (code 0) */
    /* Called when it is due; returns the seconds until it wants to be called next. Precise to about a millisecond. */
    double (*timer)(void *user);
};
struct net_client_options {
    const char *url;      /* ws://host:port/path or wss:// */
    const char *protocol; /* subprotocol to offer, or NULL */
    const char *token;    /* bearer, or NULL */
    int insecure;         /* wss: take any certificate */
};

int net_client_open(struct net_client **c, const struct net_client_options *o,
                    const struct net_client_handlers *h, struct err *e);
void net_client_connect(struct net_client *c, size_t i); /* i is the caller's number, used once at a time */
void net_client_send(struct net_client *c, size_t i, int binary, const void *data, size_t n);
void net_client_close(struct net_client *c, size_t i, int code);
/* Bytes of connection i that wait to be sent. */
size_t net_client_waiting(const struct net_client *c, size_t i);
int net_client_run(struct net_client *c,
                   struct err *e); /* until net_client_stop, which is async-signal-safe */
void net_client_stop(struct net_client *c);
void net_client_release(struct net_client *c);

#endif
