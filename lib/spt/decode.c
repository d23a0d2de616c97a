/* The decoder: every query attends to the memory, in evaluation a tile of queries at a time through all layers. */
#include <stdio.h>

#include "spt/network.h"

static size_t layer_number(const struct spt *m, size_t i)
{
    return m->encoder_layers + i;
}

/* Do all frames enter this layer's cross-attention with the same queries? */
static int queries_shared(const struct spt *m, size_t i)
{
    return i == 0 && (!m->full || !m->act.shape.train);
}

static struct op_attention cross_shape(const struct spt *m, size_t i, const struct part *at)
{
    const struct activations *a = &m->act;
    size_t D = m->D;
    return (struct op_attention){
        .B = at->frames,
        .heads = m->heads,
        .head = D / m->heads,
        .Tq = at->rows,
        .Tk = a->shape.T,
        .ldq = D,
        .ldkv = 2 * D,
        .q_batch = queries_shared(m, i) ? 0 : at->rows * D,
        .kv_batch = a->shape.T * 2 * D,
        .keys = a->keys ? a->keys + at->b0 : NULL,
        .dropout = dropout_at(m, layer_number(m, i), PLACE_CROSS_WEIGHTS, m->config.dropout)};
}

/* Keys and values of all frames for every layer: the rows D.. of the packed projection. */
static int project_memory(struct spt *m, struct err *e)
{
    const struct activations *a = &m->act;
    size_t D = m->D;
    for (size_t i = 0; i < m->decoder_layers; i++) {
        const struct linear_weights *in = &m->decoder[i].cross.in;
        struct op_linear p = {
            .M = a->shape.B * a->shape.T, .N = 2 * D, .K = D, .w = in->w + D * D, .bias = in->b + D};
        TRY(m->ops->linear(m->ctx, &p, a->memory, a->decoder[i].kv, e));
    }
    return 0;
}

static int project_query(struct spt *m, size_t rows, const struct decoder_weights *w,
                         const struct decoder_act *layer, struct err *e)
{
    m->ops->layer_norm(m->ctx, rows, m->D, 0, layer->xs, w->norm.gamma, w->norm.beta, layer->norm.y,
                       layer->norm.mean, layer->norm.rstd);
    struct op_linear p = {.M = rows, .N = m->D, .K = m->D, .w = w->cross.in.w, .bias = w->cross.in.b};
    return m->ops->linear(m->ctx, &p, layer->norm.y, layer->q, e);
}

static int importance(struct spt *m, size_t i, const struct part *at, const act *q,
                      const struct decoder_act *layer, struct err *e)
{
    const struct activations *a = &m->act;
    if (m->options.importance < 0 || i + 1 < m->decoder_layers)
        return 0;
    struct op_attention p = cross_shape(m, i, at);
    return m->ops->attention_importance(
        m->ctx, &p, (enum op_importance)m->options.importance, q, act_at(m, layer->kv, at->b0 * p.kv_batch),
        layer->lse, a->values + at->b0 * a->shape.N, a->map + at->b0 * a->shape.Q + at->r0, e);
}

/* From the queries of a part on: attention to the memory, feed-forward. xs and q may be shared by all frames. */
static int attend_and_feed(struct spt *m, size_t i, const struct part *at, const act *xs, const act *q,
                           act *y, struct err *e)
{
    const struct decoder_weights *w = &m->decoder[i];
    const struct decoder_act *layer = &m->act.decoder[i];
    size_t rows = at->frames * at->rows, D = m->D;
    struct op_attention p = cross_shape(m, i, at);
    const act *kv = act_at(m, layer->kv, at->b0 * p.kv_batch);
    TRY(m->ops->attention(m->ctx, &p, q, kv, act_at(m, kv, D), layer->out, layer->lse, e));
    TRY(importance(m, i, at, q, layer, e));
    struct op_dropout drop = dropout_at(m, layer_number(m, i), PLACE_CROSS_OUT, m->config.dropout);
    TRY(project_forward(m, &drop, &w->cross.out, rows, D, layer->out, xs,
                        queries_shared(m, i) ? at->rows : rows, layer->x1, e));
    return feed_forward(m, layer_number(m, i), rows, &w->forward, layer->x1, &layer->forward, y, e);
}

