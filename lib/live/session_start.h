/* The way from session_start to a session. The model is asked for; once it is there a thread of its own makes the session and
 * draws its first coordinates, which takes milliseconds that the service thread does not have; session_ready (session.h)
 * then goes on. Service thread, but for what says otherwise. */
#ifndef SGAPS_LIVE_SESSION_START_H
#define SGAPS_LIVE_SESSION_START_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "io/message.h"
#include "live/connection.h"
#include "live/models.h"

struct server;
struct session;

struct start {
    struct server *server;
    struct start *next, *next_in_line;
    net_id connection;
    char key[65], client_name[128];
    uint32_t screen_w, screen_h;
    double value_range;
    int debug, array;
    struct model *model;     /* a reference, once it is there */
    struct session *session; /* what came of it; NULL: error */
    struct err error;
};

struct starts {
    struct start *all; /* service thread */
    size_t n;
    pthread_t thread;
    int running;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t work;
    struct start *line;  /* their models are there */
    struct start *ready; /* their sessions are made */
    int closed;
};

int starts_open(struct server *v, struct err *e);
/* What the connection sends until the session is there is held. */
int starts_request(struct server *v, struct connection *c, const struct message *m, struct err *e);
/* The next one that is ready, or NULL; starts_done frees it. */
struct start *starts_ready(struct server *v);
void starts_done(struct server *v, struct start *t);
/* The thread ends; sessions that nobody took go, and models. Before engine_close. */
void starts_close(struct server *v);
/* After models_close: frees those whose model never came. */
void starts_release(struct server *v);

#endif
