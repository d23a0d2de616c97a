/* The refine head: two residual blocks, then a 3x3 convolution to one channel, or from patches a pixel shuffle to full
 * resolution and light convolutions there. The error head is one more such convolution, beside the last. */
#include <stdio.h>

#include "spt/network.h"

static struct op_conv conv_at(const struct spt *m, size_t H, size_t W, size_t C, size_t O, const float *w,
                              const float *bias)
{
    return (struct op_conv){.B = m->act.shape.B, .H = H, .W = W, .C = C, .O = O, .w = w, .bias = bias};
}

static struct op_batch_norm batch_norm_of(const struct spt *m, const struct conv_norm *half)
{
    return (struct op_batch_norm){.rows = m->act.shape.B * m->act.shape.Q,
                                  .C = m->C,
                                  .eps = 1e-5f,
                                  .momentum = 0.1f,
                                  .relu = 1,
                                  .gamma = half->bn.norm.gamma,
                                  .beta = half->bn.norm.beta};
}

static int block_half(struct spt *m, const struct block_weights *w, const struct block_act *b, int i,
                      const act *x, const act *residual, act *y, struct err *e)
{
    const struct shape *s = &m->act.shape;
    const struct conv_norm *half = &w->half[i];
    struct op_conv p = conv_at(m, s->h, s->w, m->C, m->C, half->w, NULL);
    if (!s->train) {
        p.w = half->folded_w;
        p.bias = half->folded_b;
        p.residual = residual;
        p.relu = 1;
        return m->ops->conv3x3(m->ctx, &p, x, y, e);
    }
    TRY(m->ops->conv3x3(m->ctx, &p, x, b->conv[i], e));
    struct op_batch_norm n = batch_norm_of(m, half);
    n.residual = residual;
    m->ops->batch_norm(m->ctx, &n, b->conv[i], y, b->mean[i], b->rstd[i], half->bn.mean, half->bn.var);
    return 0;
}

static int blocks_forward(struct spt *m, struct err *e)
{
    const struct head_act *h = &m->act.head;
    size_t rows = m->act.shape.B * m->act.shape.Q;
    for (int i = 0; i < 2; i++) {
        const struct block_act *b = &h->block[i];
        act *y = i ? h->blocks : h->block[1].x;
        TRY(block_half(m, &m->head.block[i], b, 0, b->x, NULL, b->middle, e));
        TRY(block_half(m, &m->head.block[i], b, 1, b->middle, b->x, y, e));
        char name[32];
        snprintf(name, sizeof name, "refine.%d", i);
        if (m->patch == 1)
            stage_report(m, name, y, rows, m->C);
    }
    return 0;
}

static size_t full_channels(const struct spt *m)
{
    return FULL_CHANNELS + (m->config.prefill == PREFILL_LINEAR ? 2 : 0);
}

/* What the last convolutions read, and one of them: the picture's or the error head's. */
static const act *features(const struct spt *m)
{
    return m->patch > 1 ? m->act.head.full[2] : m->act.head.blocks;
}

static struct op_conv last_conv(const struct spt *m, const struct linear_weights *w)
{
    const struct shape *s = &m->act.shape;
    return conv_at(m, s->Hp, s->Wp, m->patch > 1 ? FULL_CHANNELS : m->C, 1, w->w, w->b);
}

static int patches_forward(struct spt *m, struct err *e)
{
    const struct op_table *ops = m->ops;
    const struct head_weights *w = &m->head;
    const struct head_act *h = &m->act.head;
    const struct shape *s = &m->act.shape;
    size_t rows = s->B * s->Q, pixels = s->B * s->Hp * s->Wp, p = m->patch, C = full_channels(m);
    stage_report(m, "refine.blocks", h->blocks, rows, m->C);
    struct op_conv up = conv_at(m, s->h, s->w, m->C, FULL_CHANNELS * p * p, w->up.w, w->up.b);
    TRY(ops->conv3x3(m->ctx, &up, h->blocks, h->up, e));
    ops->pixel_shuffle(m->ctx, s->B, s->h, s->w, FULL_CHANNELS, p, C, h->up, h->full[0]);
    if (m->config.prefill == PREFILL_LINEAR)
        ops->copy_rows(m->ctx, pixels, 2, h->planes, 2, act_at(m, h->full[0], FULL_CHANNELS), C, 0);
    stage_report(m, "refine.shuffled", h->full[0], pixels, C);
    for (int i = 0; i < 2; i++) {
        struct op_conv full =
            conv_at(m, s->Hp, s->Wp, i ? FULL_CHANNELS : C, FULL_CHANNELS, w->full[i].w, w->full[i].b);
        full.relu = 1;
        TRY(ops->conv3x3(m->ctx, &full, h->full[i], h->full[i + 1], e));
    }
    struct op_conv out = last_conv(m, &w->out);
    return ops->conv3x3(m->ctx, &out, features(m), h->out, e);
}

