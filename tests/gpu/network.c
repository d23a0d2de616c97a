#include "network.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/philox.h"

/* Memory of the device that grows. */
struct block {
    void *p;
    size_t bytes;
};

struct network {
    struct op_ctx ctx;
    struct err error;
    struct spt *m;
    network_stage_fn stage;
    /* what the losses compare with */
    size_t B, N, pixels;
    struct block target, index, value, select;
    struct block moment[2];              /* of AdamW */
    struct block factor, weight, result; /* of the product */
    size_t size;
};

size_t network_config_size(void)
{
    return sizeof(struct model_config);
}

size_t network_batch_size(void)
{
    return sizeof(struct spt_batch);
}

struct network *network_open(const char *device, int precision)
{
    struct network *n = calloc(1, sizeof *n);
    if (!n)
        abort();
    op_open(&n->ctx, device, 0, (enum op_precision)precision, &n->error);
    return n;
}

static void let_go(struct network *n, struct block *b)
{
    if (b->p)
        n->ctx.ops->free(&n->ctx, b->p);
    *b = (struct block){0};
}

static void drop_network(struct network *n)
{
    if (n->m)
        spt_free(n->m);
    n->m = NULL;
    let_go(n, &n->moment[0]);
    let_go(n, &n->moment[1]);
}

void network_close(struct network *n)
{
    struct block *blocks[] = {&n->target, &n->index,  &n->value, &n->select,
                              &n->factor, &n->weight, &n->result};
    drop_network(n);
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        let_go(n, blocks[i]);
    op_close(&n->ctx);
    free(n);
}

const char *network_error(const struct network *n)
{
    return n->error.text;
}

const char *network_device(struct network *n)
{
    return n->ctx.ops->device_name(&n->ctx);
}

void network_memory(struct network *n, size_t *available, size_t *total)
{
    n->ctx.ops->memory(&n->ctx, available, total);
}

struct op_ctx *network_ctx(struct network *n)
{
    return &n->ctx;
}

int network_check(struct network *n)
{
    return n->ctx.ops->check(&n->ctx, &n->error);
}

/* At least so many bytes. */
static int hold(struct network *n, struct block *b, size_t bytes)
{
    if (bytes <= b->bytes)
        return 0;
    let_go(n, b);
    int code = n->ctx.ops->alloc(&n->ctx, &b->p, bytes, &n->error);
    b->bytes = code ? 0 : bytes;
    return code;
}

int network_create(struct network *n, const struct model_config *config, uint64_t seed)
{
    drop_network(n);
    int code = spt_create(&n->m, config, &n->ctx, &n->error);
    if (!code)
        spt_init_weights(n->m, seed);
    return code;
}

size_t network_tensors(const struct network *n)
{
    return spt_tensor_count(n->m);
}

const char *network_tensor(const struct network *n, size_t i, size_t *count, int *trainable)
{
    const struct spt_tensor *t = spt_tensor_at(n->m, i);
    *count = t->count;
    *trainable = t->trainable;
    return t->name;
}

void network_set(struct network *n, size_t i, const float *values)
{
    spt_set_parameter(n->m, i, values);
}

void network_get(struct network *n, size_t i, float *values)
{
    spt_get_parameter(n->m, i, values);
}

void network_gradient(struct network *n, size_t i, float *values)
{
    spt_get_gradient(n->m, i, values);
}

double network_flops(const struct model_config *config, uint32_t H, uint32_t W, size_t N)
{
    return spt_flops(config, H, W, N);
}

int network_forward(struct network *n, const struct spt_batch *batch, int train, uint64_t seed, uint64_t step,
                    int importance)
{
    const struct spt_options options = {.train = train,
                                        .seed = seed,
                                        .step = step,
                                        .importance = importance,
                                        .scale = spt_config(n->m)->error_head};
    return spt_forward(n->m, batch, &options, &n->error);
}

int network_output(struct network *n, float *values)
{
    return spt_download_output(n->m, values, &n->error);
}

int network_map(struct network *n, float *values)
{
    return spt_download_map(n->m, values, &n->error);
}

static void hand_on(void *user, const char *name, const act *x, size_t rows, size_t columns)
{
    struct network *n = user;
    float *values = malloc(rows * columns * sizeof *values);
    if (!values)
        abort();
    n->ctx.ops->download_act(&n->ctx, values, x, rows * columns);
    n->stage(name, values, rows, columns);
    free(values);
}

