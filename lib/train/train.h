/* Training: recordings -> checkpoints. What sgaps-train does, as a library.
 *
 *     struct trainer *t;
 *     trainer_open(&t, &options, &e);      data, network, optimiser: everything that can be refused is refused here
 *     trainer_describe(t)                  for --dry-run
 *     trainer_run(t, &result, &e);         until a limit ends it, *stop is set, or the loss is no number
 *     trainer_close(t);
 *
 * The directory then holds last.h5 (with the optimiser: --resume), best.h5 (by validation PSNR), step-NNNNNN.h5 (the
 * training.keep newest), metrics.jsonl and examples/NNNNNN.png. Deterministic for a seed and number of threads. */
#ifndef SGAPS_TRAIN_TRAIN_H
#define SGAPS_TRAIN_TRAIN_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "conf/conf.h"

struct train_progress {
    int64_t step, steps, epoch;
    double done; /* 0..1 of the run */
    double loss, gradient_norm, lr, images_per_second;
    double peak_share; /* of this machine's own matrix product speed */
    double eta;        /* seconds */
};
typedef void (*train_progress_fn)(void *user, const struct train_progress *p);

struct train_options {
    const struct config *config; /* with a checkpoint: its model group */
    const char *const *files;
    size_t file_count;
    const char *const *validation_files;
    size_t validation_count;
    const char *directory;
    const char *checkpoint; /* of --init or --resume, or NULL */
    int resume;             /* continue it; else only its weights are taken */
    uint32_t made_at[2];    /* its model.resolution, where config has one given on top; 0: not so */
    int64_t overfit;        /* N: learn N frames by heart, without dropout; 0: no */
    const char *device;     /* as op_open */
    int threads;            /* 0: all cores */
    const char *history;
    int no_history;
    const volatile sig_atomic_t *stop; /* set: finish the step, write last.h5, return */
    train_progress_fn progress;        /* NULL: none */
    void *user;
};

struct train_description {
    size_t train_frames, train_sessions, validation_frames, validation_sessions, parameters;
    char device[160]; /* its name and the precision */
    uint32_t W, H;
    int by_time; /* one session: its last part validates */
    int64_t batch_size, steps_per_epoch, steps;
    int64_t steps_before; /* of a run that is resumed */
    double max_minutes;
    char loss[128], sampling[16];
    size_t bytes_parameters, bytes_gradients, bytes_moments, bytes_activations,
        bytes_loader; /* activations: of a batch with the most samples */
};

struct train_result {
    int64_t step, epoch, best_step;
    int stopped;    /* by *stop */
    double seconds; /* of this run */
    double loss;    /* of the last step */
    /* the last validation, NAN where there was none */
    double psnr, ssim, linear_psnr, linear_ssim, best_psnr;
};

struct trainer;
int trainer_open(struct trainer **t, const struct train_options *o, struct err *e);
void trainer_describe(const struct trainer *t, struct train_description *d);
int trainer_run(struct trainer *t, struct train_result *r, struct err *e);
void trainer_close(struct trainer *t);

#endif
