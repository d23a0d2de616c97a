/* What encoder and decoder layers are made of: self-attention, projection with dropout and residual, feed-forward. */
#include "base/philox.h"
#include "spt/network.h"

struct op_dropout dropout_at(const struct spt *m, size_t layer, enum place place, double p)
{
    if (!m->options.train || p <= 0)
        return (struct op_dropout){0};
    return (struct op_dropout){.p = (float)p,
                               .seed = m->options.seed,
                               .stream =
                                   philox_stream(STREAM_DROPOUT, layer * PLACES + place, m->options.step)};
}

int project_forward(struct spt *m, const struct op_dropout *drop, const struct linear_weights *w, size_t rows,
                    size_t in, const act *x, const act *residual, size_t residual_rows, act *y, struct err *e)
{
    struct op_linear p = {.M = rows,
                          .N = m->D,
                          .K = in,
                          .residual_rows = residual_rows,
                          .w = w->w,
                          .bias = w->b,
                          .residual = residual,
                          .dropout = *drop};
    return m->ops->linear(m->ctx, &p, x, y, e);
}

int project_backward(struct spt *m, const struct op_dropout *drop, const struct linear_weights *w,
                     size_t rows, size_t in, const act *x, act *dx, struct err *e)
{
    const struct op_table *ops = m->ops;
    const struct gradient_act *g = &m->act.g;
    const act *dy = g->x;
    if (drop->p > 0) {
        ops->dropout(m->ctx, rows * m->D, drop, g->x, g->a);
        dy = g->a;
    }
    struct op_linear p = {.M = rows, .N = m->D, .K = in, .w = w->w};
    TRY(ops->linear_backward_weight(m->ctx, &p, x, dy, gradient_of(m, w->w), gradient_of(m, w->b), e));
    return ops->linear_backward_data(m->ctx, &p, dy, dx, 0, e);
}

static struct op_attention self_shape(const struct spt *m, size_t layer, const struct part *at,
                                      const int32_t *keys)
{
    size_t T = at->rows, D = m->D;
    return (struct op_attention){.B = at->frames,
                                 .heads = m->heads,
                                 .head = D / m->heads,
                                 .Tq = T,
                                 .Tk = T,
                                 .ldq = 3 * D,
                                 .ldkv = 3 * D,
                                 .q_batch = T * 3 * D,
                                 .kv_batch = T * 3 * D,
                                 .keys = keys,
                                 .dropout = dropout_at(m, layer, PLACE_WEIGHTS, m->config.dropout)};
}

int self_forward(struct spt *m, size_t layer, const struct part *at, const int32_t *keys,
                 const struct self_weights *w, const act *x, const struct self_act *a, act *y, struct err *e)
{
    const struct op_table *ops = m->ops;
    size_t rows = at->frames * at->rows, D = m->D;
    ops->layer_norm(m->ctx, rows, D, 0, x, w->norm.gamma, w->norm.beta, a->norm.y, a->norm.mean,
                    a->norm.rstd);
    struct op_linear in = {.M = rows, .N = 3 * D, .K = D, .w = w->attention.in.w, .bias = w->attention.in.b};
    TRY(ops->linear(m->ctx, &in, a->norm.y, a->qkv, e));
    struct op_attention p = self_shape(m, layer, at, keys);
    TRY(ops->attention(m->ctx, &p, a->qkv, act_at(m, a->qkv, D), act_at(m, a->qkv, 2 * D), a->out, a->lse,
                       e));
    struct op_dropout drop = dropout_at(m, layer, PLACE_OUT, m->config.dropout);
    return project_forward(m, &drop, &w->attention.out, rows, D, a->out, x, rows, y, e);
}

int self_backward(struct spt *m, size_t layer, const struct part *at, const int32_t *keys,
                  const struct self_weights *w, const act *x, const struct self_act *a, struct err *e)
{
    const struct op_table *ops = m->ops;
    const struct gradient_act *g = &m->act.g;
    size_t rows = at->frames * at->rows, D = m->D;
    struct op_dropout drop = dropout_at(m, layer, PLACE_OUT, m->config.dropout);
    TRY(project_backward(m, &drop, &w->attention.out, rows, D, a->out, g->n, e));
    struct op_attention p = self_shape(m, layer, at, keys);
    TRY(ops->attention_backward(m->ctx, &p, a->qkv, act_at(m, a->qkv, D), act_at(m, a->qkv, 2 * D), a->out,
                                a->lse, g->n, g->wide, act_at(m, g->wide, D), act_at(m, g->wide, 2 * D), e));
    struct op_linear in = {.M = rows, .N = 3 * D, .K = D, .w = w->attention.in.w};
    TRY(ops->linear_backward_weight(m->ctx, &in, a->norm.y, g->wide, gradient_of(m, w->attention.in.w),
                                    gradient_of(m, w->attention.in.b), e));
    TRY(ops->linear_backward_data(m->ctx, &in, g->wide, g->n, 0, e));
    ops->layer_norm_backward(m->ctx, rows, D, 0, x, w->norm.gamma, a->norm.mean, a->norm.rstd, g->n, g->x, 1,
                             gradient_of(m, w->norm.gamma), gradient_of(m, w->norm.beta));
    return 0;
}

int feed_forward(struct spt *m, size_t layer, size_t rows, const struct forward_weights *w, const act *x,
                 const struct forward_act *a, act *y, struct err *e)
{
    const struct op_table *ops = m->ops;
    ops->layer_norm(m->ctx, rows, m->D, 0, x, w->norm.gamma, w->norm.beta, a->norm.y, a->norm.mean,
                    a->norm.rstd);
    struct op_linear first = {.M = rows,
                              .N = m->F,
                              .K = m->D,
                              .relu = 1,
                              .w = w->first.w,
                              .bias = w->first.b,
                              .dropout = dropout_at(m, layer, PLACE_HIDDEN, m->config.dropout)};
    TRY(ops->linear(m->ctx, &first, a->norm.y, a->hidden, e));
    struct op_dropout drop = dropout_at(m, layer, PLACE_FORWARD, m->config.dropout);
    return project_forward(m, &drop, &w->second, rows, m->F, a->hidden, x, rows, y, e);
}

int feed_backward(struct spt *m, size_t layer, size_t rows, const struct forward_weights *w, const act *x,
                  const struct forward_act *a, struct err *e)
{
    const struct op_table *ops = m->ops;
    const struct gradient_act *g = &m->act.g;
    struct op_dropout inside = dropout_at(m, layer, PLACE_HIDDEN, m->config.dropout);
    struct op_dropout drop = dropout_at(m, layer, PLACE_FORWARD, m->config.dropout);
    TRY(project_backward(m, &drop, &w->second, rows, m->F, a->hidden, g->wide, e));
    ops->relu_backward(m->ctx, rows * m->F, inside.p > 0 ? 1 / (1 - inside.p) : 1, a->hidden, g->wide,
                       g->wide);
    struct op_linear first = {.M = rows, .N = m->F, .K = m->D, .w = w->first.w};
    TRY(ops->linear_backward_weight(m->ctx, &first, a->norm.y, g->wide, gradient_of(m, w->first.w),
                                    gradient_of(m, w->first.b), e));
    TRY(ops->linear_backward_data(m->ctx, &first, g->wide, g->n, 0, e));
    ops->layer_norm_backward(m->ctx, rows, m->D, 0, x, w->norm.gamma, a->norm.mean, a->norm.rstd, g->n, g->x,
                             1, gradient_of(m, w->norm.gamma), gradient_of(m, w->norm.beta));
    return 0;
}
