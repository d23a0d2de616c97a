/* The network by itself: finite differences, dropout, batches, caches, sizes, memory, what it refuses; spt_start.c: where it begins. The numbers are
 * held against PyTorch in tests/golden. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/philox.h"
#include "conf/conf.h"
#include "op/op.h"
#include "spt/spt.h"
#include "tap.h"

static struct model_config small_config(void)
{
    return (struct model_config){.name = "small",
                                 .embed_dim = 16,
                                 .num_heads = 2,
                                 .num_encoder_layers = 1,
                                 .num_decoder_layers = 2,
                                 .max_state_dim = 5,
                                 .max_freq = 4,
                                 .query_patch = 1,
                                 .feedforward_dim = 24,
                                 .skip_weight = 0.7};
}

enum { MOST = 1 << 16 };
struct data {
    int32_t counts[4];
    float pixels[3 * 64 * 4], state[5 * 4], mask[5 * 4], prefill[4096], target[4096];
    struct spt_batch batch;
};

static void fill_data(struct data *d, const struct spt *m, size_t B, size_t N, uint32_t H, uint32_t W,
                      uint64_t seed)
{
    struct philox p;
    philox_init(&p, seed, 1);
    uint32_t Hp, Wp;
    spt_padded(m, H, W, &Hp, &Wp);
    for (size_t i = 0; i < B * N * 3; i++)
        d->pixels[i] = (float)philox_uniform(&p);
    for (size_t i = 0; i < B * 5; i++) {
        d->state[i] = (float)philox_normal(&p);
        d->mask[i] = i % 5 != 3;
    }
    for (size_t i = 0; i < B * 2 * Hp * Wp; i++)
        d->prefill[i] = (float)philox_uniform(&p);
    for (size_t i = 0; i < B * H * W; i++)
        d->target[i] = (float)philox_uniform(&p);
    for (size_t b = 0; b < B; b++)
        d->counts[b] = (int32_t)(N - 2 * b);
    d->batch = (struct spt_batch){.B = B,
                                  .N = N,
                                  .H = H,
                                  .W = W,
                                  .counts = d->counts,
                                  .pixels = d->pixels,
                                  .state = d->state,
                                  .mask = d->mask,
                                  .prefill = d->prefill};
}

/* Every parameter away from zero, so that no gradient hides. */
static void scatter_weights(struct spt *m, uint64_t seed)
{
    static float values[MOST];
    for (size_t i = 0; i < spt_tensor_count(m); i++) {
        const struct spt_tensor *t = spt_tensor_at(m, i);
        struct philox p;
        philox_init(&p, seed, 100 + i);
        if (!t->trainable)
            continue;
        spt_get_parameter(m, i, values);
        for (size_t k = 0; k < t->count; k++)
            values[k] += (float)(0.1 * philox_normal(&p));
        spt_set_parameter(m, i, values);
    }
}

static struct spt *make(struct op_ctx *ctx, const struct model_config *c, uint64_t seed)
{
    struct err e;
    struct spt *m;
    if (spt_create(&m, c, ctx, &e)) {
        tap_diag("%s", e.text);
        exit(1);
    }
    spt_init_weights(m, seed);
    scatter_weights(m, seed);
    return m;
}

/* The squared error, and with an error head its likelihood. */
static double loss_of(struct spt *m, struct op_ctx *ctx, const struct data *d, int gradient)
{
    struct err e;
    double loss = 0;
    size_t n = d->batch.B * d->batch.H * d->batch.W;
    float *dpred = gradient ? spt_output_gradient(m) : NULL;
    ctx->ops->loss_pixels(ctx, OP_LOSS_L2, n, 1, spt_output(m), d->target, &loss, dpred, &e);
    if (spt_config(m)->error_head)
        ctx->ops->loss_nll(ctx, n, 0.5, spt_output(m), spt_raw_scale(m), d->target, &loss, dpred,
                           gradient ? spt_raw_scale_gradient(m) : NULL, &e);
    return loss;
}

static double loss_at(struct spt *m, struct op_ctx *ctx, const struct data *d, const struct spt_options *o)
{
    struct err e;
    if (spt_forward(m, &d->batch, o, &e)) {
        tap_diag("%s", e.text);
        return NAN;
    }
    return loss_of(m, ctx, d, 0);
}

