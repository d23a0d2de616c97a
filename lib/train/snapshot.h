/* A checkpoint of a run: the network, and for last.h5 the optimiser and the loop's own state. */
#ifndef SGAPS_TRAIN_SNAPSHOT_H
#define SGAPS_TRAIN_SNAPSHOT_H

#include "base/err.h"
#include "conf/conf.h"
#include "io/checkpoint.h"
#include "spt/spt.h"
#include "train/optimizer.h"

/* Where the loop stands: what --resume needs beside weights and moments. Loader draws and dropout follow from step. */
struct run_state {
    int64_t step, epoch; /* steps and whole epochs done */
    double elapsed;      /* seconds of training so far */
    double epoch_loss;   /* sum over the frames of this epoch so far */
    int64_t epoch_frames;
    double best; /* validation PSNR of best.h5, NAN: none yet */
    int64_t best_step;
};

struct snapshot_info {
    const struct config *config;
    const char *checkpoint_key, *data_uuid, *history, *metric; /* metric "psnr", "heldout_psnr", "none" */
    double score;                                              /* NAN: none */
    int no_history;
};

/* with_optimizer: moments and run state too. */
int snapshot_write(const char *path, struct spt *m, const struct optimizer *o, const struct run_state *state,
                   const struct snapshot_info *info, int with_optimizer, struct err *e);
/* Moments and run state of a checkpoint; ERR_DATA when it has none (best.h5). */
int snapshot_restore(const struct checkpoint *c, struct optimizer *o, struct run_state *state, struct err *e);

#endif
