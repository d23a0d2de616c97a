/* Which rows train and which validate. Whole sessions, never shuffled frames: neighbours leak. */
#ifndef SGAPS_TRAIN_SPLIT_H
#define SGAPS_TRAIN_SPLIT_H

#include "base/err.h"
#include "conf/conf.h"
#include "train/dataset.h"

struct split {
    struct rows train, validation;
    size_t train_sessions, validation_sessions;
    int by_time; /* one session: its last share of time validates */
};

/* Sessions of d are dealt by training.validation, validation_share and seed; the same for the same sessions. With own
 * validation files (held_out not NULL) all of d trains and all of held_out validates: its rows index held_out. */
int split_make(struct split *s, struct dataset *d, struct dataset *held_out, int need,
               const struct training_config *t, struct err *e);
void split_release(struct split *s);

#endif