/* The slope of the loss along a random direction of one tensor, by differences. */
static double slope(struct spt *m, struct op_ctx *ctx, const struct data *d, const struct spt_options *o,
                    size_t i, const float *direction, double h)
{
    static float start[MOST], moved[MOST];
    double loss[2];
    size_t n = spt_tensor_at(m, i)->count;
    spt_get_parameter(m, i, start);
    for (int side = 0; side < 2; side++) {
        for (size_t k = 0; k < n; k++)
            moved[k] = start[k] + (float)(side ? h : -h) * direction[k];
        spt_set_parameter(m, i, moved);
        loss[side] = loss_at(m, ctx, d, o);
    }
    spt_set_parameter(m, i, start);
    return (loss[1] - loss[0]) / (2 * h);
}

/* The gradient of every tensor against differences along a direction that follows it half-way. */
static void test_gradient(struct op_ctx *ctx, const struct model_config *c, uint32_t H, uint32_t W,
                          const char *what)
{
    static float gradient[MOST], direction[MOST];
    static struct data d;
    struct err e;
    struct spt_options o = {.train = 1, .seed = 3, .step = 9, .importance = -1, .scale = c->error_head};
    struct spt *m = make(ctx, c, 5);
    size_t bad = 0, seen = 0;
    fill_data(&d, m, 2, 9, H, W, 7);
    loss_at(m, ctx, &d, &o);
    loss_of(m, ctx, &d, 1);
    if (!ok(!spt_backward(m, &e), "a backward pass %s", what))
        return;
    for (size_t i = 0; i < spt_tensor_count(m); i++) {
        const struct spt_tensor *t = spt_tensor_at(m, i);
        double norm = 0, want = 0, have = 0;
        struct philox p;
        philox_init(&p, 11, i);
        spt_get_gradient(m, i, gradient);
        for (size_t k = 0; k < t->count; k++)
            norm += (double)gradient[k] * (double)gradient[k];
        norm = sqrt(norm);
        if (!t->trainable || norm < 1e-6)
            continue;
        for (size_t k = 0; k < t->count; k++) {
            double z = philox_normal(&p) / sqrt((double)t->count);
            direction[k] = (float)((double)gradient[k] / norm + 0.5 * z);
            want += (double)gradient[k] * (double)direction[k];
        }
        /* A kink of a ReLU may lie between the two points: a smaller step is then the judge. */
        for (double h = 3e-3; h > 2e-4; h /= 3) {
            have = slope(m, ctx, &d, &o, i, direction, h);
            if (fabs(have - want) <= 0.02 * fabs(want) + 2e-5)
                break;
        }
        seen++;
        if (!(fabs(have - want) <= 0.02 * fabs(want) + 2e-5)) {
            bad++;
            tap_diag("%s: gradient %.6g, differences %.6g", t->name, want, have);
        }
    }
    ok(!bad && seen > 20, "%zu gradients agree with finite differences %s", seen, what);
    spt_free(m);
}

static void test_gradients(struct op_ctx *ctx)
{
    struct model_config c = small_config();
    test_gradient(ctx, &c, 5, 6, "of the plain network");
    c.dropout = 0.3;
    test_gradient(ctx, &c, 5, 6, "under dropout");
    c.self_attention = SELF_ATTENTION_FULL;
    c.skip = 1;
    c.skip_dropout = 0.4;
    test_gradient(ctx, &c, 5, 6, "with self-attention, skip and dropout");
    c = small_config();
    c.query_patch = 2;
    c.head_width = 12;
    test_gradient(ctx, &c, 5, 7, "of patches that reach over the edge");
    c.prefill = PREFILL_LINEAR;
    c.skip = 1;
    c.dropout = 0.2;
    test_gradient(ctx, &c, 6, 5, "of patches with prefill, skip and dropout");
    c.error_head = 1;
    test_gradient(ctx, &c, 7, 5, "of patches with an error head");
    c = small_config();
    c.error_head = 1;
    test_gradient(ctx, &c, 5, 6, "of the plain network with an error head");
}

static void forward(struct spt *m, const struct spt_batch *b, int train, uint64_t step, float *out)
{
    struct err e = {0};
    struct spt_options o = {.train = train, .seed = 1, .step = step, .importance = -1};
    if (spt_forward(m, b, &o, &e) || spt_download_output(m, out, &e))
        tap_diag("%s", e.text);
}

