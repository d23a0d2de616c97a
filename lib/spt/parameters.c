/* The parameters: one table in the order of torch's state_dict gives names, shapes, start values and arenas. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/philox.h"
#include "spt/network.h"

enum { ALIGN = 16 }; /* floats: every tensor starts on a cache line */

/* Adds one row; the pointer at slot is set when the arenas exist. trailing zeros of shape are no dimensions. */
static int add(struct spt *m, float **slot, enum start start, int trainable, const size_t shape[4],
               struct err *e, const char *fmt, ...) __attribute__((format(printf, 7, 8)));

static int add(struct spt *m, float **slot, enum start start, int trainable, const size_t shape[4],
               struct err *e, const char *fmt, ...)
{
    TRY(mem_grow(&m->table, &m->table_capacity, m->tensor_count + 1, sizeof *m->table, "parameter table", e));
    struct parameter *row = &m->table[m->tensor_count++];
    struct spt_tensor *t = &row->tensor;
    *row = (struct parameter){.slot = slot, .start = start};
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(t->name, sizeof t->name, fmt, ap);
    va_end(ap);
    t->count = 1;
    while (t->dims < 4 && shape[t->dims]) {
        t->shape[t->dims] = shape[t->dims];
        t->count *= shape[t->dims++];
    }
    size_t *used = trainable ? &m->parameter_count : &m->statistic_count;
    t->trainable = trainable;
    t->offset = *used;
    *used += (t->count + ALIGN - 1) / ALIGN * ALIGN;
    return 0;
}

#define SHAPE(...)                                                                                           \
    (const size_t[4])                                                                                        \
    {                                                                                                        \
        __VA_ARGS__                                                                                          \
    }

static int add_linear(struct spt *m, struct linear_weights *l, size_t out, size_t in, const char *name,
                      struct err *e)
{
    TRY(add(m, &l->w, START_LINEAR, 1, SHAPE(out, in), e, "%s.weight", name));
    return add(m, &l->b, START_ZERO, 1, SHAPE(out), e, "%s.bias", name);
}

static int add_norm(struct spt *m, struct norm_weights *n, size_t width, const char *name, struct err *e)
{
    TRY(add(m, &n->gamma, START_ONE, 1, SHAPE(width), e, "%s.weight", name));
    return add(m, &n->beta, START_ZERO, 1, SHAPE(width), e, "%s.bias", name);
}

/* size 3 or 1 */
static int add_conv(struct spt *m, struct linear_weights *l, size_t out, size_t in, size_t size,
                    enum start weight, enum start bias, const char *name, struct err *e)
{
    TRY(add(m, &l->w, weight, 1, SHAPE(out, in, size, size), e, "%s.weight", name));
    return add(m, &l->b, bias, 1, SHAPE(out), e, "%s.bias", name);
}

static int add_attention(struct spt *m, struct attention_weights *a, const char *name, struct err *e)
{
    char out[96];
    snprintf(out, sizeof out, "%s.out_proj", name);
    TRY(add(m, &a->in.w, START_XAVIER, 1, SHAPE(3 * m->D, m->D), e, "%s.in_proj_weight", name));
    TRY(add(m, &a->in.b, START_ZERO, 1, SHAPE(3 * m->D), e, "%s.in_proj_bias", name));
    return add_linear(m, &a->out, m->D, m->D, out, e);
}

static int add_forward(struct spt *m, struct forward_weights *f, const char *layer, struct err *e)
{
    char first[96], second[96];
    snprintf(first, sizeof first, "%s.linear1", layer);
    snprintf(second, sizeof second, "%s.linear2", layer);
    TRY(add_linear(m, &f->first, m->F, m->D, first, e));
    return add_linear(m, &f->second, m->D, m->F, second, e);
}

static int add_layer_norm(struct spt *m, struct norm_weights *n, const char *layer, int number, struct err *e)
{
    char name[96];
    snprintf(name, sizeof name, "%s.norm%d", layer, number);
    return add_norm(m, n, m->D, name, e);
}

static int add_encoder_layer(struct spt *m, size_t i, struct err *e)
{
    struct encoder_weights *w = &m->encoder[i];
    char layer[40], name[64];
    snprintf(layer, sizeof layer, "encoder.layers.%zu", i);
    snprintf(name, sizeof name, "%s.self_attn", layer);
    TRY(add_attention(m, &w->self.attention, name, e));
    TRY(add_forward(m, &w->forward, layer, e));
    TRY(add_layer_norm(m, &w->self.norm, layer, 1, e));
    return add_layer_norm(m, &w->forward.norm, layer, 2, e);
}

static int add_decoder_layer(struct spt *m, size_t i, struct err *e)
{
    struct decoder_weights *w = &m->decoder[i];
    char layer[40], name[64];
    snprintf(layer, sizeof layer, "decoder.layers.%zu", i);
    if (m->full) {
        snprintf(name, sizeof name, "%s.self_attn", layer);
        TRY(add_attention(m, &w->self.attention, name, e));
    }
    snprintf(name, sizeof name, "%s.multihead_attn", layer);
    TRY(add_attention(m, &w->cross, name, e));
    TRY(add_forward(m, &w->forward, layer, e));
    if (m->full)
        TRY(add_layer_norm(m, &w->self.norm, layer, 1, e));
    TRY(add_layer_norm(m, &w->norm, layer, 2, e));
    return add_layer_norm(m, &w->forward.norm, layer, 3, e);
}

