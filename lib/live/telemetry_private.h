/* What telemetry.c keeps and http_answer.c and prometheus.c tell. Private to lib/live. */
#ifndef SGAPS_LIVE_TELEMETRY_PRIVATE_H
#define SGAPS_LIVE_TELEMETRY_PRIVATE_H

#include <pthread.h>

#include "live/histogram.h"
#include "live/live_log.h"
#include "live/live_picture.h"
#include "live/nvml.h"
#include "live/telemetry.h"

enum { HISTORY = 300, MODELS = 64 };

/* One rebuilt frame on the page's curves. */
struct view_point {
    uint64_t count; /* of the session's rebuilt frames, from 1 */
    int64_t frame_id;
    double done; /* clock_seconds */
    float psnr, ssim, latency;
    int heldout;
};

/* Everything that is told of a session. */
struct session_view {
    char id[65], key[65], model_version[128], client_name[128], address[64];
    double opened, last;           /* clock_seconds */
    double opened_unix, last_unix; /* wall clock */
    uint64_t events[EVENTS];
    uint64_t rebuilt;
    int64_t frame_id; /* of the newest rebuilt frame */
    double latency_sum;
    double heldout_sum, psnr_sum, ssim_sum; /* of the finite ones; psnr, ssim: against full frames */
    uint64_t heldout_n, psnr_n, ssim_n;
    double quality;
    struct view_point history[HISTORY]; /* ring: point of count c at c % HISTORY */
    struct live_picture picture, spare; /* spare: memory for the next one, empty while it is being filled */
};

/* Frames and quality by model version: what an A/B test compares. */
struct model_view {
    char version[128];
    uint64_t frames, heldout_n, psnr_n;
    double heldout_sum, psnr_sum;
};

struct telemetry_counts {
    uint64_t events[EVENTS], rebuilt, sessions;
    struct histogram stage[STAGES], latency;
    struct model_view model[MODELS];
    size_t models;
};

struct telemetry {
    char version[64], device[128];
    double started;       /* clock_seconds */
    struct text policy;   /* the page's */
    struct nvml *gpu;     /* NULL: there is none */
    struct live_log *log; /* NULL: there is none */

    pthread_mutex_t lock; /* what follows */
    struct telemetry_counts counts;
    struct session_view **session; /* by id */
    size_t n, capacity;
};

/* Under the lock. NULL: there is none. */
struct session_view *telemetry_find(struct telemetry *t, const char *id);
/* The first behind id by the order of ids, "" for the first of all: to walk over all of them without keeping the lock. */
struct session_view *telemetry_next(struct telemetry *t, const char *id);
double telemetry_uptime(const struct telemetry *t);

/* /metrics */
void prometheus_write(struct telemetry *t, const struct telemetry_sources *sources, struct text *out);

#endif
