/* The encoder: state token and pixel tokens attend to each other. */
#include <stdio.h>

#include "spt/network.h"

static struct part all_tokens(const struct shape *s)
{
    return (struct part){.frames = s->B, .rows = s->T};
}

static int embed(struct spt *m, struct err *e)
{
    const struct op_table *ops = m->ops;
    const struct activations *a = &m->act;
    const struct shape *s = &a->shape;
    ops->embed_pixels(m->ctx, s->B, s->N, m->D, a->pixels, a->counts, m->pixel_embed.w, m->pixel_embed.b,
                      m->freqs, a->tokens);
    struct op_linear p = {.M = 1, .N = m->D, .K = m->S, .w = m->state_linear.w, .bias = m->state_linear.b};
    /* A frame at a time: libraries sum a product of one row in another order than one of several, and a frame is to have
     * the same bits alone and in a batch. */
    for (size_t b = 0; b < s->B; b++)
        TRY(ops->linear(m->ctx, &p, act_at(m, a->state, b * m->S), act_at(m, a->state_linear, b * m->D), e));
    ops->layer_norm(m->ctx, s->B, m->D, s->T * m->D, a->state_linear, m->state_norm.gamma, m->state_norm.beta,
                    a->tokens, a->state_mean, a->state_rstd);
    stage_report(m, "pixel_tokens", a->tokens, s->B * s->T, m->D);
    return 0;
}

int encode_forward(struct spt *m, struct err *e)
{
    const struct activations *a = &m->act;
    const struct shape *s = &a->shape;
    struct part at = all_tokens(s);
    size_t rows = s->B * s->T;
    TRY(embed(m, e));
    for (size_t i = 0; i < m->encoder_layers; i++) {
        const struct encoder_weights *w = &m->encoder[i];
        const struct encoder_act *layer = &a->encoder[i];
        act *y = i + 1 < m->encoder_layers ? a->encoder[i + 1].x : a->memory;
        TRY(self_forward(m, i, &at, a->keys, &w->self, layer->x, &layer->self, layer->x1, e));
        TRY(feed_forward(m, i, rows, &w->forward, layer->x1, &layer->forward, y, e));
        char name[32];
        snprintf(name, sizeof name, "encoder.%zu", i);
        stage_report(m, name, y, rows, m->D);
    }
    return 0;
}

int encode_backward(struct spt *m, struct err *e)
{
    const struct op_table *ops = m->ops;
    const struct activations *a = &m->act;
    const struct gradient_act *g = &a->g;
    const struct shape *s = &a->shape;
    struct part at = all_tokens(s);
    size_t rows = s->B * s->T, D = m->D;
    ops->copy_rows(m->ctx, rows, D, g->memory, D, g->x, D, 0);
    for (size_t i = m->encoder_layers; i-- > 0;) {
        const struct encoder_weights *w = &m->encoder[i];
        const struct encoder_act *layer = &a->encoder[i];
        TRY(feed_backward(m, i, rows, &w->forward, layer->x1, &layer->forward, e));
        TRY(self_backward(m, i, &at, a->keys, &w->self, layer->x, &layer->self, e));
    }
    ops->embed_pixels_backward(m->ctx, s->B, s->N, D, a->pixels, a->counts, g->x,
                               gradient_of(m, m->pixel_embed.w), gradient_of(m, m->pixel_embed.b));
    ops->layer_norm_backward(m->ctx, s->B, D, s->T * D, a->state_linear, m->state_norm.gamma, a->state_mean,
                             a->state_rstd, g->x, g->row[0], 0, gradient_of(m, m->state_norm.gamma),
                             gradient_of(m, m->state_norm.beta));
    struct op_linear p = {.M = s->B, .N = D, .K = m->S, .w = m->state_linear.w};
    return ops->linear_backward_weight(m->ctx, &p, a->state, g->row[0], gradient_of(m, m->state_linear.w),
                                       gradient_of(m, m->state_linear.b), e);
}
