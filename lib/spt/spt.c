/* The network as a whole: made, run forward and backward, asked for its results. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "spt/network.h"

enum { SIDE_MAX = 16384, BATCH_MAX = 65536, SAMPLES_MAX = 1 << 24 };

static int in_range(const char *key, double value, double low, double high, struct err *e)
{
    if (value >= low && value <= high)
        return 0;
    return err_set(e, ERR_CONFIG, "model.%s: %g is outside %g..%g", key, value, low, high);
}

static int check_config(const struct model_config *c, struct err *e)
{
    TRY(in_range("embed_dim", c->embed_dim, 4, 8192, e));
    TRY(in_range("num_heads", c->num_heads, 1, c->embed_dim, e));
    TRY(in_range("num_encoder_layers", c->num_encoder_layers, 0, 256, e));
    TRY(in_range("num_decoder_layers", c->num_decoder_layers, 1, 256, e));
    TRY(in_range("max_state_dim", c->max_state_dim, 1, 65535, e));
    TRY(in_range("decoder.query_patch", c->query_patch, 1, 64, e));
    TRY(in_range("decoder.head_width", c->head_width, 0, 8192, e));
    TRY(in_range("architecture.feedforward_dim", c->feedforward_dim, 1, 65536, e));
    TRY(in_range("architecture.dropout", c->dropout, 0, 0.99, e));
    TRY(in_range("architecture.skip.dropout", c->skip_dropout, 0, 0.99, e));
    TRY(in_range("positional.max_freq", c->max_freq, 1e-3, 1e6, e));
    if (c->embed_dim % 4 || c->embed_dim % c->num_heads)
        return err_set(e, ERR_CONFIG, "model.embed_dim: %u is not a multiple of 4 and of num_heads %u",
                       c->embed_dim, c->num_heads);
    if (c->prefill == PREFILL_LINEAR && c->query_patch < 2)
        return err_set(e, ERR_CONFIG, "model.prefill: linear needs decoder.query_patch above 1");
    return 0;
}

int spt_create(struct spt **out, const struct model_config *config, struct op_ctx *ctx, struct err *e)
{
    struct spt *m;
    *out = NULL;
    TRY(check_config(config, e));
    TRY(mem_alloc(&m, 1, sizeof *m, "the network", e));
    m->config = *config;
    m->ctx = ctx;
    m->ops = ctx->ops;
    m->D = config->embed_dim;
    m->heads = config->num_heads;
    m->F = config->feedforward_dim;
    m->S = config->max_state_dim;
    m->patch = config->query_patch;
    m->C = m->patch > 1 && config->head_width ? config->head_width : m->D;
    m->encoder_layers = config->num_encoder_layers;
    m->decoder_layers = config->num_decoder_layers;
    m->full = config->self_attention == SELF_ATTENTION_FULL;
    m->act_size = ctx->bf16 ? 2 : sizeof(float);
    m->version = 1;
    m->written = 1;
    int code = parameters_create(m, e);
    if (!code)
        code = mem_alloc(&m->act.encoder, m->encoder_layers, sizeof *m->act.encoder, "encoder layers", e);
    if (!code)
        code = mem_alloc(&m->act.decoder, m->decoder_layers, sizeof *m->act.decoder, "decoder layers", e);
    if (!code)
        code = mem_alloc(&m->state_mean, 2 * m->S, sizeof(float), "state statistics", e);
    if (code) {
        spt_free(m);
        return code;
    }
    m->state_std = m->state_mean + m->S;
    *out = m;
    return 0;
}

void spt_free(struct spt *m)
{
    if (!m)
        return;
    queries_free(m);
    parameters_free(m);
    m->ops->free(m->ctx, m->folded);
    m->ops->free(m->ctx, m->act.base);
    free(m->act.encoder);
    free(m->act.decoder);
    free(m->state_mean);
    free(m->host);
    free(m);
}

const struct model_config *spt_config(const struct spt *m)
{
    return &m->config;
}

struct op_ctx *spt_context(const struct spt *m)
{
    return m->ctx;
}

int host_room(struct spt *m, size_t n, struct err *e)
{
    return mem_grow(&m->host, &m->host_capacity, n, sizeof *m->host, "room for inputs", e);
}

void spt_set_state_norm(struct spt *m, const float *mean, const float *std)
{
    m->state_normed = mean != NULL;
    if (!mean)
        return;
    memcpy(m->state_mean, mean, m->S * sizeof(float));
    memcpy(m->state_std, std, m->S * sizeof(float));
}

const float *spt_state_mean(const struct spt *m)
{
    return m->state_normed ? m->state_mean : NULL;
}

const float *spt_state_std(const struct spt *m)
{
    return m->state_normed ? m->state_std : NULL;
}

void spt_padded(const struct spt *m, uint32_t H, uint32_t W, uint32_t *Hp, uint32_t *Wp)
{
    uint32_t p = (uint32_t)m->patch;
    *Hp = (H + p - 1) / p * p;
    *Wp = (W + p - 1) / p * p;
}

void spt_map_size(const struct spt *m, uint32_t H, uint32_t W, uint32_t *h, uint32_t *w)
{
    uint32_t p = (uint32_t)m->patch;
    *h = (H + p - 1) / p;
    *w = (W + p - 1) / p;
}

static int check_batch(const struct spt *m, const struct spt_batch *b, const struct spt_options *o,
                       struct err *e)
{
    if (b->B < 1 || b->B > BATCH_MAX || b->N < 1 || b->N > SAMPLES_MAX)
        return err_set(e, ERR_DATA,
                       "a batch of %zu frames of %zu samples: 1..%d frames and 1..%d samples are possible",
                       b->B, b->N, BATCH_MAX, SAMPLES_MAX);
    if (b->H < 1 || b->W < 1 || b->H > SIDE_MAX || b->W > SIDE_MAX)
        return err_set(e, ERR_DATA, "frames of %ux%u: sides of 1..%d are possible", b->W, b->H, SIDE_MAX);
    for (size_t i = 0; b->counts && i < b->B; i++)
        if (b->counts[i] < 1 || (size_t)b->counts[i] > b->N)
            return err_set(e, ERR_DATA,
                           "frame %zu of the batch has %d samples: the network needs at least one", i,
                           b->counts[i]);
    if (m->config.prefill == PREFILL_LINEAR && !b->prefill)
        return err_set(e, ERR_INTERNAL, "this model needs prefill planes");
    if (o->importance > OP_IMPORTANCE_VARIANCE)
        return err_set(e, ERR_INTERNAL, "importance %d is not the attention's", o->importance);
    if (o->scale && !m->config.error_head)
        return err_set(e, ERR_UNAVAILABLE, "this model has no error head (model.error_head)");
    return 0;
}

static struct shape shape_of(const struct spt *m, const struct spt_batch *b, int train)
{
    uint32_t Hp, Wp, h, w;
    spt_padded(m, b->H, b->W, &Hp, &Wp);
    spt_map_size(m, b->H, b->W, &h, &w);
    struct shape s = {.B = b->B,
                      .N = b->N,
                      .T = b->N + 1,
                      .H = b->H,
                      .W = b->W,
                      .Hp = Hp,
                      .Wp = Wp,
                      .h = h,
                      .w = w,
                      .Q = (size_t)h * w,
                      .train = train,
                      .stages = m->stage != NULL};
    for (size_t i = 0; b->counts && i < b->B; i++)
        s.ragged |= (size_t)b->counts[i] != b->N;
    return s;
}

/* The shape that a batch of these sizes has; no counts: ragged, which takes a little more. */
static struct shape shape_like(const struct spt *m, const struct spt_batch *b, int train)
{
    struct shape s = shape_of(m, b, train);
    s.ragged = 1;
    return s;
}

