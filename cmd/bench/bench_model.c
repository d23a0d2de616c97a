/* The network: a reconstruction as sgaps-reconstruct makes it, and a step of training. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/philox.h"
#include "bench.h"
#include "conf/conf.h"
#include "io/checkpoint.h"
#include "recon/pack.h"
#include "recon/recon.h"
#include "train/optimizer.h"

/* A model with random weights or a checkpoint's, and frames of random samples. */
struct subject {
    struct op_ctx ctx;
    struct spt *model;
    struct recon *recon;
    uint32_t W, H;
    size_t B, n;
    float *uv, *state, *out;
    uint8_t *value;
    struct recon_frame *frames;
    /* training */
    struct config config;
    struct recon_arrays arrays;
    struct optimizer optimizer;
    float *target; /* device */
    uint64_t step;
};

static int load_model(struct bench *b, struct subject *s, struct err *e)
{
    if (!strchr(b->model, '/') && !strchr(b->model, '.')) {
        struct model_config config;
        int code = config_preset_model(&config, b->model, e);
        if (!code)
            code = spt_create(&s->model, &config, &s->ctx, e);
        if (!code)
            spt_init_weights(s->model, b->seed);
        return code;
    }
    struct checkpoint c;
    int code = checkpoint_read(&c, b->model, 0, e);
    if (code)
        return code;
    code = recon_load(&s->model, &c, &s->ctx, e);
    checkpoint_release(&c);
    return code;
}

static int make_frames(struct bench *b, struct subject *s, struct err *e)
{
    const struct model_config *config = spt_config(s->model);
    size_t total = s->B * s->n, S = config->max_state_dim;
    struct philox draw;
    int code = mem_alloc(&s->uv, total * 2, sizeof *s->uv, "samples", e);
    if (!code)
        code = mem_alloc(&s->value, total, 1, "samples", e);
    if (!code)
        code = mem_alloc(&s->state, s->B * S, sizeof *s->state, "state", e);
    if (!code)
        code = mem_alloc(&s->out, s->B * s->W * s->H, sizeof *s->out, "frames", e);
    if (!code)
        code = mem_alloc(&s->frames, s->B, sizeof *s->frames, "frames", e);
    if (code)
        return code;
    philox_init(&draw, b->seed, 1);
    for (size_t i = 0; i < total; i++) {
        s->uv[2 * i] = ((float)philox_below(&draw, s->W) + 0.5f) / (float)s->W;
        s->uv[2 * i + 1] = ((float)philox_below(&draw, s->H) + 0.5f) / (float)s->H;
        s->value[i] = (uint8_t)philox_below(&draw, 256);
    }
    for (size_t i = 0; i < s->B * S; i++)
        s->state[i] = (float)philox_normal(&draw);
    for (size_t f = 0; f < s->B; f++)
        s->frames[f] = (struct recon_frame){.n = s->n,
                                            .uv = s->uv + 2 * f * s->n,
                                            .value = s->value + f * s->n,
                                            .state = s->state + f * S,
                                            .state_n = S,
                                            .sentinel = -999};
    return 0;
}

static void subject_close(struct subject *s)
{
    if (s->optimizer.exp_avg)
        optimizer_release(&s->optimizer);
    recon_arrays_release(&s->arrays);
    if (s->target)
        s->ctx.ops->free(&s->ctx, s->target);
    recon_close(s->recon);
    if (s->model)
        spt_free(s->model);
    op_close(&s->ctx);
    config_release(&s->config);
    free(s->uv);
    free(s->value);
    free(s->state);
    free(s->out);
    free(s->frames);
}

static int subject_open(struct bench *b, struct subject *s, struct err *e)
{
    memset(s, 0, sizeof *s);
    config_init(&s->config);
    s->B = b->batch;
    int code = op_open(&s->ctx, b->device, b->threads, b->precision, e);
    if (!code)
        code = load_model(b, s, e);
    if (!code) {
        const struct model_config *config = spt_config(s->model);
        s->W = b->W ? b->W : config->resolution[1];
        s->H = b->H ? b->H : config->resolution[0];
        s->n = b->samples;
        if (s->n > (size_t)s->W * s->H)
            code = err_set(e, ERR_USAGE, "-n %zu: a frame of %ux%u has %zu pixels", s->n, s->W, s->H,
                           (size_t)s->W * s->H);
    }
    if (!code)
        code = make_frames(b, s, e);
    if (code)
        subject_close(s);
    return code;
}

