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

/* auto: l1 + 0.15 ssim where every training session has full frames (all_frames), and 0.1 nll with an error head; else
 * heldout_l2. Refuses nll without an error head, and a sum of nothing; warns of a head that nothing trains. */
int loss_plan_make(struct loss_plan *p, const struct training_config *t, int all_frames, int error_head,
                   struct err *e);
const char *loss_term_name(enum loss_term term);

/* Device copies of what the terms compare with. */
struct losses {
    struct op_ctx *ctx;
    float *target, *value;
    int32_t *index;
    uint8_t *select;
    size_t target_capacity, sample_capacity;
    double term[LOSS_TERMS]; /* of the last evaluation, by themselves: not weighted */
};
void losses_init(struct losses *l, struct op_ctx *ctx);
void losses_release(struct losses *l);

/* The loss of the network's last output against the batch; after a training forward with its gradient, where the network wants
 * it. A plan with nll wants the forward pass with options.scale. */
int losses_evaluate(struct losses *l, const struct loss_plan *p, const struct example_batch *b, struct spt *m,
                    int gradient, double *loss, struct err *e);

#endif
