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
int metrics_log_close(struct metrics_log *j, struct err *e);

#endif