size_t spt_activation_bytes(struct spt *m, const struct spt_batch *like, int train)
{
    struct shape s = shape_like(m, like, train);
    m->act.shape = (struct shape){0}; /* measuring overwrites the pointers */
    return activations_layout(m, &s, NULL);
}

int spt_reserve(struct spt *m, const struct spt_batch *like, int train, struct err *e)
{
    struct shape s = shape_like(m, like, train);
    m->forward_kept = 0;
    TRY(activations_check(m, &s, e));
    TRY(positions_prepare(m, &s, e));
    TRY(activations_prepare(m, &s, e));
    return train ? gradients_take(m, e) : 0;
}

static int upload_state(struct spt *m, const struct spt_batch *b, struct err *e)
{
    TRY(host_room(m, b->B * m->S, e));
    for (size_t i = 0; i < b->B * m->S; i++) {
        size_t j = i % m->S;
        float x = b->mask[i] != 0 ? b->state[i] : 0;
        if (m->state_normed && b->mask[i] != 0)
            x = (x - m->state_mean[j]) / m->state_std[j];
        m->host[i] = x * b->mask[i];
    }
    m->ops->upload_act(m->ctx, m->act.state, m->host, b->B * m->S);
    return 0;
}

/* Planes (B,2,Hp,Wp) become two channels of an image; the first, at the frame's own size, also what the output is added to. */
static int upload_prefill(struct spt *m, const struct spt_batch *b, struct err *e)
{
    const struct shape *s = &m->act.shape;
    size_t pixels = s->Hp * s->Wp;
    TRY(host_room(m, s->B * pixels * 2, e));
    for (size_t i = 0; i < s->B * pixels; i++)
        for (size_t plane = 0; plane < 2; plane++)
            m->host[2 * i + plane] = b->prefill[(i / pixels * 2 + plane) * pixels + i % pixels];
    m->ops->upload_act(m->ctx, m->act.head.planes, m->host, s->B * pixels * 2);
    for (size_t row = 0; row < s->B * s->H; row++)
        memcpy(m->host + row * s->W, b->prefill + (row / s->H * 2 * s->Hp + row % s->H) * s->Wp,
               s->W * sizeof(float));
    m->ops->upload(m->ctx, m->act.head.base, m->host, s->B * s->H * s->W * sizeof(float));
    return 0;
}