void network_on_stage(struct network *n, network_stage_fn fn)
{
    n->stage = fn;
    spt_on_stage(n->m, fn ? hand_on : NULL, n);
}

static int send(struct network *n, struct block *b, const void *values, size_t bytes)
{
    int code = hold(n, b, bytes);
    if (!code)
        n->ctx.ops->upload(&n->ctx, b->p, values, bytes);
    return code;
}

int network_target(struct network *n, const struct spt_batch *batch, const float *target,
                   const int32_t *index, const float *value, const uint8_t *select)
{
    size_t samples = batch->B * batch->N;
    n->B = batch->B;
    n->N = batch->N;
    n->pixels = (size_t)batch->H * batch->W;
    int code = send(n, &n->target, target, n->B * n->pixels * sizeof *target);
    if (!code && index)
        code = send(n, &n->index, index, samples * sizeof *index);
    if (!code && index)
        code = send(n, &n->value, value, samples * sizeof *value);
    if (!code && index)
        code = send(n, &n->select, select, samples);
    return code;
}

int network_loss(struct network *n, const char *kind, int gradient, double *loss)
{
    const struct op_table *ops = n->ctx.ops;
    float *into = gradient ? spt_output_gradient(n->m) : NULL;
    *loss = 0;
    if (!strcmp(kind, "sampled_l2"))
        return ops->loss_sampled(&n->ctx, n->B, n->N, n->pixels, 1, spt_output(n->m), n->index.p, n->value.p,
                                 n->select.p, loss, into, &n->error);
    if (!strcmp(kind, "nll"))
        return ops->loss_nll(&n->ctx, n->B * n->pixels, 1, spt_output(n->m), spt_raw_scale(n->m), n->target.p,
                             loss, into, gradient ? spt_raw_scale_gradient(n->m) : NULL, &n->error);
    return ops->loss_pixels(&n->ctx, strcmp(kind, "l1") ? OP_LOSS_L2 : OP_LOSS_L1, n->B * n->pixels, 1,
                            spt_output(n->m), n->target.p, loss, into, &n->error);
}

void network_zero_gradients(struct network *n)
{
    spt_zero_gradients(n->m);
}

int network_backward(struct network *n)
{
    return spt_backward(n->m, &n->error);
}

int network_adamw(struct network *n, double lr, double weight_decay, int64_t step)
{
    const struct op_adamw a = {
        .lr = lr, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = weight_decay, .step = step};
    size_t count = spt_parameter_count(n->m), bytes = count * sizeof(float);
    for (int i = 0; i < 2; i++)
        if (hold(n, &n->moment[i], bytes))
            return n->error.code;
    if (step == 1)
        for (int i = 0; i < 2; i++)
            n->ctx.ops->zero(&n->ctx, n->moment[i].p, bytes);
    n->ctx.ops->adamw(&n->ctx, &a, count, spt_parameters_for_adamw(n->m), spt_gradients(n->m), n->moment[0].p,
                      n->moment[1].p);
    return 0;
}

static int prepare_product(struct network *n, size_t size)
{
    const size_t count = size * size;
    struct philox draw;
    float *values;
    int code = mem_alloc(&values, count, sizeof *values, "a matrix", &n->error);
    if (!code)
        code = hold(n, &n->factor, count * sizeof(float));
    if (!code)
        code = hold(n, &n->weight, count * sizeof(float));
    if (!code)
        code = hold(n, &n->result, count * sizeof(float));
    philox_init(&draw, 1, 2);
    for (size_t i = 0; i < count && !code; i++)
        values[i] = (float)philox_u32(&draw) / 4294967296.0f - 0.5f;
    if (!code) {
        n->ctx.ops->upload_act(&n->ctx, n->factor.p, values, count);
        n->ctx.ops->upload(&n->ctx, n->weight.p, values, count * sizeof(float));
        code = n->ctx.ops->parameters_changed(&n->ctx, n->weight.p, count, &n->error);
    }
    n->size = size;
    free(values);
    return code;
}

int network_product(struct network *n, size_t size)
{
    int code = size ? prepare_product(n, size) : 0;
    const struct op_linear p = {.M = n->size, .N = n->size, .K = n->size, .w = n->weight.p};
    return code ? code : n->ctx.ops->linear(&n->ctx, &p, n->factor.p, n->result.p, &n->error);
}
