/* Inside of struct server; private to server.c, dispatch.c and session.c. */
#ifndef SGAPS_LIVE_SERVER_PRIVATE_H
#define SGAPS_LIVE_SERVER_PRIVATE_H

#include <stdatomic.h>

#include "io/message.h"
#include "live/connection.h"
#include "live/dispatch.h"
#include "live/recorder.h"
#include "live/server.h"
#include "live/session.h"
#include "live/telemetry.h"

struct server {
    struct server_options o;
    const struct config *c;
    char *config_json;
    struct net *net;
    struct models *models;     /* NULL with the null model */
    struct engine *engine;     /* NULL with the null model */
    struct recorder *recorder; /* NULL: nothing is recorded */
    struct telemetry *telemetry;
    struct telemetry_http http;
    /* the service thread's own */
    struct connections connections;
    struct session *sessions;
    size_t session_count;
    struct starts starts;
    struct message message; /* the one being read */
    int stopping;
    /* written by the signal handler */
    atomic_int stop, reload;
    /* the inference thread's until it has set stop */
    struct err lost;
};

#endif
