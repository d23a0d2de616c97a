/* The activations: one arena for each shape, handed out by one walk that measures first and assigns second.
 *
 * For training every layer keeps its own. For evaluation the encoder's layers share one set and work in place, the
 * decoder's layers share one set the size of a tile, and the head goes back and forth between three images. */
#include <stdint.h>
#include <stdio.h>

#include "base/mem.h"
#include "spt/network.h"

struct layout {
    struct spt *m;
    const struct shape *s;
    char *base;
    size_t used;
    int overflow;
};

static void *take_bytes(struct layout *l, size_t rows, size_t columns, size_t size)
{
    size_t n, bytes, end;
    if (mem_multiply(rows, columns, &n) || mem_multiply(n, size, &bytes) || mem_add(bytes, 63, &bytes) ||
        mem_add(l->used, bytes & ~(size_t)63, &end)) {
        l->overflow = 1;
        return NULL;
    }
    void *p = l->base ? l->base + l->used : NULL;
    l->used = end;
    return p;
}

static act *take(struct layout *l, size_t rows, size_t columns)
{
    return take_bytes(l, rows, columns, l->m->act_size);
}

static float *take_floats(struct layout *l, size_t n)
{
    return take_bytes(l, n, 1, sizeof(float));
}

static void lay_norm(struct layout *l, struct norm_act *a, size_t rows)
{
    a->y = take(l, rows, l->m->D);
    a->mean = take_floats(l, rows);
    a->rstd = take_floats(l, rows);
}

static void lay_self(struct layout *l, struct self_act *a, size_t rows)
{
    lay_norm(l, &a->norm, rows);
    a->qkv = take(l, rows, 3 * l->m->D);
    a->out = take(l, rows, l->m->D);
    a->lse = take_floats(l, rows * l->m->heads);
}

static void lay_forward(struct layout *l, struct forward_act *a, size_t rows)
{
    lay_norm(l, &a->norm, rows);
    a->hidden = take(l, rows, l->m->F);
}

static void lay_inputs(struct layout *l, struct activations *a)
{
    const struct shape *s = l->s;
    const struct spt *m = l->m;
    a->pixels = take_floats(l, s->B * s->N * 3);
    a->values = take_floats(l, s->B * s->N);
    a->counts = s->ragged ? take_bytes(l, s->B, 1, sizeof(int32_t)) : NULL;
    a->keys = s->ragged ? take_bytes(l, s->B, 1, sizeof(int32_t)) : NULL;
    a->state = take(l, s->B, m->S);
    a->state_linear = take(l, s->B, m->D);
    a->state_mean = take_floats(l, s->B);
    a->state_rstd = take_floats(l, s->B);
    a->tokens = take(l, s->B * s->T, m->D);
}

static void lay_encoder(struct layout *l, struct activations *a)
{
    const struct shape *s = l->s;
    size_t rows = s->B * s->T;
    act *x = a->tokens;
    for (size_t i = 0; i < l->m->encoder_layers; i++) {
        struct encoder_act *layer = &a->encoder[i];
        if (i && !s->train) {
            *layer = a->encoder[0];
            continue;
        }
        layer->x = x;
        lay_self(l, &layer->self, rows);
        lay_forward(l, &layer->forward, rows);
        layer->x1 = s->train ? take(l, rows, l->m->D) : x;
        x = s->train ? take(l, rows, l->m->D) : x;
    }
    a->memory = x;
}

/* How many queries go through the decoder at once: in evaluation as many as the backend likes, on the CPU what stays in
 * the cache between layers. With self-attention a frame is not cut up. */
static struct part choose_tile(const struct spt *m, const struct shape *s)
{
    size_t most = m->ctx->tile_rows, frames = s->Q < most ? most / s->Q : 1;
    if (s->train || s->stages)
        return (struct part){.frames = s->B, .rows = s->Q};
    if (m->full || s->Q <= most)
        return (struct part){.frames = frames < s->B ? frames : s->B, .rows = s->Q};
    size_t tiles = (s->Q + most - 1) / most;
    return (struct part){.frames = 1, .rows = (s->Q + tiles - 1) / tiles};
}

static void lay_decoder_layer(struct layout *l, struct decoder_act *layer, size_t rows, act *x, int train)
{
    const struct spt *m = l->m;
    layer->x = x;
    if (m->full)
        lay_self(l, &layer->self, rows);
    layer->xs = m->full && train ? take(l, rows, m->D) : x;
    lay_norm(l, &layer->norm, rows);
    layer->q = take(l, rows, m->D);
    layer->out = take(l, rows, m->D);
    layer->lse = take_floats(l, rows * m->heads);
    layer->x1 = train ? take(l, rows, m->D) : x;
    lay_forward(l, &layer->forward, rows);
}