static int layer_forward(struct spt *m, size_t i, const struct part *at, act *y, struct err *e)
{
    const struct decoder_weights *w = &m->decoder[i];
    const struct decoder_act *layer = &m->act.decoder[i];
    const struct constants *c = &m->constants;
    if (i == 0 && !m->act.shape.train) {
        size_t from = at->r0 * m->D;
        return attend_and_feed(m, i, at, act_at(m, c->base, from), act_at(m, c->q, from), y, e);
    }
    if (m->full)
        TRY(self_forward(m, layer_number(m, i), at, NULL, &w->self, layer->x, &layer->self, layer->xs, e));
    TRY(project_query(m, (queries_shared(m, i) ? 1 : at->frames) * at->rows, w, layer, e));
    return attend_and_feed(m, i, at, layer->xs, layer->q, y, e);
}

static int tile_forward(struct spt *m, const struct part *at, struct err *e)
{
    const struct activations *a = &m->act;
    for (size_t i = 0; i < m->decoder_layers; i++) {
        act *y = i + 1 < m->decoder_layers ? a->decoder[i + 1].x
                                           : act_at(m, a->head.x, (at->b0 * a->shape.Q + at->r0) * m->D);
        TRY(layer_forward(m, i, at, y, e));
        char name[32];
        snprintf(name, sizeof name, "decoder.%zu", i);
        stage_report(m, name, y, at->frames * at->rows, m->D);
    }
    return 0;
}

/* The mean of the pixel tokens, added to every query. */
static int skip_forward(struct spt *m, struct err *e)
{
    const struct op_table *ops = m->ops;
    const struct activations *a = &m->act;
    const struct shape *s = &a->shape;
    const struct skip_act *k = &a->skip;
    ops->mean_tokens(m->ctx, s->B, s->T, m->D, a->counts, a->memory, k->mean);
    struct op_linear p = {.M = 1, .N = m->D, .K = m->D, .w = m->skip_linear.w, .bias = m->skip_linear.b};
    for (size_t b = 0; b < s->B; b++) /* as the state token's: the same bits alone and in a batch */
        TRY(ops->linear(m->ctx, &p, act_at(m, k->mean, b * m->D), act_at(m, k->linear, b * m->D), e));
    struct op_dropout drop =
        dropout_at(m, layer_number(m, m->decoder_layers), PLACE_OUT, m->config.skip_dropout);
    if (drop.p > 0)
        ops->dropout(m->ctx, s->B * m->D, &drop, k->linear, k->linear);
    ops->layer_norm(m->ctx, s->B, m->D, 0, k->linear, m->skip_norm.gamma, m->skip_norm.beta, k->norm.y,
                    k->norm.mean, k->norm.rstd);
    ops->add_frame_row(m->ctx, s->B, s->Q, m->D, (float)m->config.skip_weight, k->norm.y, a->head.x);
    return 0;
}

int decode_forward(struct spt *m, struct err *e)
{
    const struct activations *a = &m->act;
    const struct shape *s = &a->shape;
    TRY(project_memory(m, e));
    if (s->train && m->full)
        for (size_t b = 0; b < s->B; b++)
            m->ops->copy_rows(m->ctx, s->Q, m->D, m->constants.position, m->D,
                              act_at(m, a->decoder[0].x, b * s->Q * m->D), m->D, 0);
    for (size_t b0 = 0; b0 < s->B; b0 += a->tile.frames)
        for (size_t r0 = 0; r0 < s->Q; r0 += a->tile.rows) {
            struct part at = {.b0 = b0, .frames = a->tile.frames, .r0 = r0, .rows = a->tile.rows};
            if (at.frames > s->B - b0)
                at.frames = s->B - b0;
            if (at.rows > s->Q - r0)
                at.rows = s->Q - r0;
            TRY(tile_forward(m, &at, e));
        }
    return m->config.skip ? skip_forward(m, e) : 0;
}

static int skip_backward(struct spt *m, struct err *e)
{
    const struct op_table *ops = m->ops;
    const struct activations *a = &m->act;
    const struct gradient_act *g = &a->g;
    const struct shape *s = &a->shape;
    const struct skip_act *k = &a->skip;
    ops->add_frame_row_backward(m->ctx, s->B, s->Q, m->D, (float)m->config.skip_weight, g->x, g->row[0]);
    ops->layer_norm_backward(m->ctx, s->B, m->D, 0, k->linear, m->skip_norm.gamma, k->norm.mean, k->norm.rstd,
                             g->row[0], g->row[1], 0, gradient_of(m, m->skip_norm.gamma),
                             gradient_of(m, m->skip_norm.beta));
    struct op_dropout drop =
        dropout_at(m, layer_number(m, m->decoder_layers), PLACE_OUT, m->config.skip_dropout);
    if (drop.p > 0)
        ops->dropout(m->ctx, s->B * m->D, &drop, g->row[1], g->row[1]);
    struct op_linear p = {.M = s->B, .N = m->D, .K = m->D, .w = m->skip_linear.w};
    TRY(ops->linear_backward_weight(m->ctx, &p, k->mean, g->row[1], gradient_of(m, m->skip_linear.w),
                                    gradient_of(m, m->skip_linear.b), e));
    TRY(ops->linear_backward_data(m->ctx, &p, g->row[1], g->row[0], 0, e));
    ops->mean_tokens_backward(m->ctx, s->B, s->T, m->D, a->counts, g->row[0], g->memory);
    return 0;
}

