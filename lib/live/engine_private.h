/* Inside lib/live/engine: a session and its frames, and what becomes of a batch of them. */
#ifndef SGAPS_LIVE_ENGINE_PRIVATE_H
#define SGAPS_LIVE_ENGINE_PRIVATE_H

#include <pthread.h>

#include "live/engine.h"

/* A frame as it was received, copied. */
struct engine_copy {
    int64_t frame_id;
    double received;
    size_t n, state_n;
    float *uv, *state;
    uint8_t *value, *truth;
    uint32_t truth_w, truth_h; /* 0: none */
    size_t capacity[4];
};

struct engine_session {
    void *user;
    struct model *model;  /* the inference thread's */
    struct policy policy; /* the inference thread's, after open */
    uint64_t count;
    double mapped;  /* when somebody last got a map of it */
    float *set_uv;  /* (n,2) the set just drawn */
    float *kept_uv; /* a frame less what is withheld */
    uint8_t *kept_value, *held;
    size_t kept_n, held_n, capacity[3];

    /* Three copies change places: the caller of engine_frame fills spare, waiting is the mailbox, work is being rebuilt. */
    struct engine_copy copies[3], *spare, *waiting, *work;

    /* engine.lock */
    int queued, busy, gone; /* stands in the line; in the running batch; closed while busy */
    uint64_t skipped;       /* frames dropped since the last that was taken */
    uint64_t skipped_work;  /* of the frame in work */
    struct engine_session *next_queued, *previous, *next;

    pthread_mutex_t answering; /* held while a handler is told of this session */
    int closed;                /* answering */
};

/* What a batch writes into, grown to the largest; the inference thread's. */
struct engine_batch {
    const struct config *config;
    struct engine_handlers handlers;
    uint32_t W, H;
    enum recon_importance importance;
    int told_headless;          /* that entropy stands in for the scale of the error */
    struct recon_frame *frames; /* (B) */
    struct engine_result *results;
    struct err *errors, whole;         /* (B), of all; code 0: none */
    struct err lost;                   /* what the device that is lost said */
    float *out, *map;                  /* (B,H,W), (B,h,w) */
    uint8_t *rounded, *truth, *wanted; /* (B,H,W) twice, (B): whose map is made */
    size_t capacity[8];
    uint64_t failed; /* of the last run */
};

/* Rebuilds the frames in work of B sessions with the same recon. */
void engine_batch_run(struct engine_batch *b, struct engine_session **s, size_t B);
/* Tells the handlers what came of it. */
void engine_batch_tell(struct engine_batch *b, struct engine_session **s, size_t B);
void engine_batch_release(struct engine_batch *b);

#endif
