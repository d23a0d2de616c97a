/* metrics.jsonl: one JSON object a line, keys as the Python code logged them. Appended and flushed line by line, so that
 * `tail -f` follows a run; --resume first takes out what came after the checkpoint. */
#ifndef SGAPS_TRAIN_JOURNAL_H
#define SGAPS_TRAIN_JOURNAL_H

#include <stdint.h>
#include <stdio.h>

#include "base/err.h"

struct journal {
    FILE *f;
    char *path;
};

/* keep_steps: -1 starts a new file, else lines with a step up to this stay. */
int journal_open(struct journal *j, const char *path, int64_t keep_steps, struct err *e);
/* Pairs of key and value; NAN and infinity are written as null. */
struct journal_value {
    const char *key;
    double value;
};
int journal_write(struct journal *j, int64_t step, int64_t epoch, const struct journal_value *values,
                  size_t n, struct err *e);
int journal_close(struct journal *j, struct err *e);

#endif
