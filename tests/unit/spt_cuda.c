/* The network on the cuda device, emulated where there is no GPU: what a recording computes has the bits of what the
 * operations compute one by one, whatever happened in between. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/philox.h"
#include "conf/model_config.h"
#include "op/op.h"
#include "spt/spt.h"
#include "tap.h"

enum { B = 2, N = 9, H = 13, W = 10, S = 3, HP = 16, WP = 12, PIXELS = H * W };

struct inputs {
    int32_t counts[B];
    float pixels[B * N * 3], state[B * S], mask[B * S], prefill[B * 2 * HP * WP];
};

static void fill(struct inputs *in, uint64_t seed)
{
    struct philox draw;
    philox_init(&draw, seed, 0);
    for (size_t i = 0; i < B * N * 3; i++)
        in->pixels[i] = (float)philox_uniform(&draw);
    for (size_t i = 0; i < B * S; i++) {
        in->state[i] = (float)philox_normal(&draw);
        in->mask[i] = 1;
    }
    for (size_t i = 0; i < B * 2 * HP * WP; i++)
        in->prefill[i] = (float)philox_uniform(&draw);
    in->counts[0] = N;
    in->counts[1] = (int32_t)(1 + seed % (N - 1)); /* ragged, each time otherwise */
}

static struct op_table table; /* the backend's, and a count of recordings that were run */
static const struct op_table *backend;
static int replays;

static int count_run(struct op_ctx *ctx, void *recording, struct err *e)
{
    replays++;
    return backend->record_run(ctx, recording, e);
}

static struct spt *new_model(struct op_ctx *ctx)
{
    struct model_config c = {.name = "small",
                             .embed_dim = 32,
                             .num_heads = 2,
                             .num_encoder_layers = 2,
                             .num_decoder_layers = 2,
                             .max_state_dim = S,
                             .max_freq = 4,
                             .query_patch = 4,
                             .head_width = 16,
                             .feedforward_dim = 40,
                             .prefill = PREFILL_LINEAR,
                             .skip = 1,
                             .skip_weight = 0.5};
    struct spt *m;
    struct err e;
    if (spt_create(&m, &c, ctx, &e)) {
        printf("Bail out! %s\n", e.text);
        exit(1);
    }
    spt_init_weights(m, 3);
    return m;
}

static struct spt *open_model(struct op_ctx *ctx)
{
    static float values[1 << 16];
    struct philox draw;
    struct spt *m = new_model(ctx);
    philox_init(&draw, 4, 0);
    for (size_t i = 0; i < spt_tensor_count(m); i++) { /* the last convolution begins with zeros */
        const struct spt_tensor *t = spt_tensor_at(m, i);
        if (!t->trainable)
            continue;
        spt_get_parameter(m, i, values);
        for (size_t k = 0; k < t->count; k++)
            values[k] += (float)(0.1 * philox_normal(&draw));
        spt_set_parameter(m, i, values);
    }
    return m;
}

static void forward(struct spt *m, struct inputs *in, int train, float *out, float *map)
{
    struct err e = {0};
    struct spt_batch b = {.B = B,
                          .N = N,
                          .H = H,
                          .W = W,
                          .counts = in->counts,
                          .pixels = in->pixels,
                          .state = in->state,
                          .mask = in->mask,
                          .prefill = in->prefill};
    struct spt_options o = {
        .train = train, .importance = map ? OP_IMPORTANCE_ENTROPY : -1, .seed = 1, .step = 1};
    int code = spt_forward(m, &b, &o, &e);
    if (!code)
        code = spt_download_output(m, out, &e);
    if (!code && map)
        code = spt_download_map(m, map, &e);
    ok(!code, "a %s pass%s%s", train ? "training" : "forward", code ? ": " : "", e.text);
}

/* What a network that has recorded nothing makes of the inputs. */
static void plainly(struct op_ctx *ctx, struct inputs *in, float *out, float *map)
{
    struct spt *m = open_model(ctx);
    forward(m, in, 0, out, map);
    spt_free(m);
}