static struct result subject_result(const struct bench *b, const struct subject *s, const char *bench,
                                    double passes)
{
    struct result r = {.bench = bench, .items = (double)s->B, .unit = "frames/s", .size = s->n};
    const char *slash = strrchr(b->model, '/');
    snprintf(r.name, sizeof r.name, "%s %ux%u, %zu samples, batch %zu", slash ? slash + 1 : b->model, s->W,
             s->H, s->n, s->B);
    r.flops = passes * (double)s->B * spt_flops(spt_config(s->model), s->H, s->W, s->n);
    return r;
}

static int reconstruct(void *user, struct err *e)
{
    struct subject *s = user;
    return recon_run(s->recon, s->frames, s->B, s->W, s->H, s->out, RECON_IMPORTANCE_NONE, NULL, e);
}

int bench_infer(struct bench *b, struct err *e)
{
    struct subject s;
    int code = subject_open(b, &s, e);
    if (code)
        return code;
    code = recon_wrap_model(&s.recon, s.model, e);
    if (!code)
        code = bench_measure(b, subject_result(b, &s, "infer", 1), reconstruct, &s, e);
    subject_close(&s);
    return code;
}

/* Forward with dropout, l1 loss on whole frames, backward, AdamW: what sgaps-train does once a batch is there. */
static int train_step(void *user, struct err *e)
{
    struct subject *s = user;
    const struct op_table *ops = s->ctx.ops;
    const struct spt_options options = {.train = 1, .seed = 1, .step = ++s->step, .importance = -1};
    struct spt_batch batch = recon_arrays_batch(&s->arrays);
    double loss = 0;
    spt_zero_gradients(s->model);
    int code = spt_forward(s->model, &batch, &options, e);
    if (!code)
        code = ops->loss_pixels(&s->ctx, OP_LOSS_L1, s->B * s->W * s->H, 1, spt_output(s->model), s->target,
                                &loss, spt_output_gradient(s->model), e);
    if (!code)
        code = spt_backward(s->model, e);
    if (!code)
        optimizer_update(&s->optimizer, 1e-4, optimizer_norm(&s->optimizer));
    return code ? code : ops->check(&s->ctx, e);
}

static int prepare_training(struct subject *s, struct err *e)
{
    const struct model_config *config = spt_config(s->model);
    struct recon_batch_sizes sizes = {.B = s->B,
                                      .N = s->n,
                                      .S = config->max_state_dim,
                                      .H = s->H,
                                      .W = s->W,
                                      .prefill = config->prefill == PREFILL_LINEAR};
    size_t pixels = s->B * s->W * s->H;
    spt_padded(s->model, s->H, s->W, &sizes.Hp, &sizes.Wp);
    int code = recon_arrays_size(&s->arrays, &sizes, e);
    for (size_t f = 0; f < s->B && !code; f++) {
        const struct recon_frame *frame = s->frames + f;
        code = recon_arrays_samples(&s->arrays, f, frame->uv, frame->value, frame->n, NULL, e);
        if (!code)
            code = recon_arrays_state(&s->arrays, f, frame->state, frame->state_n, frame->sentinel, e);
    }
    if (!code)
        code = s->ctx.ops->alloc(&s->ctx, (void **)&s->target, pixels * sizeof(float), e);
    if (!code)
        code = optimizer_init(&s->optimizer, s->model, &s->ctx, &s->config.training, e);
    return code;
}

int bench_train(struct bench *b, struct err *e)
{
    struct subject s;
    int code = subject_open(b, &s, e);
    if (code)
        return code;
    code = prepare_training(&s, e);
    if (!code)
        code = bench_measure(b, subject_result(b, &s, "train", 3), train_step, &s, e);
    subject_close(&s);
    return code;
}
