/* How long a run is and which learning rate a step has: warm-up times cosine (or constant), along whichever limit ends
 * the run first. */
#ifndef SGAPS_TRAIN_SCHEDULE_H
#define SGAPS_TRAIN_SCHEDULE_H

#include <stdint.h>

#include "conf/conf.h"

struct schedule {
    double lr, min_lr, seconds; /* seconds: 0 = no limit */
    int cosine;
    int64_t warmup, steps; /* steps: the least of max_steps and epochs */
};

struct schedule schedule_make(const struct training_config *t, int64_t steps_per_epoch);
/* 0 at the start, 1 when the run is over: the further of steps done and time elapsed. */
double schedule_progress(const struct schedule *s, int64_t steps_done, double elapsed);
/* Of the step that follows steps_done steps. */
double schedule_lr(const struct schedule *s, int64_t steps_done, double elapsed);

#endif
