/* What a client's message leads to. Service thread. */
#ifndef SGAPS_LIVE_DISPATCH_H
#define SGAPS_LIVE_DISPATCH_H

#include <stddef.h>

#include "live/connection.h"

struct server;

/* A whole message has arrived: answered at once, or kept until it is its turn. */
void dispatch_arrived(struct server *v, struct connection *c, int binary, const void *data, size_t n);
/* What kept the connection's messages waiting may be over: goes on with them. Frees a connection that is gone once
 * nothing of it waits. */
void dispatch_waiting(struct server *v, struct connection *c);
/* The connection is closed. */
void dispatch_closed(struct server *v, struct connection *c, int code);

/* Sends an error; code is a name of the protocol, details JSON or NULL. */
void dispatch_error(struct server *v, struct connection *c, const char *code, const char *message,
                    const char *details);
/* Sends an error and closes. */
void dispatch_refuse(struct server *v, struct connection *c, const char *code, int close_code,
                     const char *message);

#endif