static int add_block(struct spt *m, int i, struct err *e)
{
    for (int half = 0; half < 2; half++) {
        struct conv_norm *w = &m->head.block[i].half[half];
        char bn[64];
        snprintf(bn, sizeof bn, "refine_head.%d.bn%d", i, half + 1);
        TRY(add(m, &w->w, START_CONV, 1, SHAPE(m->C, m->C, 3, 3), e, "refine_head.%d.conv%d.weight", i,
                half + 1));
        TRY(add_norm(m, &w->bn.norm, m->C, bn, e));
        TRY(add(m, &w->bn.mean, START_ZERO, 0, SHAPE(m->C), e, "%s.running_mean", bn));
        TRY(add(m, &w->bn.var, START_ONE, 0, SHAPE(m->C), e, "%s.running_var", bn));
    }
    return 0;
}

/* It reads what the picture's last convolution reads, `in` channels. A name of its own, not inside refine_head: a torch user adds
 * it to any network as it is. */
static int add_error_head(struct spt *m, size_t in, struct err *e)
{
    if (!m->config.error_head)
        return 0;
    return add_conv(m, &m->head.error, 1, in, 3, START_ZERO, START_SCALE, "error_head", e);
}

static int add_head(struct spt *m, struct err *e)
{
    struct head_weights *w = &m->head;
    size_t full = FULL_CHANNELS, planes = m->config.prefill == PREFILL_LINEAR ? 2 : 0;
    if (m->patch > 1)
        TRY(add_conv(m, &w->proj, m->C, m->D, 1, START_CONV, START_ZERO, "refine_head.proj", e));
    TRY(add_block(m, 0, e));
    TRY(add_block(m, 1, e));
    if (m->patch == 1) {
        TRY(add_conv(m, &w->out, 1, m->C, 3, START_ZERO, START_ZERO, "refine_head.2", e));
        return add_error_head(m, m->C, e);
    }
    TRY(add_conv(m, &w->up, full * m->patch * m->patch, m->C, 3, START_CONV, START_ZERO, "refine_head.up",
                 e));
    /* The biases of one keep these ReLUs open while the features are still noise: with zeros, and the last convolution at
     * zero, the first thing learnt is to close them all, and a closed one never opens again. */
    TRY(add_conv(m, &w->full[0], full, full + planes, 3, START_CONV, START_ONE, "refine_head.full.0", e));
    TRY(add_conv(m, &w->full[1], full, full, 3, START_CONV, START_ONE, "refine_head.full.2", e));
    TRY(add_conv(m, &w->out, 1, full, 3, START_ZERO, START_ZERO, "refine_head.out", e));
    return add_error_head(m, full, e);
}

static int build_table(struct spt *m, struct err *e)
{
    TRY(add_linear(m, &m->pixel_embed, m->D, 3, "pixel_embed", e));
    TRY(add_linear(m, &m->state_linear, m->D, m->S, "state_encoder.linear", e));
    TRY(add_norm(m, &m->state_norm, m->D, "state_encoder.norm", e));
    TRY(add(m, &m->freqs, START_FREQUENCIES, 0, SHAPE(m->D / 4), e, "pos_encoder.freqs"));
    for (size_t i = 0; i < m->encoder_layers; i++)
        TRY(add_encoder_layer(m, i, e));
    if (m->config.skip) {
        TRY(add_linear(m, &m->skip_linear, m->D, m->D, "skip_proj.0", e));
        TRY(add_norm(m, &m->skip_norm, m->D, "skip_proj.2", e));
    }
    for (size_t i = 0; i < m->decoder_layers; i++)
        TRY(add_decoder_layer(m, i, e));
    return add_head(m, e);
}

int parameters_create(struct spt *m, struct err *e)
{
    TRY(mem_alloc(&m->encoder, m->encoder_layers, sizeof *m->encoder, "encoder layers", e));
    TRY(mem_alloc(&m->decoder, m->decoder_layers, sizeof *m->decoder, "decoder layers", e));
    TRY(build_table(m, e));
    TRY(m->ops->alloc(m->ctx, (void **)&m->parameters, m->parameter_count * sizeof(float), e));
    TRY(m->ops->alloc(m->ctx, (void **)&m->statistics, m->statistic_count * sizeof(float), e));
    for (size_t i = 0; i < m->tensor_count; i++)
        *m->table[i].slot =
            (m->table[i].tensor.trainable ? m->parameters : m->statistics) + m->table[i].tensor.offset;
    size_t largest = 0;
    for (size_t i = 0; i < m->tensor_count; i++)
        if (m->table[i].tensor.count > largest)
            largest = m->table[i].tensor.count;
    return mem_grow(&m->host, &m->host_capacity, largest, sizeof *m->host, "room for a parameter", e);
}

