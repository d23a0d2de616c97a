/* One training batch, made from rows of a data set: frames averaged down, samples drawn anew, hints lost and hidden at
 * random, prefill planes computed. A batch is a pure function of the plan and the step (Philox counters), so it does
 * not matter which thread makes it, or when. */
#ifndef SGAPS_TRAIN_EXAMPLE_H
#define SGAPS_TRAIN_EXAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "conf/conf.h"
#include "recon/pack.h"
#include "train/dataset.h"

struct example_plan {
    struct dataset *data;
    const struct rows *rows;
    uint32_t H, W, Hp, Wp; /* of the training frames, and of the padded prefill planes */
    size_t S;
    int prefill;
    enum coordinates coordinates; /* of the loss index */
    int random;                   /* samples drawn from the frame; 0: the recording's own */
    double share[2]; /* of the pixels, log-uniform; one count a batch, so that rows are of one length */
    double patterns[CONF_PATTERNS];
    double drop;          /* up to this share of a frame's samples is lost */
    double hide;          /* this share of the rest is kept from the network and only asked for in the loss */
    double state_dropout; /* chance that a frame's state is not given */
    int flip, brightness;
    int target;  /* full frames are wanted */
    int samples; /* loss samples are wanted */
    int shuffle; /* rows in a new order each epoch */
    int fixed;   /* the same draws for a row in every epoch (validation, --overfit) */
    size_t batch_size;
    uint64_t seed;
};

size_t example_steps(const struct example_plan *p); /* batches in an epoch; the last may be smaller */

struct example_batch {
    struct recon_arrays arrays; /* what the network sees */
    float *target;              /* (B,H,W), white = 1, or NULL */
    size_t M;                   /* row length of the loss samples */
    int32_t *index;             /* (B,M) pixel of a sample in its frame */
    float *value;    /* (B,M) what is there: of the full frame where there is one, else the sample's */
    uint8_t *select; /* (B,M) 1: counts in the loss */
    uint8_t *hidden; /* (B,M) 1: not given to the network */
    int64_t step, epoch;
    size_t capacity[5];
};
void example_release(struct example_batch *b);

/* The maker's working memory and the order of the current epoch; one for each thread. */
struct example_maker {
    const struct example_plan *plan;
    struct dataset_frame frame;
    uint32_t *order;
    int64_t order_epoch; /* -1: none yet */
    uint8_t *image, *value, *lost;
    float *uv, *seen_uv;
    uint32_t *pick;
    uint8_t *seen_value;
    size_t capacity[7];
};
int example_maker_init(struct example_maker *m, const struct example_plan *plan, struct err *e);
void example_maker_release(struct example_maker *m);

/* Batch number `step` of the run (0 is the first). Errors name the recording and the row. */
int example_make(struct example_maker *m, int64_t step, struct example_batch *b, struct err *e);

/* Bytes of one batch with N samples a frame. */
size_t example_bytes(const struct example_plan *p, size_t N);

#endif
