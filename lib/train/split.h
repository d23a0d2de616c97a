/* Which rows train and which validate. Whole sessions, never shuffled frames: neighbours leak. */
#ifndef SGAPS_TRAIN_SPLIT_H
#define SGAPS_TRAIN_SPLIT_H

#include "base/err.h"
#include "conf/conf.h"
#include "train/dataset.h"

struct split {
    struct rows train, validation;
    size_t train_sessions, validation_sessions;
    int by_time;           /* one session: its last share of time validates */
    int validation_frames; /* every row of validation has a full frame, whatever training needs */
    int validation_random; /* its samples are to be drawn from the frames: own files without samples */
};

/* Sessions of d are dealt by training.validation, validation_share and seed; the same for the same sessions. With own
 * validation files (held_out not NULL) all of d trains and all of held_out validates: its rows index held_out. Where rows
 * held out for validation have full frames, only those validate. */
int split_make(struct split *s, struct dataset *d, struct dataset *held_out, int need,
               const struct training_config *t, struct err *e);
void split_release(struct split *s);

#endif
