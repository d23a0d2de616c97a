/* --plot: the curves of a run, finished or going on, from its metrics.jsonl. */
#ifndef SGAPS_CMD_TRAIN_CURVES_H
#define SGAPS_CMD_TRAIN_CURVES_H

#include "base/err.h"

/* As plot_draw; ERR_NOINPUT where directory/metrics.jsonl is not there. */
int curves_draw(const char *directory, const char *path, struct err *e);

#endif
