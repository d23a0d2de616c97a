/* --log-metrics: one JSON object a line for each rebuilt frame, under one global step over all sessions, with the keys that the
 * Python server logged; at most once a second with the pictures, as PNG files in a folder beside it. A thread of its own
 * writes: a slow disk costs lines (counted, their steps are missing), never time; a full one is said once and tried
 * again from time to time. */
#ifndef SGAPS_LIVE_LIVE_LOG_H
#define SGAPS_LIVE_LIVE_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "live/live_picture.h"
#include "live/nvml.h"

struct live_log;

struct live_log_entry {
    uint64_t step; /* given by live_log_put */
    double time;   /* Unix seconds */
    char client_id[65], model_version[128];
    int64_t frame_id;
    size_t active;
    double psnr, ssim; /* NAN: not known */
    int heldout;
    double map_mean, map_max, map_std, map_entropy; /* NAN: no map */
    double latency;                                 /* seconds */
    struct live_picture *picture;                   /* taken over; NULL mostly */
};

/* Appends: the steps go on where the file's last line ended, a torn line is closed off. gpu: whose figures a line
 * carries once a second, or NULL. */
int live_log_open(struct live_log **l, const char *path, struct nvml *gpu, struct err *e);
/* Seconds since the last entry with pictures: they are for at most once a second. Infinite before the first, 0 while the
 * writer is behind. */
double live_log_picture_age(struct live_log *l);
void live_log_put(struct live_log *l, const struct live_log_entry *entry);
struct live_log_stats {
    uint64_t lines, dropped, write_errors;
};
struct live_log_stats live_log_stats(struct live_log *l);
/* Writes what is queued, for at most five seconds. Nonzero: its disk does not answer; the thread stays, and so must gpu. */
int live_log_close(struct live_log *l);

/* Of a map with values in [0,1]: entropy in nats of the map taken as a distribution; NAN where it is 0 everywhere. */
void live_log_map(struct live_log_entry *entry, const float *map, size_t n);

#endif