void parameters_free(struct spt *m)
{
    m->ops->free(m->ctx, m->parameters);
    m->ops->free(m->ctx, m->gradients);
    m->ops->free(m->ctx, m->statistics);
    free(m->table);
    free(m->encoder);
    free(m->decoder);
}

/* Tells the backend once of however many tensors were written since the last forward pass. */
int parameters_settle(struct spt *m, struct err *e)
{
    if (!m->written)
        return 0;
    TRY(m->ops->parameters_changed(m->ctx, m->parameters, m->parameter_count, e));
    m->written = 0;
    return 0;
}

int gradients_take(struct spt *m, struct err *e)
{
    if (m->gradients)
        return 0;
    return m->ops->alloc(m->ctx, (void **)&m->gradients, m->parameter_count * sizeof(float), e);
}

/* torch.logspace(0, log10(max_freq), n): the end is rounded to float32, powers are taken in double, from both ends
 * towards the middle. */
static void frequencies(float *out, size_t n, double max_freq)
{
    double end = (double)(float)log10(max_freq), step = n > 1 ? end / (double)(n - 1) : 0;
    for (size_t i = 0; i < n; i++)
        out[i] = (float)pow(10, i < n / 2 || n == 1 ? step * (double)i : end - step * (double)(n - 1 - i));
}

/* Normal of this deviation, drawn again beyond two of them. */
static double truncated(struct philox *p, double deviation)
{
    double z = philox_normal(p);
    while (fabs(z) > 2)
        z = philox_normal(p);
    return z * deviation;
}

static void fill_start(const struct spt *m, const struct spt_tensor *t, enum start start, struct philox *p,
                       float *out)
{
    double xavier = sqrt(6.0 / (double)(t->shape[0] + t->shape[1]));
    double kaiming = t->dims == 4 ? sqrt(2.0 / (double)(t->shape[0] * t->shape[2] * t->shape[3])) : 0;
    if (start == START_FREQUENCIES) {
        frequencies(out, t->count, m->config.max_freq);
        return;
    }
    for (size_t i = 0; i < t->count; i++)
        switch (start) {
        case START_ONE:
            out[i] = 1;
            break;
        case START_SCALE: /* softplus(-3) = .049, what an untrained network errs by */
            out[i] = -3;
            break;
        case START_LINEAR:
            out[i] = (float)truncated(p, 0.02);
            break;
        case START_XAVIER:
            out[i] = (float)((2 * philox_uniform(p) - 1) * xavier);
            break;
        case START_CONV:
            out[i] = (float)(philox_normal(p) * kaiming);
            break;
        default:
            out[i] = 0;
        }
}

void spt_init_weights(struct spt *m, uint64_t seed)
{
    for (size_t i = 0; i < m->tensor_count; i++) {
        struct philox p;
        philox_init(&p, seed, philox_stream(STREAM_INIT, i, 0));
        fill_start(m, &m->table[i].tensor, m->table[i].start, &p, m->host);
        spt_set_parameter(m, i, m->host);
    }
}

size_t spt_tensor_count(const struct spt *m)
{
    return m->tensor_count;
}

const struct spt_tensor *spt_tensor_at(const struct spt *m, size_t i)
{
    return &m->table[i].tensor;
}

const struct spt_tensor *spt_tensor_find(const struct spt *m, const char *name)
{
    for (size_t i = 0; i < m->tensor_count; i++)
        if (!strcmp(m->table[i].tensor.name, name))
            return &m->table[i].tensor;
    return NULL;
}

void spt_set_parameter(struct spt *m, size_t i, const float *values)
{
    m->ops->upload(m->ctx, *m->table[i].slot, values, m->table[i].tensor.count * sizeof(float));
    m->version++;
    m->written = 1;
}

void spt_get_parameter(struct spt *m, size_t i, float *values)
{
    m->ops->download(m->ctx, values, *m->table[i].slot, m->table[i].tensor.count * sizeof(float));
}

void spt_get_gradient(struct spt *m, size_t i, float *values)
{
    const struct spt_tensor *t = &m->table[i].tensor;
    if (t->trainable && m->gradients)
        m->ops->download(m->ctx, values, m->gradients + t->offset, t->count * sizeof(float));
    else
        memset(values, 0, t->count * sizeof(float));
}

void spt_zero_gradients(struct spt *m)
{
    if (m->gradients)
        m->ops->zero(m->ctx, m->gradients, m->parameter_count * sizeof(float));
}

size_t spt_parameter_count(const struct spt *m)
{
    return m->parameter_count;
}

float *spt_parameters(struct spt *m)
{
    m->written = 1;
    return spt_parameters_for_adamw(m);
}

float *spt_parameters_for_adamw(struct spt *m)
{
    m->version++;
    return m->parameters;
}

float *spt_gradients(struct spt *m)
{
    struct err e;
    return gradients_take(m, &e) ? NULL : m->gradients;
}