/* Cuts the padding off, makes float of what may be bfloat16, and adds the network's output to the prefill, in float: bfloat16
 * keeps a grey level of 128 and above only to a whole level, so that where the interpolation is right already the sum would
 * be wrong, and the same way all over a flat wall. base NULL: nothing is added. */
static void finish(struct spt *m, const act *padded, act *cropped, const float *base, float *values)
{
    const struct shape *s = &m->act.shape;
    if (cropped != padded)
        for (size_t b = 0; b < s->B; b++)
            m->ops->copy_rows(m->ctx, s->H, s->W, act_at(m, padded, b * s->Hp * s->Wp), s->Wp,
                              act_at(m, cropped, b * s->H * s->W), s->W, 0);
    if (m->ctx->bf16 || base)
        m->ops->to_float(m->ctx, s->B * s->H * s->W, cropped, base, values);
}

static int error_forward(struct spt *m, struct err *e)
{
    const struct activations *a = &m->act;
    struct op_conv error = last_conv(m, &m->head.error);
    TRY(m->ops->conv3x3(m->ctx, &error, features(m), a->head.error, e));
    finish(m, a->head.error, a->cropped_scale, NULL, a->scale);
    return 0;
}

int refine_forward(struct spt *m, struct err *e)
{
    const struct op_table *ops = m->ops;
    const struct head_act *h = &m->act.head;
    const struct shape *s = &m->act.shape;
    size_t pixels = s->B * s->Hp * s->Wp;
    if (m->patch > 1) {
        struct op_linear p = {
            .M = s->B * s->Q, .N = m->C, .K = m->D, .w = m->head.proj.w, .bias = m->head.proj.b};
        TRY(ops->linear(m->ctx, &p, h->x, h->block[0].x, e));
    }
    TRY(blocks_forward(m, e));
    if (m->patch > 1) {
        TRY(patches_forward(m, e));
    } else {
        struct op_conv out = last_conv(m, &m->head.out);
        TRY(ops->conv3x3(m->ctx, &out, features(m), h->out, e));
        stage_report(m, "refine.2", h->out, pixels, 1);
    }
    if (m->config.prefill != PREFILL_LINEAR)
        ops->sigmoid(m->ctx, pixels, h->out, h->out);
    if (m->patch == 1)
        stage_report(m, "refine.3", h->out, pixels, 1);
    finish(m, h->out, m->act.cropped, h->base, m->act.output);
    return m->options.scale ? error_forward(m, e) : 0;
}

/* dy and dx (B,H,W,.): gradients of weights, and of the input, on to p->residual. */
static int conv_backward(struct spt *m, const struct op_conv *p, const struct linear_weights *w, const act *x,
                         const act *dy, act *dx, struct err *e)
{
    TRY(m->ops->conv3x3_backward_weight(m->ctx, p, x, dy, gradient_of(m, w->w),
                                        w->b ? gradient_of(m, w->b) : NULL, e));
    return m->ops->conv3x3_backward_data(m->ctx, p, dy, dx, e);
}

/* g.x: gradient of what leaves the block, then of what enters it. */
static int block_backward(struct spt *m, int i, const act *y, struct err *e)
{
    struct gradient_act *g = &m->act.g;
    const struct shape *s = &m->act.shape;
    const struct block_act *b = &m->act.head.block[i];
    const struct conv_norm *first = &m->head.block[i].half[0], *second = &m->head.block[i].half[1];
    struct op_conv p = conv_at(m, s->h, s->w, m->C, m->C, second->w, NULL);
    struct op_batch_norm n = batch_norm_of(m, second);
    struct linear_weights w = {second->w, NULL};
    n.residual = b->x;
    m->ops->batch_norm_backward(m->ctx, &n, b->conv[1], y, b->mean[1], b->rstd[1], g->x, g->n, g->a,
                                gradient_of(m, n.gamma), gradient_of(m, n.beta));
    TRY(conv_backward(m, &p, &w, b->middle, g->n, g->x, e));
    n = batch_norm_of(m, first);
    m->ops->batch_norm_backward(m->ctx, &n, b->conv[0], b->middle, b->mean[0], b->rstd[0], g->x, g->x, NULL,
                                gradient_of(m, n.gamma), gradient_of(m, n.beta));
    p.w = w.w = first->w;
    p.residual = g->a;
    TRY(conv_backward(m, &p, &w, b->x, g->x, g->n, e));
    act *swap = g->x;
    g->x = g->n;
    g->n = swap;
    return 0;
}

