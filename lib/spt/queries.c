/* The queries and what of them never depends on the input: computed once for a resolution, and again when the
 * parameters have changed. */
#include "base/mem.h"
#include "spt/network.h"

/* Position i of n along a side whose frame has size of padded pixels. Patches beyond the frame's edge lie beyond 1, so a
 * sample and a query of the same place agree whatever the padding. linspace as torch computes it: from both ends. */
static float place_along(const struct spt *m, size_t i, size_t n, size_t size, size_t padded)
{
    float u;
    if (m->config.coordinates == COORDINATES_CENTRES)
        u = ((float)i + 0.5f) / (float)n;
    else if (n == 1)
        u = 0;
    else if (i < n / 2)
        u = 1 / (float)(n - 1) * (float)i;
    else
        u = 1 - 1 / (float)(n - 1) * (float)(n - 1 - i);
    return padded == size ? u : u * (float)padded / (float)size;
}

void queries_free(struct spt *m)
{
    struct constants *c = &m->constants;
    recordings_drop(m);
    if (c->base != c->position)
        m->ops->free(m->ctx, c->base);
    m->ops->free(m->ctx, c->q);
    m->ops->free(m->ctx, c->position);
    *c = (struct constants){0};
}

int positions_prepare(struct spt *m, const struct shape *s, struct err *e)
{
    struct constants *c = &m->constants;
    if (c->position && c->H == s->H && c->W == s->W)
        return 0;
    queries_free(m);
    m->act.shape = (struct shape){0}; /* it may point to the old positions */
    TRY(mem_grow(&m->host, &m->host_capacity, s->Q * 2, sizeof *m->host, "positions of queries", e));
    for (size_t i = 0; i < s->Q; i++) {
        m->host[2 * i] = place_along(m, i % s->w, s->w, s->W, s->Wp);
        m->host[2 * i + 1] = place_along(m, i / s->w, s->h, s->H, s->Hp);
    }
    void *uv, *position;
    TRY(m->ops->alloc(m->ctx, &uv, s->Q * 2 * sizeof(float), e));
    int code = m->ops->alloc(m->ctx, &position, s->Q * m->D * m->act_size, e);
    if (!code) {
        m->ops->upload(m->ctx, uv, m->host, s->Q * 2 * sizeof(float));
        m->ops->position_encode(m->ctx, s->Q, m->D, uv, m->freqs, position);
        c->position = position;
        c->H = (uint32_t)s->H;
        c->W = (uint32_t)s->W;
    }
    m->ops->free(m->ctx, uv);
    return code;
}

static int take_constants(struct spt *m, size_t Q, struct err *e)
{
    struct constants *c = &m->constants;
    size_t bytes = Q * m->D * m->act_size;
    if (!c->q) {
        void *q;
        TRY(m->ops->alloc(m->ctx, &q, bytes, e));
        c->q = q;
    }
    if (!m->full) {
        c->base = c->position;
    } else if (!c->base) {
        void *base;
        TRY(m->ops->alloc(m->ctx, &base, bytes, e));
        c->base = base;
    }
    return 0;
}

int queries_prepare(struct spt *m, struct err *e)
{
    struct constants *c = &m->constants;
    const struct shape *s = &m->act.shape;
    if (c->q && c->version == m->version)
        return 0;
    TRY(take_constants(m, s->Q, e));
    const struct decoder_weights *w = &m->decoder[0];
    const struct decoder_act *room = &m->act.decoder[0]; /* the decoder has not started yet */
    if (m->full) {
        struct part all = {.frames = 1, .rows = s->Q};
        TRY(self_forward(m, m->encoder_layers, &all, NULL, &w->self, c->position, &room->self, c->base, e));
    }
    for (size_t r0 = 0, rows; r0 < s->Q; r0 += rows) {
        rows = s->Q - r0 < m->act.tile.rows ? s->Q - r0 : m->act.tile.rows;
        m->ops->layer_norm(m->ctx, rows, m->D, 0, act_at(m, c->base, r0 * m->D), w->norm.gamma, w->norm.beta,
                           room->norm.y, room->norm.mean, room->norm.rstd);
        struct op_linear p = {.M = rows, .N = m->D, .K = m->D, .w = w->cross.in.w, .bias = w->cross.in.b};
        TRY(m->ops->linear(m->ctx, &p, room->norm.y, act_at(m, c->q, r0 * m->D), e));
    }
    c->version = m->version;
    return 0;
}
