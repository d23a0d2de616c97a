/* metrics.jsonl: one JSON object a line, keys as the Python code logged them. Appended and flushed line by line, so that
 * `tail -f` follows a run; --resume first takes out what came after the checkpoint. */
#ifndef SGAPS_TRAIN_METRICS_LOG_H
#define SGAPS_TRAIN_METRICS_LOG_H

#include <stdint.h>
#include <stdio.h>

#include "base/err.h"

struct metrics_log {
    FILE *f;
    char *path;
};

/* keep_steps: -1 starts a new file, else lines with a step up to this stay. */
int metrics_log_open(struct metrics_log *j, const char *path, int64_t keep_steps, struct err *e);
/* Pairs of key and value; NAN and infinity are written as null. */
struct metrics_value {
    const char *key;
    double value;
};
int metrics_log_write(struct metrics_log *j, int64_t step, int64_t epoch, const struct metrics_value *values,
                      size_t n, struct err *e);
/* Every number of a log as it was written, in order; also of a run that is going on. A line that is none of ours, or not
 * whole, is passed over; ERR_NOINPUT where there is no file. */
typedef void (*metrics_log_fn)(void *user, int64_t step, const char *key, double value);
int metrics_log_read(const char *path, metrics_log_fn fn, void *user, struct err *e);
int metrics_log_close(struct metrics_log *j, struct err *e);

#endif
