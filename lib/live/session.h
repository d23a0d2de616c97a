/* One client's session: from session_start through frames and coordinates to its end, whatever connections carry it
 * (a session whose connection was cut waits a while for `resume`). Service thread, but for what says otherwise. */
#ifndef SGAPS_LIVE_SESSION_H
#define SGAPS_LIVE_SESSION_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "io/message.h"
#include "live/connection.h"
#include "live/engine.h"
#include "live/session_start.h"

enum { SETS_KEPT = 8 }; /* that a binary frame may refer to */

struct sent_set {
    int64_t id;
    size_t n;
    float *uv; /* (n,2) or NULL */
};

struct session {
    struct session *next;
    struct server *server;
    struct connection *connection; /* NULL: cut, waits for resume until `deadline` */
    double deadline;
    char id[17], key[65], client_name[128], model_version[128];
    int model_loaded, debug;
    size_t max_state, samples; /* samples of a frame that are asked for */
    double sentinel, value_range;
    uint32_t screen_w, screen_h;
    uint64_t record;               /* its number in the journal; 0: not recorded */
    struct engine_session *engine; /* NULL: no inference (null model) */
    uint64_t frames;
    pthread_mutex_t lock; /* guards what follows: the inference thread sends coordinates */
    net_id to;            /* 0: nobody is there */
    int binary, array;    /* how coordinates are written */
    int64_t last_frame;   /* newest frame_id, -1 before the first */
    struct sent_set sets[SETS_KEPT];
    int newest; /* of sets */
};

/* t's model is there: makes the session, not yet known to anybody, with its first set: t->session, or t->error. From the
 * thread of session_start.c. */
void session_make(struct start *t);
void session_discard(struct session *s);
/* t's session is made: it begins, the client gets the ack and the first coordinates. Frees t. */
void session_ready(struct server *v, struct start *t);
/* Another connection takes the session over: the ack and its newest coordinates again. */
void session_resume(struct session *s, struct connection *c, const struct message *m);
struct session *session_find(struct server *v, const char *id);
/* Records the frame and hands it to the engine. ERR_TEMPFAIL: the recorder has no room, try again. */
int session_frame(struct session *s, const struct message *m, double received, struct err *e);
/* Its connection is gone; the session waits until `deadline` (clock_seconds). */
void session_detach(struct session *s, double deadline);
/* Ends, closes its record and frees it. */
void session_end(struct session *s, int close_code, const char *reason);
/* The longest-waiting session without a connection, or NULL. */
struct session *session_oldest_detached(struct server *v);

/* message_set_fn for one of the sets kept. Call it and use what it gives with s->lock held. */
const float *session_set(void *session, int64_t set_id, size_t *n);

/* engine_handlers; user is the server. The inference thread's. */
void session_result(void *user, const struct engine_result *r);
void session_failed(void *user, void *session_user, int64_t frame_id, const struct err *e);

#endif