/* What is beside the picture leaves the picture alone, to the bit, and is worked out only where it is asked for. */
static void test_error_head(struct op_ctx *ctx, struct model_config c)
{
    static float with[MOST], without[MOST], scale[MOST], one[MOST];
    static struct data d;
    struct err e = {0};
    struct spt *m, *plain;
    struct spt_options o = {.importance = -1, .scale = 1};
    const uint32_t H = 9, W = 7;
    plain = make(ctx, &c, 3);
    c.error_head = 1;
    m = make(ctx, &c, 3);
    const char *name = ctx->ops->name;
    fill_data(&d, m, 3, 12, H, W, 8);
    size_t n = 3 * H * W, last = spt_tensor_count(m) - 1;
    uint32_t Hp, Wp;
    spt_padded(m, H, W, &Hp, &Wp);
    forward(plain, &d.batch, 0, 0, without);
    ok(!spt_forward(m, &d.batch, &o, &e) && !spt_download_output(m, with, &e) &&
           !spt_download_scale(m, scale, &e),
       "%s: a pass with the scale%s", name, e.text);
    ok(!memcmp(with, without, n * sizeof *with), "%s: the picture is that without an error head", name);
    float low = scale[0], high = scale[0];
    for (size_t i = 0; i < n; i++) {
        low = fminf(low, scale[i]);
        high = fmaxf(high, scale[i]);
    }
    ok(low > OP_SCALE_LEAST && high > 1.01f * low, "%s: the scale is positive, and not everywhere the same",
       name);
    struct spt_batch single = d.batch;
    single.B = 1;
    single.N = (size_t)d.counts[2];
    single.counts = NULL;
    single.pixels = d.pixels + (size_t)2 * 12 * 3;
    single.state = d.state + 10;
    single.mask = d.mask + 10;
    single.prefill = d.prefill + (size_t)4 * Hp * Wp;
    spt_forward(m, &single, &o, &e);
    spt_download_scale(m, one, &e);
    ok(tap_distance(one, scale + 2 * H * W, H * W) < 1e-5,
       "%s: a frame alone has the scale it has in a batch", name);
    spt_get_parameter(m, last, with);
    ok(!strcmp(spt_tensor_at(m, last)->name, "error_head.bias") && spt_tensor_at(m, last)->count == 1,
       "%s: it is the last of the parameters", name);
    spt_init_weights(m, 1);
    spt_forward(m, &single, &o, &e);
    spt_download_scale(m, one, &e);
    ok(fabsf(one[0] - 0.0496f) < 1e-4f && one[0] == one[H * W - 1], "%s: untrained it says %.4f everywhere",
       name, (double)one[0]);
    ok(spt_forward(plain, &d.batch, &o, &e) == ERR_UNAVAILABLE && strstr(e.text, "error head"),
       "%s: none is asked of a network without: %s", name, e.text);
    o.train = 1;
    o.scale = 0;
    ok(!spt_forward(m, &d.batch, &o, &e) && !spt_backward(m, &e), "%s: training may leave it out", name);
    spt_get_gradient(m, last, one);
    ok(one[0] == 0, "%s: which leaves it as it is", name);
    spt_free(m);
    spt_free(plain);
}

static void test_dropout(struct op_ctx *ctx)
{
    static float a[MOST], b[MOST];
    static struct data d;
    struct model_config c = small_config();
    c.dropout = 0.5;
    struct spt *m = make(ctx, &c, 2);
    fill_data(&d, m, 2, 9, 5, 6, 7);
    size_t bytes = 2 * 5 * 6 * sizeof(float);
    forward(m, &d.batch, 1, 1, a);
    forward(m, &d.batch, 1, 1, b);
    ok(!memcmp(a, b, bytes), "%s: dropout of one step is the same again", ctx->ops->name);
    forward(m, &d.batch, 1, 2, b);
    ok(memcmp(a, b, bytes), "%s: dropout of another step is another", ctx->ops->name);
    forward(m, &d.batch, 0, 1, a);
    forward(m, &d.batch, 0, 2, b);
    ok(!memcmp(a, b, bytes), "%s: evaluation has no dropout", ctx->ops->name);
    spt_free(m);
}