/* The gradient of an image (B,H,W) into g.full[0]: padding put back as zeros. */
static void pad_gradient(struct spt *m, const float *image)
{
    const struct op_table *ops = m->ops;
    const struct activations *a = &m->act;
    const struct shape *s = &a->shape;
    size_t pixels = s->B * s->Hp * s->Wp, n = s->B * s->H * s->W;
    const act *d = image;
    if (m->ctx->bf16) {
        ops->to_act(m->ctx, n, image, a->g.full[1]);
        d = a->g.full[1];
    }
    ops->zero(m->ctx, a->g.full[0], pixels * m->act_size);
    for (size_t b = 0; b < s->B; b++)
        ops->copy_rows(m->ctx, s->H, s->W, act_at(m, d, b * s->H * s->W), s->W,
                       act_at(m, a->g.full[0], b * s->Hp * s->Wp), s->Wp, 0);
}

/* From doutput and dscale to dx, the gradient of the features, in which those of both convolutions meet. */
static int last_backward(struct spt *m, act *dx, struct err *e)
{
    const struct op_table *ops = m->ops;
    const struct activations *a = &m->act;
    const struct gradient_act *g = &a->g;
    size_t pixels = a->shape.B * a->shape.Hp * a->shape.Wp;
    struct op_conv out = last_conv(m, &m->head.out), error = last_conv(m, &m->head.error);
    act *other = m->patch > 1 ? a->head.up : g->n; /* as large; the backward pass does not read `up` */
    if (m->options.scale) {
        pad_gradient(m, a->dscale);
        TRY(conv_backward(m, &error, &m->head.error, features(m), g->full[0], other, e));
        out.residual = other;
    }
    pad_gradient(m, a->doutput);
    if (m->config.prefill != PREFILL_LINEAR)
        ops->sigmoid_backward(m->ctx, pixels, a->head.out, g->full[0], g->full[0]);
    return conv_backward(m, &out, &m->head.out, features(m), g->full[0], dx, e);
}

/* From g.full[1], the gradient of the features, to g.x, that of what leaves the blocks. */
static int patches_backward(struct spt *m, struct err *e)
{
    const struct op_table *ops = m->ops;
    const struct head_weights *w = &m->head;
    const struct head_act *h = &m->act.head;
    const struct gradient_act *g = &m->act.g;
    const struct shape *s = &m->act.shape;
    size_t pixels = s->B * s->Hp * s->Wp, p = m->patch, C = full_channels(m);
    struct op_conv conv;
    for (int i = 1; i >= 0; i--) {
        ops->relu_backward(m->ctx, pixels * FULL_CHANNELS, 1, h->full[i + 1], g->full[1], g->full[0]);
        conv = conv_at(m, s->Hp, s->Wp, i ? FULL_CHANNELS : C, FULL_CHANNELS, w->full[i].w, NULL);
        TRY(conv_backward(m, &conv, &w->full[i], h->full[i], g->full[0], g->full[1], e));
    }
    ops->pixel_shuffle_backward(m->ctx, s->B, s->h, s->w, FULL_CHANNELS, p, C, g->full[1], g->full[0]);
    conv = conv_at(m, s->h, s->w, m->C, FULL_CHANNELS * p * p, w->up.w, NULL);
    return conv_backward(m, &conv, &w->up, h->blocks, g->full[0], g->x, e);
}

int refine_backward(struct spt *m, struct err *e)
{
    const struct op_table *ops = m->ops;
    const struct head_act *h = &m->act.head;
    const struct shape *s = &m->act.shape;
    struct gradient_act *g = &m->act.g;
    TRY(last_backward(m, m->patch > 1 ? g->full[1] : g->x, e));
    if (m->patch > 1)
        TRY(patches_backward(m, e));
    TRY(block_backward(m, 1, h->blocks, e));
    TRY(block_backward(m, 0, h->block[1].x, e));
    if (m->patch == 1)
        return 0;
    struct op_linear p = {.M = s->B * s->Q, .N = m->C, .K = m->D, .w = m->head.proj.w};
    TRY(ops->linear_backward_weight(m->ctx, &p, h->x, g->x, gradient_of(m, p.w),
                                    gradient_of(m, m->head.proj.b), e));
    TRY(ops->linear_backward_data(m->ctx, &p, g->x, g->n, 0, e));
    act *swap = g->x;
    g->x = g->n;
    g->n = swap;
    return 0;
}