static void lay_decoder(struct layout *l, struct activations *a)
{
    const struct shape *s = l->s;
    const struct spt *m = l->m;
    a->tile = choose_tile(m, s);
    size_t rows = a->tile.frames * a->tile.rows;
    /* Without self-attention the first layer of all frames reads the positions themselves. */
    act *x = s->train && !m->full ? m->constants.position : take(l, rows, m->D);
    a->head.x = take(l, s->B * s->Q, m->D);
    for (size_t i = 0; i < m->decoder_layers; i++) {
        struct decoder_act *layer = &a->decoder[i];
        if (!i || s->train)
            lay_decoder_layer(l, layer, rows, x, s->train);
        else
            *layer = a->decoder[0];
        layer->kv = take(l, s->B * s->T, 2 * m->D);
        if (s->train)
            x = i + 1 < m->decoder_layers ? take(l, rows, m->D) : a->head.x;
    }
    if (m->config.skip) {
        a->skip.mean = take(l, s->B, m->D);
        a->skip.linear = take(l, s->B, m->D);
        lay_norm(l, &a->skip.norm, s->B);
    }
    a->map = take_floats(l, s->B * s->Q);
}

static void lay_blocks(struct layout *l, struct head_act *a, size_t rows, act *x)
{
    const struct spt *m = l->m;
    act *room[2] = {NULL, NULL};
    if (!l->s->train)
        for (int i = 0; i < 2; i++)
            room[i] = take(l, rows, m->C);
    for (int i = 0; i < 2; i++) {
        struct block_act *b = &a->block[i];
        b->x = x;
        b->middle = l->s->train ? take(l, rows, m->C) : room[0];
        for (int half = 0; half < 2 && l->s->train; half++) {
            b->conv[half] = take(l, rows, m->C);
            b->mean[half] = take_floats(l, m->C);
            b->rstd[half] = take_floats(l, m->C);
        }
        /* In evaluation the second block writes over the first one's input. */
        x = l->s->train ? take(l, rows, m->C) : i ? a->block[0].x : room[1];
    }
    a->blocks = x;
}

static void lay_head(struct layout *l, struct activations *a)
{
    const struct shape *s = l->s;
    const struct spt *m = l->m;
    struct head_act *h = &a->head;
    size_t rows = s->B * s->Q, pixels = s->B * s->Hp * s->Wp, channels = FULL_CHANNELS;
    lay_blocks(l, h, rows, m->patch > 1 ? take(l, rows, m->C) : h->x);
    if (m->config.prefill == PREFILL_LINEAR) {
        channels += 2;
        h->planes = take(l, pixels, 2);
        h->base = take_floats(l, s->B * s->H * s->W);
    }
    if (m->patch > 1) {
        h->up = take(l, rows, FULL_CHANNELS * m->patch * m->patch);
        h->full[0] = take(l, pixels, channels);
        h->full[1] = take(l, pixels, FULL_CHANNELS);
        h->full[2] = s->train ? take(l, pixels, FULL_CHANNELS) : h->full[0];
    }
    h->out = take(l, pixels, 1);
    int crop = s->H != s->Hp || s->W != s->Wp;
    a->cropped = crop ? take(l, s->B * s->H, s->W) : h->out;
    a->output = m->ctx->bf16 ? take_floats(l, s->B * s->H * s->W) : (float *)a->cropped;
    if (!m->config.error_head)
        return;
    h->error = take(l, pixels, 1);
    a->cropped_scale = crop ? take(l, s->B * s->H, s->W) : h->error;
    a->scale = m->ctx->bf16 ? take_floats(l, s->B * s->H * s->W) : (float *)a->cropped_scale;
}

static void lay_gradients(struct layout *l, struct activations *a)
{
    const struct shape *s = l->s;
    const struct spt *m = l->m;
    struct gradient_act *g = &a->g;
    size_t queries = s->B * s->Q, tokens = s->B * s->T, rows = queries > tokens ? queries : tokens;
    size_t width = m->D > m->C ? m->D : m->C;
    size_t in_self = m->full ? rows * 3 * m->D : tokens * 3 * m->D, in_forward = rows * m->F;
    g->x = take(l, rows, width);
    g->n = take(l, rows, width);
    g->a = take(l, rows, width);
    size_t wide = in_self > in_forward ? in_self : in_forward, shared = s->Q * m->D;
    g->wide = take(l, wide > shared ? wide : shared, 1);
    g->kv = take(l, tokens, 2 * m->D);
    g->memory = take(l, tokens, m->D);
    g->row[0] = take(l, s->B, m->D);
    g->row[1] = take(l, s->B, m->D);
    /* Full resolution: without patches one channel, the gradient of the last convolution. */
    size_t pixels = s->B * s->Hp * s->Wp, channels = m->patch > 1 ? FULL_CHANNELS + 2 : 1;
    g->full[0] = take(l, pixels, channels);
    g->full[1] = take(l, pixels, channels);
    a->doutput = take_floats(l, s->B * s->H * s->W);
    if (m->config.error_head)
        a->dscale = take_floats(l, s->B * s->H * s->W);
}