/* A frame's result does not depend on who is beside it, nor on what was computed before. */
static void test_batches(struct op_ctx *ctx, const struct model_config *c, const char *what)
{
    static float all[MOST], one[MOST];
    static struct data d;
    struct spt *m = make(ctx, c, 3);
    const uint32_t H = 9, W = 7;
    double worst = 0;
    fill_data(&d, m, 3, 12, H, W, 8);
    uint32_t Hp, Wp;
    spt_padded(m, H, W, &Hp, &Wp);
    forward(m, &d.batch, 0, 0, all);
    for (size_t b = 0; b < 3; b++) {
        struct spt_batch single = d.batch;
        single.B = 1;
        single.N = (size_t)d.counts[b];
        single.counts = NULL;
        single.pixels = d.pixels + b * 12 * 3;
        single.state = d.state + b * 5;
        single.mask = d.mask + b * 5;
        single.prefill = d.prefill + b * 2 * Hp * Wp;
        forward(m, &single, 0, 0, one);
        worst = fmax(worst, tap_distance(one, all + b * H * W, H * W));
    }
    ok(worst < 1e-5, "%s: frames of a ragged batch equal single frames to %.1e %s", ctx->ops->name, worst,
       what);
    forward(m, &d.batch, 0, 0, one);
    ok(!memcmp(all, one, 3 * H * W * sizeof(float)), "%s: and the batch again, bit for bit %s",
       ctx->ops->name, what);
    spt_free(m);
}

/* Constants of a resolution and folded weights follow the parameters. */
static void test_caches(struct op_ctx *ctx)
{
    static float fresh[MOST], used[MOST], values[MOST];
    static struct data d, other;
    struct model_config c = small_config();
    c.self_attention = SELF_ATTENTION_FULL;
    struct spt *m = make(ctx, &c, 3), *n = make(ctx, &c, 4);
    fill_data(&d, m, 2, 9, 5, 6, 7);
    fill_data(&other, m, 1, 9, 8, 3, 7);
    size_t bytes = 2 * 5 * 6 * sizeof(float);
    forward(n, &d.batch, 0, 0, used);
    forward(n, &other.batch, 0, 0, used);
    forward(n, &d.batch, 0, 0, used);
    forward(m, &d.batch, 0, 0, fresh);
    ok(memcmp(used, fresh, bytes), "%s: other weights, another result", ctx->ops->name);
    for (size_t i = 0; i < spt_tensor_count(m); i++) {
        spt_get_parameter(m, i, values);
        spt_set_parameter(n, i, values);
    }
    forward(n, &d.batch, 0, 0, used);
    ok(!memcmp(used, fresh, bytes), "%s: new parameters drop what was computed from the old", ctx->ops->name);
    forward(n, &d.batch, 1, 0, used);
    forward(m, &d.batch, 1, 0, used);
    spt_free(m);
    m = make(ctx, &c, 9);
    for (size_t i = 0; i < spt_tensor_count(m); i++) {
        spt_get_parameter(n, i, values);
        spt_set_parameter(m, i, values);
    }
    forward(m, &d.batch, 0, 0, fresh);
    forward(n, &d.batch, 0, 0, used);
    ok(!memcmp(used, fresh, bytes), "%s: running statistics moved by training are in force", ctx->ops->name);
    ctx->ops->scale(ctx, spt_parameter_count(n), 1.1f, spt_parameters(n));
    forward(n, &d.batch, 0, 0, used);
    ok(memcmp(used, fresh, bytes), "%s: so are parameters changed in place", ctx->ops->name);
    spt_free(m);
    spt_free(n);
}

static void test_state(struct op_ctx *ctx)
{
    static float a[MOST], b[MOST];
    static struct data d;
    struct model_config c = small_config();
    struct spt *m = make(ctx, &c, 3);
    const float mean[5] = {1, -2, 0.5f, 9, 0}, std[5] = {2, 0.5f, 1, 3, 4};
    fill_data(&d, m, 2, 9, 5, 6, 7);
    size_t bytes = 2 * 5 * 6 * sizeof(float);
    spt_set_state_norm(m, mean, std);
    ok(spt_state_mean(m) && spt_state_std(m)[3] == 3, "state statistics are kept");
    forward(m, &d.batch, 0, 0, a);
    spt_set_state_norm(m, NULL, NULL);
    for (size_t i = 0; i < 10; i++)
        d.state[i] = (d.state[i] - mean[i % 5]) / std[i % 5];
    d.state[3] = NAN;
    forward(m, &d.batch, 0, 0, b);
    ok(!spt_state_mean(m) && !memcmp(a, b, bytes), "states are standardised, masked ones ignored");
    memset(d.mask, 0, sizeof d.mask);
    forward(m, &d.batch, 0, 0, a);
    for (size_t i = 0; i < 10; i++)
        d.state[i] = -999;
    forward(m, &d.batch, 0, 0, b);
    ok(!memcmp(a, b, bytes) && isfinite(a[0]), "frames without a state are possible");
    spt_free(m);
}

