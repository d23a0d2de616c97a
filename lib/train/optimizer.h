/* AdamW over the network's parameter arena, and clipping by the global norm. */
#ifndef SGAPS_TRAIN_OPTIMIZER_H
#define SGAPS_TRAIN_OPTIMIZER_H

#include "base/err.h"
#include "conf/conf.h"
#include "op/op.h"
#include "spt/spt.h"

struct optimizer {
    struct op_ctx *ctx;
    struct spt *model;
    size_t count;                /* parameters */
    float *exp_avg, *exp_avg_sq; /* device, laid out as spt_parameters */
    int64_t step;                /* updates done */
    double lr, beta1, beta2, eps, weight_decay, clip;
};

int optimizer_init(struct optimizer *o, struct spt *model, struct op_ctx *ctx,
                   const struct training_config *t, struct err *e);
void optimizer_release(struct optimizer *o);
/* ||gradients||, before clipping. */
double optimizer_norm(const struct optimizer *o);
/* One update: gradients clipped to o->clip (0: as they are), learning rate lr. */
void optimizer_update(struct optimizer *o, double lr, double norm);

#endif
