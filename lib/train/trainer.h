/* The parts of a run, private to lib/train: trainer.c puts them together, loop.c drives them. */
#ifndef SGAPS_TRAIN_TRAINER_H
#define SGAPS_TRAIN_TRAINER_H

#include "op/op.h"
#include "train/dataset.h"
#include "train/example.h"
#include "train/losses.h"
#include "train/metrics_log.h"
#include "train/optimizer.h"
#include "train/schedule.h"
#include "train/snapshot.h"
#include "train/split.h"
#include "train/train.h"
#include "train/validate.h"

enum { LOADER_DEPTH = 4, VALIDATION_FRAMES = 64 };

struct trainer {
    struct train_options options;
    struct config config; /* in force: as given, with the size and sampling that the data decide */
    struct dataset *data, *held_out;
    struct split split;
    struct op_ctx ctx;
    int ctx_open;
    struct spt *model;
    struct loss_plan loss;
    struct losses losses;
    struct example_plan plan;
    struct optimizer optimizer;
    struct schedule schedule;
    struct validation validation;
    struct run_state state;
    struct metrics_log log;
    double started;        /* clock when this run began */
    double elapsed_before; /* of the runs it resumes */
    double peak;           /* floating point operations a second of a matrix product here */
    double rate;           /* images a second, smoothed */
    double last_written;   /* clock of the last last.h5, at first of the start */
    int wrote_last;
    double milestone_at;          /* progress at the last validation */
    double loss_last, psnr, ssim; /* NAN: none yet */
};

/* A path inside the run's directory; free() it. NULL: out of memory. */
char *trainer_path(const struct trainer *t, const char *name);
double trainer_elapsed(const struct trainer *t);
/* The sizes of a batch with the most samples that are drawn; recorded ones may be more. */
struct spt_batch trainer_largest_batch(const struct trainer *t);

#endif