static void test_sizes(struct op_ctx *ctx)
{
    static float out[MOST], map[MOST];
    static struct data d;
    struct model_config c = small_config();
    c.query_patch = 4;
    c.head_width = 8;
    c.prefill = PREFILL_LINEAR;
    struct spt *m;
    struct err e;
    spt_create(&m, &c, ctx, &e);
    spt_init_weights(m, 1);
    uint32_t h, w;
    int bad = 0;
    for (uint32_t side = 1; side <= 13; side++) {
        fill_data(&d, m, 2, 5, side, 14 - side, side);
        struct spt_options o = {.importance = OP_IMPORTANCE_VARIANCE};
        bad |= spt_forward(m, &d.batch, &o, &e) != 0;
        spt_map_size(m, side, 14 - side, &h, &w);
        bad |= spt_download_output(m, out, &e) || spt_download_map(m, map, &e);
        uint32_t Hp = 4 * h, Wp = 4 * w;
        /* The last convolution starts at zero: the result is the first prefill plane, cropped. */
        for (uint32_t i = 0; i < 2 * side * (14 - side); i++) {
            uint32_t x = i % (14 - side), y = i / (14 - side) % side, b = i / (14 - side) / side;
            bad |= out[i] != d.prefill[b * 2 * Hp * Wp + y * Wp + x];
        }
        for (uint32_t i = 0; i < 2 * h * w; i++)
            bad |= !(map[i] >= 0 && map[i] <= 0.25f);
    }
    ok(!bad, "%s: any size runs, and an untrained network returns the prefill", ctx->ops->name);
    spt_free(m);
}

static void test_refusals(struct op_ctx *ctx)
{
    static struct data d;
    struct model_config c = small_config();
    struct err e;
    struct spt *m;
    struct spt_options o = {.importance = -1};
    c.num_heads = 3;
    ok(spt_create(&m, &c, ctx, &e) == ERR_CONFIG && strstr(e.text, "num_heads"),
       "heads that do not divide: %s", e.text);
    c = small_config();
    c.prefill = PREFILL_LINEAR;
    ok(spt_create(&m, &c, ctx, &e) == ERR_CONFIG, "prefill without patches: %s", e.text);
    c = small_config();
    m = make(ctx, &c, 1);
    fill_data(&d, m, 2, 9, 5, 6, 7);
    ok(spt_backward(m, &e) == ERR_INTERNAL, "backward without forward: %s", e.text);
    d.counts[1] = 0;
    ok(spt_forward(m, &d.batch, &o, &e) == ERR_DATA && strstr(e.text, "frame 1"), "no sample: %s", e.text);
    d.counts[1] = 10;
    ok(spt_forward(m, &d.batch, &o, &e) == ERR_DATA, "more samples than there is room for: %s", e.text);
    d.counts[1] = 9;
    d.batch.H = 0;
    ok(spt_forward(m, &d.batch, &o, &e) == ERR_DATA, "no rows: %s", e.text);
    d.batch.H = 1 << 20;
    ok(spt_forward(m, &d.batch, &o, &e) == ERR_DATA, "too many rows: %s", e.text);
    struct spt_batch huge = {.B = 4096, .N = 9, .H = 16384, .W = 16384, .pixels = d.pixels};
    ok(spt_forward(m, &huge, &o, &e) == ERR_INTERNAL && strstr(e.text, "GB"), "more than the machine has: %s",
       e.text);
    d.batch.H = 5;
    ok(!spt_forward(m, &d.batch, &o, &e), "and a good batch after all that");
    o.train = 1;
    ok(!spt_forward(m, &d.batch, &o, &e) && !spt_backward(m, &e) && spt_backward(m, &e) == ERR_INTERNAL,
       "one backward pass for each forward pass");
    spt_free(m);
}