static int upload_inputs(struct spt *m, const struct spt_batch *b, struct err *e)
{
    const struct activations *a = &m->act;
    size_t n = b->B * b->N;
    m->ops->upload(m->ctx, a->pixels, b->pixels, n * 3 * sizeof(float));
    TRY(host_room(m, n + b->B, e));
    for (size_t i = 0; i < n; i++)
        m->host[i] = b->pixels[3 * i + 2];
    m->ops->upload(m->ctx, a->values, m->host, n * sizeof(float));
    if (a->shape.ragged) {
        int32_t *keys = (int32_t *)(void *)m->host;
        for (size_t i = 0; i < b->B; i++)
            keys[i] = b->counts[i] + 1;
        m->ops->upload(m->ctx, a->counts, b->counts, b->B * sizeof *keys);
        m->ops->upload(m->ctx, a->keys, keys, b->B * sizeof *keys);
    }
    TRY(upload_state(m, b, e));
    return m->config.prefill == PREFILL_LINEAR ? upload_prefill(m, b, e) : 0;
}

int spt_forward(struct spt *m, const struct spt_batch *batch, const struct spt_options *options,
                struct err *e)
{
    m->forward_kept = 0;
    TRY(check_batch(m, batch, options, e));
    m->options = *options;
    struct shape s = shape_of(m, batch, options->train);
    TRY(activations_check(m, &s, e));
    TRY(parameters_settle(m, e));
    TRY(positions_prepare(m, &s, e));
    TRY(activations_prepare(m, &s, e));
    TRY(upload_inputs(m, batch, e));
    if (!s.train) {
        TRY(queries_prepare(m, e));
        TRY(fold_prepare(m, e));
    }
    TRY(forward_all(m, e));
    if (s.train) {
        m->version++; /* the running statistics have moved, and the parameters are about to */
        m->ops->zero(m->ctx, m->act.doutput, s.B * s.H * s.W * sizeof(float));
        if (options->scale)
            m->ops->zero(m->ctx, m->act.dscale, s.B * s.H * s.W * sizeof(float));
        m->forward_kept = 1;
    }
    return 0;
}

int spt_backward(struct spt *m, struct err *e)
{
    if (!m->forward_kept)
        return err_set(e, ERR_INTERNAL, "a backward pass needs a forward pass for training before it");
    m->forward_kept = 0;
    TRY(gradients_take(m, e));
    TRY(refine_backward(m, e));
    TRY(decode_backward(m, e));
    return encode_backward(m, e);
}

const float *spt_output(const struct spt *m)
{
    return m->act.output;
}

const float *spt_map(const struct spt *m)
{
    return m->act.map;
}

float *spt_output_gradient(struct spt *m)
{
    return m->act.doutput;
}

const float *spt_raw_scale(const struct spt *m)
{
    return m->act.scale;
}

float *spt_raw_scale_gradient(struct spt *m)
{
    return m->act.dscale;
}

int spt_download_output(struct spt *m, float *host, struct err *e)
{
    const struct shape *s = &m->act.shape;
    m->ops->download(m->ctx, host, m->act.output, s->B * s->H * s->W * sizeof(float));
    return m->ops->check(m->ctx, e);
}

int spt_download_map(struct spt *m, float *host, struct err *e)
{
    const struct shape *s = &m->act.shape;
    m->ops->download(m->ctx, host, m->act.map, s->B * s->Q * sizeof(float));
    return m->ops->check(m->ctx, e);
}

int spt_download_scale(struct spt *m, float *host, struct err *e)
{
    const struct shape *s = &m->act.shape;
    size_t n = s->B * s->H * s->W;
    m->ops->download(m->ctx, host, m->act.scale, n * sizeof(float));
    for (size_t i = 0; i < n; i++) /* the softplus of loss_nll */
        host[i] = fmaxf(host[i], 0) + log1pf(expf(-fabsf(host[i]))) + OP_SCALE_LEAST;
    return m->ops->check(m->ctx, e);
}

void spt_on_stage(struct spt *m, spt_stage_fn fn, void *user)
{
    m->stage = fn;
    m->stage_user = user;
}

void stage_report(const struct spt *m, const char *name, const act *x, size_t rows, size_t columns)
{
    if (m->stage)
        m->stage(m->stage_user, name, x, rows, columns);
}

struct spt_memory spt_memory_use(const struct spt *m)
{
    size_t constants = 0, Q = 0;
    if (m->constants.position) {
        uint32_t h, w;
        spt_map_size(m, m->constants.H, m->constants.W, &h, &w);
        Q = (size_t)h * w;
        constants = Q * m->D * m->act_size * (1 + (m->constants.q != NULL) + (m->full && m->constants.base));
    }
    return (struct spt_memory){.parameters = (m->parameter_count + m->statistic_count) * sizeof(float),
                               .gradients = m->gradients ? m->parameter_count * sizeof(float) : 0,
                               .activations = m->act.size + constants};
}

void spt_scale_map(float *map, size_t n)
{
    float low = n ? map[0] : 0, high = low;
    for (size_t i = 1; i < n; i++) {
        low = fminf(low, map[i]);
        high = fmaxf(high, map[i]);
    }
    for (size_t i = 0; i < n; i++)
        map[i] = (map[i] - low) / (high - low + 1e-9f);
}