/* Asks the backend for more scratch memory than it had. */
static void outgrow_scratch(struct op_ctx *ctx)
{
    enum { MANY = 1 << 20 };
    void *x;
    struct err e;
    float *host = malloc(MANY * sizeof *host);
    if (ok(host && !ctx->ops->alloc(ctx, &x, MANY * sizeof(float), &e), "memory")) {
        ctx->ops->download_act(ctx, host, x, MANY);
        ctx->ops->free(ctx, x);
    }
    free(host);
}

static void test_recordings(enum op_precision precision)
{
    static const char *const names[] = {"fp32", "bf16"};
    struct op_ctx ctx;
    struct err e;
    struct inputs in;
    float out[B * PIXELS], map[B * 12], want[B * PIXELS], want_map[B * 12];
    if (!ok(!op_open(&ctx, "cuda", 1, precision, &e), "cuda, %s", names[precision]))
        return;
    backend = ctx.ops;
    table = *backend;
    table.record_run = count_run;
    ctx.ops = &table;
    replays = 0;
    struct spt *m = open_model(&ctx);
    for (uint64_t i = 0; i < 6; i++) {
        fill(&in, i);
        forward(m, &in, 0, out, map);
        plainly(&ctx, &in, want, want_map);
        ok(!memcmp(out, want, sizeof out) && !memcmp(map, want_map, sizeof map),
           "%s: pass %d, with its map, has the bits of operations one by one", names[precision], (int)i);
        if (i == 3)
            outgrow_scratch(&ctx);
        forward(m, &in, 0, out, NULL);
        ok(!memcmp(out, want, sizeof out), "%s: without the map as well", names[precision]);
    }
    /* The arena is laid out anew, and larger; the running statistics move. */
    forward(m, &in, 1, out, NULL);
    struct spt *twin = open_model(&ctx);
    forward(twin, &in, 1, out, NULL);
    forward(twin, &in, 0, want, NULL);
    for (int i = 0; i < 3; i++) {
        forward(m, &in, 0, out, NULL);
        ok(!memcmp(out, want, sizeof out), "%s: and after training", names[precision]);
    }
    spt_free(twin);
    spt_free(m);
    ok(replays == 12, "%s: of 15 passes 12 were recordings", names[precision]);
    ok(!ctx.ops->check(&ctx, &e), "%s: nothing failed on the way", names[precision]);
    op_close(&ctx);
}

/* What is interpolated passes through as it is, also where the network's own numbers are bfloat16. */
static void test_prefill(enum op_precision precision)
{
    struct op_ctx ctx;
    struct err e;
    struct inputs in;
    float out[B * PIXELS];
    if (!ok(!op_open(&ctx, "cuda", 1, precision, &e), "cuda"))
        return;
    struct spt *m = new_model(&ctx);
    fill(&in, 1);
    for (int train = 0; train < 2; train++) {
        int bad = 0;
        forward(m, &in, train, out, NULL);
        for (size_t i = 0; i < B * PIXELS; i++) {
            size_t b = i / PIXELS, y = i % PIXELS / W, x = i % W;
            bad += out[i] != in.prefill[(b * 2 * HP + y) * WP + x];
        }
        ok(!bad, "%s: an untrained network returns the prefill, bit by bit", ctx.bf16 ? "bf16" : "fp32");
    }
    spt_free(m);
    op_close(&ctx);
}

int main(void)
{
    char library[4096];
    struct err e;
    snprintf(library, sizeof library, "%s/cuda/libsgaps-cuda-emulated.so", getenv("SGAPS_TESTS") ?: ".");
    if (!access("/dev/nvidiactl", F_OK) && !op_cuda_available(&e)) {
        ; /* a GPU */
    } else if (!access(library, R_OK)) {
        setenv("SGAPS_CUDA_LIBRARY", library, 1);
    } else {
        tap_skip("recordings", "no GPU, and no emulated one is built");
        return tap_done();
    }
    test_recordings(OP_FP32);
    test_recordings(OP_BF16);
    test_prefill(OP_FP32);
    test_prefill(OP_BF16);
    return tap_done();
}