/* Evaluation keeps one layer's activations, and only a tile of the decoder's. */
static void test_memory(struct op_ctx *ctx)
{
    static struct data d;
    struct model_config c = small_config();
    c.num_encoder_layers = c.num_decoder_layers = 6;
    struct spt *m = make(ctx, &c, 1);
    struct err e;
    struct spt_options o = {.importance = -1};
    fill_data(&d, m, 1, 9, 5, 6, 7);
    d.batch.counts = NULL;
    d.batch.H = d.batch.W = 128;
    size_t image = 128 * 128 * 16 * sizeof(float);
    ok(!spt_forward(m, &d.batch, &o, &e), "128x128 in evaluation");
    struct spt_memory use = spt_memory_use(m);
    ok(!use.gradients && use.activations < 6 * image, "takes %.1f images of D channels and no gradients",
       (double)use.activations / (double)image);
    o.train = 1;
    ok(!spt_forward(m, &d.batch, &o, &e) && !spt_backward(m, &e), "128x128 in training");
    use = spt_memory_use(m);
    ok(use.gradients >= use.parameters * 9 / 10 && use.activations > 20 * image,
       "keeps what every layer did: %.1f images", (double)use.activations / (double)image);
    spt_free(m);
}

static void test_flops(void)
{
    static const struct {
        const char *preset;
        uint32_t side;
        double giga;
    } known[] = {{"spt-base", 224, 610}, {"spt-seed", 224, 11000}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct model_config c;
        struct err e;
        config_preset_model(&c, known[i].preset, &e);
        double giga = spt_flops(&c, known[i].side, known[i].side, 500) / 1e9;
        ok(fabs(giga / known[i].giga - 1) < 0.01, "%s at %ux%u costs %.0f GFLOP", known[i].preset,
           known[i].side, known[i].side, giga);
    }
    struct model_config c;
    struct err e;
    config_preset_model(&c, "spt-fast", &e);
    c.query_patch = 4;
    double giga = spt_flops(&c, 224, 224, 500) / 1e9;
    /* By hand: encoder 1.04, decoder 4.36, head 2.40. */
    ok(fabs(giga / 7.80 - 1) < 0.01, "spt-fast with patches of 4 costs %.2f GFLOP", giga);
}

static void test_scale(void)
{
    float map[3] = {2, 4, 3}, flat[2] = {5, 5};
    spt_scale_map(map, 3);
    spt_scale_map(flat, 2);
    ok(map[0] == 0 && fabsf(map[1] - 1) < 1e-6f && fabsf(map[2] - 0.5f) < 1e-6f && flat[0] == 0 &&
           flat[1] == 0,
       "a map is scaled to 0..1, a flat one to 0");
}

int main(void)
{
    static const char *const backends[] = {"ref", "cpu"};
    struct err e;
    for (int i = 0; i < 2; i++) {
        struct op_ctx ctx;
        if (!ok(!op_open(&ctx, backends[i], 2, 0, &e), "%s opens", backends[i]))
            continue;
        struct model_config c = small_config();
        test_dropout(&ctx);
        test_batches(&ctx, &c, "");
        c.query_patch = 4;
        c.prefill = PREFILL_LINEAR;
        c.skip = 1;
        test_batches(&ctx, &c, "(patches, prefill, skip)");
        c = small_config();
        c.self_attention = SELF_ATTENTION_FULL;
        c.coordinates = COORDINATES_SEED;
        test_batches(&ctx, &c, "(self-attention)");
        test_caches(&ctx);
        test_sizes(&ctx);
        c = small_config();
        test_error_head(&ctx, c);
        c.query_patch = 4;
        c.prefill = PREFILL_LINEAR;
        test_error_head(&ctx, c);
        if (i == 0) {
            test_gradients(&ctx);
            test_state(&ctx);
            test_refusals(&ctx);
            test_memory(&ctx);
        }
        op_close(&ctx);
    }
    test_flops();
    test_scale();
    struct op_ctx ctx;
    ok(op_open(&ctx, "cuda", 1, OP_FP32, &e) == ERR_UNAVAILABLE, "%s", e.text);
    ok(op_open(&ctx, "tpu", 1, 0, &e) == ERR_UNAVAILABLE, "%s", e.text);
    return tap_done();
}