size_t activations_layout(struct spt *m, const struct shape *s, char *base)
{
    struct layout l = {.m = m, .s = s, .base = base};
    struct activations *a = &m->act;
    lay_inputs(&l, a);
    lay_encoder(&l, a);
    lay_decoder(&l, a);
    lay_head(&l, a);
    if (s->train)
        lay_gradients(&l, a);
    return l.overflow ? SIZE_MAX : l.used;
}

int shape_equal(const struct shape *a, const struct shape *b)
{
    return a->B == b->B && a->N == b->N && a->H == b->H && a->W == b->W && a->train == b->train &&
           a->ragged == b->ragged && a->stages == b->stages;
}

static size_t plus(size_t a, size_t b)
{
    size_t sum;
    return mem_add(a, b, &sum) ? SIZE_MAX : sum;
}

/* What a shape takes beyond what is taken: a larger arena in place of the one there is, the queries' constants, gradients.
 * SIZE_MAX: does not fit in a number. */
static size_t bytes_missing(struct spt *m, const struct shape *s)
{
    const struct constants *c = &m->constants;
    size_t arena = activations_layout(m, s, NULL), missing = arena > m->act.size ? arena : 0;
    int kept = c->position && c->H == s->H && c->W == s->W;
    size_t arrays =
        (size_t)!kept + (!s->train && !(kept && c->q)) + (!s->train && m->full && !(kept && c->base));
    missing = plus(missing, arrays * s->Q * m->D * m->act_size);
    return s->train && !m->gradients ? plus(missing, m->parameter_count * sizeof(float)) : missing;
}

/* The most frames of a batch like s that fit in `room` bytes. */
static size_t frames_that_fit(struct spt *m, const struct shape *s, size_t room)
{
    size_t fits = 0, most = s->B;
    while (most - fits > 1) {
        struct shape some = *s;
        some.B = fits + (most - fits) / 2;
        *(bytes_missing(m, &some) <= room ? &fits : &most) = some.B;
    }
    return fits;
}

int activations_check(struct spt *m, const struct shape *s, struct err *e)
{
    struct activations *a = &m->act;
    if (a->base && shape_equal(&a->shape, s))
        return 0;
    a->shape = (struct shape){0}; /* measuring overwrites the pointers */
    size_t missing = bytes_missing(m, s), available, total;
    if (!missing)
        return 0;
    m->ops->memory(m->ctx, &available, &total);
    /* A GPU's arena is given back before a larger one is taken; the host's counts as available already. */
    size_t room = plus(available, op_is_cuda(m->ctx) ? a->size : 0);
    if (missing <= room || (!total && missing != SIZE_MAX))
        return 0;
    char advice[64] = "take smaller frames or fewer samples";
    size_t fit = frames_that_fit(m, s, room);
    if (fit)
        snprintf(advice, sizeof advice, "%zu frame%s a batch fit%s", fit, fit > 1 ? "s" : "",
                 fit > 1 ? "" : "s");
    return err_set(
        e, ERR_INTERNAL,
        "%zu frame%s of %zux%zu with %zu samples need%s %.3g GB for activations, %s has %.3g GB%s: %s", s->B,
        s->B > 1 ? "s" : "", s->W, s->H, s->N, s->B > 1 ? "" : "s", (double)missing / 1e9,
        op_is_cuda(m->ctx) ? m->ops->device_name(m->ctx) : "the machine", (double)room / 1e9,
        op_is_cuda(m->ctx) ? " free" : "", advice);
}

int activations_prepare(struct spt *m, const struct shape *s, struct err *e)
{
    struct activations *a = &m->act;
    if (a->base && shape_equal(&a->shape, s))
        return 0;
    a->shape = (struct shape){0};
    size_t size = activations_layout(m, s, NULL);
    if (size > a->size || !a->base) {
        void *base;
        recordings_drop(m);
        m->ops->free(m->ctx, a->base);
        a->base = NULL;
        a->size = 0;
        if (m->ops->alloc(m->ctx, &base, size, e))
            return err_prefix(e, "activations of %zu frames of %zux%zu with %zu samples: ", s->B, s->W, s->H,
                              s->N);
        a->base = base;
        a->size = size;
    }
    activations_layout(m, s, a->base);
    a->shape = *s;
    return 0;
}
