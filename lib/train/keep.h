/* training.keep: last.h5 under a name of its own as well, step-NNNNNN.h5, and only the newest few of these. */
#ifndef SGAPS_TRAIN_KEEP_H
#define SGAPS_TRAIN_KEEP_H

#include <stdint.h>

#include "base/err.h"

/* Links directory/last.h5, just written at this step, and removes what is more than `keep` or newer than the step (left
 * by a run that was started anew). */
int keep_step(const char *directory, int64_t step, int64_t keep, struct err *e);

#endif
