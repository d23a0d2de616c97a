/* The training loss: a weighted sum of the terms of spec "Losses", each an operation of the backend. */
#ifndef SGAPS_TRAIN_LOSSES_H
#define SGAPS_TRAIN_LOSSES_H

#include "base/err.h"
#include "conf/conf.h"
#include "op/op.h"
#include "spt/spt.h"
#include "train/example.h"

struct loss_plan {
    double weight[LOSS_TERMS];
    int frames;  /* a term needs full frames */
    int samples; /* a term needs samples */
    int heldout; /* samples are hidden from the network */
};

/* auto: l1 + 0.15 ssim where every training session has full frames, else heldout_l2. all_frames says which. Refuses
 * nll (no error head) and a sum of nothing. */
int loss_plan_make(struct loss_plan *p, const struct training_config *t, int all_frames, struct err *e);
const char *loss_term_name(enum loss_term term);

/* Device copies of what the terms compare with. */
struct losses {
    struct op_ctx *ctx;
    float *target, *value;
    int32_t *index;
    uint8_t *select;
    size_t target_capacity, sample_capacity;
};
void losses_init(struct losses *l, struct op_ctx *ctx);
void losses_release(struct losses *l);

/* The loss of pred (B,H,W; device) against the batch, and its gradient added to dpred (NULL: value only). */
int losses_evaluate(struct losses *l, const struct loss_plan *p, const struct example_batch *b,
                    const float *pred, float *dpred, double *loss, struct err *e);

#endif
