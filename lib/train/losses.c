#include "train/losses.h"

#include <string.h>

#include "base/log.h"

static const char *const names[LOSS_TERMS] = {"sampled_l2",  "heldout_l2", "l1",       "l2",
                                              "charbonnier", "ssim",       "gradient", "nll"};

const char *loss_term_name(enum loss_term term)
{
    return names[term];
}

int loss_plan_make(struct loss_plan *p, const struct training_config *t, int all_frames, int error_head,
                   struct err *e)
{
    *p = (struct loss_plan){0};
    memcpy(p->weight, t->loss, sizeof p->weight);
    if (t->loss_auto && all_frames) {
        p->weight[LOSS_L1] = 1;
        p->weight[LOSS_SSIM] = 0.15;
        p->weight[LOSS_NLL] = error_head ? 0.1 : 0;
    } else if (t->loss_auto) {
        p->weight[LOSS_HELDOUT_L2] = 1;
    }
    if (p->weight[LOSS_NLL] > 0 && !error_head)
        return err_set(e, ERR_CONFIG,
                       "training.loss: nll trains the error head, which this model has not: set "
                       "model.error_head=true, or take nll out of the loss");
    if (error_head && p->weight[LOSS_NLL] <= 0)
        log_warning("model.error_head: nothing trains it: training.loss has no nll%s",
                    all_frames ? " (l1: 1, ssim: 0.15, nll: 0.1 say)" : ", which needs full frames");
    double sum = 0;
    for (int i = 0; i < LOSS_TERMS; i++) {
        if (p->weight[i] <= 0)
            continue;
        sum += p->weight[i];
        if (i == LOSS_SAMPLED_L2 || i == LOSS_HELDOUT_L2)
            p->samples = 1;
        else
            p->frames = 1;
        p->heldout |= i == LOSS_HELDOUT_L2;
    }
    if (sum <= 0)
        return err_set(e, ERR_CONFIG, "training.loss: every weight is 0");
    return 0;
}

void losses_init(struct losses *l, struct op_ctx *ctx)
{
    *l = (struct losses){.ctx = ctx};
}

static void drop(struct losses *l, void *block)
{
    if (block)
        l->ctx->ops->free(l->ctx, block);
}

void losses_release(struct losses *l)
{
    drop(l, l->target);
    drop(l, l->index);
    drop(l, l->value);
    drop(l, l->select);
    *l = (struct losses){0};
}

static int upload_target(struct losses *l, const float *target, size_t n, struct err *e)
{
    if (n > l->target_capacity) {
        drop(l, l->target);
        l->target = NULL;
        l->target_capacity = 0;
        int r = l->ctx->ops->alloc(l->ctx, (void **)&l->target, n * sizeof *target, e);
        if (r)
            return r;
        l->target_capacity = n;
    }
    l->ctx->ops->upload(l->ctx, l->target, target, n * sizeof *target);
    return 0;
}

static int sample_room(struct losses *l, size_t n, struct err *e)
{
    const struct op_table *ops = l->ctx->ops;
    if (n <= l->sample_capacity)
        return 0;
    drop(l, l->index);
    drop(l, l->value);
    drop(l, l->select);
    l->index = NULL;
    l->value = NULL;
    l->select = NULL;
    l->sample_capacity = 0;
    int r = ops->alloc(l->ctx, (void **)&l->index, n * sizeof *l->index, e);
    if (!r)
        r = ops->alloc(l->ctx, (void **)&l->value, n * sizeof *l->value, e);
    if (!r)
        r = ops->alloc(l->ctx, (void **)&l->select, n, e);
    if (!r)
        l->sample_capacity = n;
    return r;
}

static int upload_samples(struct losses *l, const struct example_batch *b, struct err *e)
{
    const struct op_table *ops = l->ctx->ops;
    size_t n = b->arrays.sizes.B * b->M;
    int r = sample_room(l, n, e);
    if (r)
        return r;
    ops->upload(l->ctx, l->index, b->index, n * sizeof *b->index);
    ops->upload(l->ctx, l->value, b->value, n * sizeof *b->value);
    ops->upload(l->ctx, l->select, b->select, n);
    return 0;
}

static int term(struct losses *l, enum loss_term kind, double weight, const struct recon_batch_sizes *s,
                size_t M, struct spt *m, int gradient, double *loss, struct err *e)
{
    const struct op_table *ops = l->ctx->ops;
    const float *pred = spt_output(m);
    float *dpred = gradient ? spt_output_gradient(m) : NULL;
    size_t n = s->B * s->H * s->W;
    switch (kind) {
    case LOSS_L1:
        return ops->loss_pixels(l->ctx, OP_LOSS_L1, n, weight, pred, l->target, loss, dpred, e);
    case LOSS_L2:
        return ops->loss_pixels(l->ctx, OP_LOSS_L2, n, weight, pred, l->target, loss, dpred, e);
    case LOSS_CHARBONNIER:
        return ops->loss_pixels(l->ctx, OP_LOSS_CHARBONNIER, n, weight, pred, l->target, loss, dpred, e);
    case LOSS_SSIM:
        return ops->loss_ssim(l->ctx, s->B, s->H, s->W, weight, pred, l->target, loss, dpred, e);
    case LOSS_GRADIENT:
        return ops->loss_gradient(l->ctx, s->B, s->H, s->W, weight, pred, l->target, loss, dpred, e);
    case LOSS_SAMPLED_L2:
    case LOSS_HELDOUT_L2: /* over the seen and the hidden alike: hints must be kept and the rest foretold */
        return ops->loss_sampled(l->ctx, s->B, M, (size_t)s->H * s->W, weight, pred, l->index, l->value,
                                 l->select, loss, dpred, e);
    case LOSS_NLL:
        return ops->loss_nll(l->ctx, n, weight, pred, spt_raw_scale(m), l->target, loss, dpred,
                             gradient ? spt_raw_scale_gradient(m) : NULL, e);
    case LOSS_TERMS:
        break;
    }
    return err_set(e, ERR_INTERNAL, "loss term %d is not known", (int)kind);
}

int losses_evaluate(struct losses *l, const struct loss_plan *p, const struct example_batch *b, struct spt *m,
                    int gradient, double *loss, struct err *e)
{
    const struct recon_batch_sizes *s = &b->arrays.sizes;
    int r = 0;
    *loss = 0;
    if (p->frames)
        r = upload_target(l, b->target, s->B * s->H * s->W, e);
    if (!r && p->samples)
        r = upload_samples(l, b, e);
    for (int i = 0; i < LOSS_TERMS && !r; i++) {
        double before = *loss;
        if (p->weight[i] <= 0)
            continue;
        r = term(l, (enum loss_term)i, p->weight[i], s, b->M, m, gradient, loss, e);
        l->term[i] = (*loss - before) / p->weight[i];
    }
    return r;
}