/* dq is in g.a, for every frame; what enters a shared layer is the positions, which are not trained. */
static int query_backward(struct spt *m, size_t i, struct err *e)
{
    const struct op_table *ops = m->ops;
    const struct gradient_act *g = &m->act.g;
    const struct shape *s = &m->act.shape;
    const struct decoder_weights *w = &m->decoder[i];
    const struct decoder_act *layer = &m->act.decoder[i];
    int shared = queries_shared(m, i);
    size_t rows = shared ? s->Q : s->B * s->Q;
    act *dq = g->a;
    if (shared) {
        dq = g->wide;
        ops->sum_frames(m->ctx, s->B, s->Q * m->D, g->a, dq);
    }
    struct op_linear p = {.M = rows, .N = m->D, .K = m->D, .w = w->cross.in.w};
    TRY(ops->linear_backward_weight(m->ctx, &p, layer->norm.y, dq, gradient_of(m, w->cross.in.w),
                                    gradient_of(m, w->cross.in.b), e));
    TRY(ops->linear_backward_data(m->ctx, &p, dq, g->n, 0, e));
    ops->layer_norm_backward(m->ctx, rows, m->D, 0, layer->xs, w->norm.gamma, layer->norm.mean,
                             layer->norm.rstd, g->n, shared ? g->a : g->x, !shared,
                             gradient_of(m, w->norm.gamma), gradient_of(m, w->norm.beta));
    return 0;
}

static int cross_backward(struct spt *m, size_t i, struct err *e)
{
    const struct op_table *ops = m->ops;
    const struct activations *a = &m->act;
    const struct gradient_act *g = &a->g;
    const struct shape *s = &a->shape;
    const struct decoder_weights *w = &m->decoder[i];
    const struct decoder_act *layer = &a->decoder[i];
    struct part all = {.frames = s->B, .rows = s->Q};
    size_t D = m->D;
    struct op_dropout drop = dropout_at(m, layer_number(m, i), PLACE_CROSS_OUT, m->config.dropout);
    TRY(project_backward(m, &drop, &w->cross.out, s->B * s->Q, D, layer->out, g->n, e));
    struct op_attention p = cross_shape(m, i, &all);
    TRY(ops->attention_backward(m->ctx, &p, layer->q, layer->kv, act_at(m, layer->kv, D), layer->out,
                                layer->lse, g->n, g->a, g->kv, act_at(m, g->kv, D), e));
    struct op_linear kv = {.M = s->B * s->T, .N = 2 * D, .K = D, .w = w->cross.in.w + D * D};
    TRY(ops->linear_backward_weight(m->ctx, &kv, a->memory, g->kv, gradient_of(m, w->cross.in.w + D * D),
                                    gradient_of(m, w->cross.in.b + D), e));
    TRY(ops->linear_backward_data(m->ctx, &kv, g->kv, g->memory, 1, e));
    return query_backward(m, i, e);
}

int decode_backward(struct spt *m, struct err *e)
{
    const struct activations *a = &m->act;
    const struct shape *s = &a->shape;
    struct part all = {.frames = s->B, .rows = s->Q};
    m->ops->zero(m->ctx, a->g.memory, s->B * s->T * m->D * m->act_size);
    if (m->config.skip)
        TRY(skip_backward(m, e));
    for (size_t i = m->decoder_layers; i-- > 0;) {
        const struct decoder_weights *w = &m->decoder[i];
        const struct decoder_act *layer = &a->decoder[i];
        TRY(feed_backward(m, layer_number(m, i), s->B * s->Q, &w->forward, layer->x1, &layer->forward, e));
        TRY(cross_backward(m, i, e));
        if (m->full)
            TRY(self_backward(m, layer_number(m, i), &all, NULL, &w->self, layer->x, &layer->self, e));
    }
    return 0;
}
