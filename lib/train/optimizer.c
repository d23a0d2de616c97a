#include "train/optimizer.h"

#include <math.h>

int optimizer_init(struct optimizer *o, struct spt *model, struct op_ctx *ctx,
                   const struct training_config *t, struct err *e)
{
    *o = (struct optimizer){
        .ctx = ctx,
        .model = model,
        .count = spt_parameter_count(model),
        .beta1 = t->beta1,
        .beta2 = t->beta2,
        .eps = t->eps,
        .weight_decay = t->weight_decay,
        .clip = t->gradient_clip_norm,
    };
    int r = ctx->ops->alloc(ctx, (void **)&o->exp_avg, o->count * sizeof *o->exp_avg, e);
    if (!r)
        r = ctx->ops->alloc(ctx, (void **)&o->exp_avg_sq, o->count * sizeof *o->exp_avg_sq, e);
    return r;
}

void optimizer_release(struct optimizer *o)
{
    if (o->exp_avg)
        o->ctx->ops->free(o->ctx, o->exp_avg);
    if (o->exp_avg_sq)
        o->ctx->ops->free(o->ctx, o->exp_avg_sq);
    *o = (struct optimizer){0};
}

double optimizer_norm(const struct optimizer *o)
{
    double sum = 0;
    o->ctx->ops->sum_squares(o->ctx, o->count, spt_gradients(o->model), &sum);
    return sqrt(sum);
}

void optimizer_update(struct optimizer *o, double lr, double norm)
{
    const struct op_table *ops = o->ctx->ops;
    if (o->clip > 0 && norm > o->clip)
        ops->scale(o->ctx, o->count, (float)(o->clip / norm), spt_gradients(o->model));
    struct op_adamw a = {
        .lr = lr,
        .beta1 = o->beta1,
        .beta2 = o->beta2,
        .eps = o->eps,
        .weight_decay = o->weight_decay,
        .step = ++o->step,
    };
    o->lr = lr;
    ops->adamw(o->ctx, &a, o->count, spt_parameters_for_adamw(o->model), spt_gradients(o->model), o->exp_avg,
               o->exp_avg_sq);
}
