/* What the network asks of a device that is not the host: recordings made, used and dropped; parameters told of once; what
 * fits in its memory. The device is the reference backend with a table of our own in front of it, which counts; that a
 * recording gives the numbers is tests/cuda's to show. */
#include <stdlib.h>
#include <string.h>

#include "base/philox.h"
#include "conf/model_config.h"
#include "op/op.h"
#include "spt/spt.h"
#include "tap.h"

static struct {
    int begun, ended, run, freed, norms, told, refuse;
    size_t room, floats; /* bytes that are free; floats told of last */
} seen;

static int begin(struct op_ctx *ctx, struct err *e)
{
    (void)ctx;
    (void)e;
    seen.begun++;
    return 0;
}

static int end(struct op_ctx *ctx, void **recording, struct err *e)
{
    (void)ctx;
    seen.ended++;
    *recording = seen.refuse ? NULL : malloc(1);
    return seen.refuse ? err_set(e, ERR_INTERNAL, "this device records nothing") : 0;
}

static int run(struct op_ctx *ctx, void *recording, struct err *e)
{
    (void)ctx;
    (void)e;
    seen.run += recording != NULL;
    return 0;
}

static void release(struct op_ctx *ctx, void *recording)
{
    (void)ctx;
    seen.freed++;
    free(recording);
}

static void memory(struct op_ctx *ctx, size_t *available, size_t *total)
{
    (void)ctx;
    *available = seen.room;
    *total = (size_t)1 << 40;
}

static int told(struct op_ctx *ctx, const float *p, size_t n, struct err *e)
{
    (void)ctx;
    (void)p;
    (void)e;
    seen.told++;
    seen.floats = n;
    return 0;
}

static void layer_norm(struct op_ctx *ctx, size_t rows, size_t D, size_t ldy, const act *x,
                       const float *gamma, const float *beta, act *y, float *mean, float *rstd)
{
    seen.norms++;
    op_ref.layer_norm(ctx, rows, D, ldy, x, gamma, beta, y, mean, rstd);
}

static const char *name(struct op_ctx *ctx)
{
    (void)ctx;
    return "Counting Device 3000";
}

static struct op_table table;

static void give_up(const struct err *e)
{
    printf("Bail out! %s\n", e->text);
    exit(1);
}

static void open_device(struct op_ctx *ctx)
{
    struct err e;
    memset(&seen, 0, sizeof seen);
    seen.room = (size_t)1 << 40;
    if (op_open(ctx, "ref", 1, OP_FP32, &e))
        give_up(&e);
    table = op_ref;
    table.name = "cuda";
    table.record_begin = begin;
    table.record_end = end;
    table.record_run = run;
    table.record_free = release;
    table.memory = memory;
    table.parameters_changed = told;
    table.layer_norm = layer_norm;
    table.device_name = name;
    ctx->ops = &table;
}

static struct spt *open_model(struct op_ctx *ctx)
{
    struct model_config c = {.name = "small",
                             .embed_dim = 16,
                             .num_heads = 2,
                             .num_encoder_layers = 1,
                             .num_decoder_layers = 1,
                             .max_state_dim = 3,
                             .max_freq = 4,
                             .query_patch = 1,
                             .feedforward_dim = 24,
                             .error_head = 1};
    struct spt *m;
    struct err e;
    if (spt_create(&m, &c, ctx, &e))
        give_up(&e);
    spt_init_weights(m, 1);
    return m;
}

enum { SIDE = 6, FRAMES = 4, SAMPLES = 8 };

enum { SCALE = 16 }; /* in place of a kind of importance: the error head's scale */

/* B frames of N samples; -1: refused. The output goes to out. */
static int forward(struct spt *m, size_t B, size_t N, int train, int importance, float *out)
{
    static float pixels[FRAMES * SAMPLES * 3], state[FRAMES * 3], mask[FRAMES * 3];
    struct philox draw;
    struct err e;
    philox_init(&draw, 7, 0);
    for (size_t i = 0; i < sizeof pixels / sizeof *pixels; i++)
        pixels[i] = (float)philox_uniform(&draw);
    struct spt_batch b = {
        .B = B, .N = N, .H = SIDE, .W = SIDE, .pixels = pixels, .state = state, .mask = mask};
    struct spt_options o = {
        .train = train, .importance = importance == SCALE ? -1 : importance, .scale = importance == SCALE};
    int code = spt_forward(m, &b, &o, &e);
    if (!code)
        code = spt_download_output(m, out, &e);
    if (code)
        tap_diag("%s", e.text);
    return code;
}

static void test_recordings(void)
{
    struct op_ctx ctx;
    float first[FRAMES * SIDE * SIDE], out[FRAMES * SIDE * SIDE];
    open_device(&ctx);
    struct spt *m = open_model(&ctx);
    forward(m, 1, 5, 0, -1, first);
    ok(!seen.begun && !seen.run, "a shape runs as it is the first time");
    forward(m, 1, 5, 0, -1, out);
    ok(seen.begun == 1 && seen.ended == 1 && seen.run == 1, "is recorded the second time, and run");
    ok(!memcmp(first, out, SIDE * SIDE * sizeof *out), "which gives the same");
    int norms = seen.norms;
    forward(m, 1, 5, 0, -1, out);
    ok(seen.begun == 1 && seen.run == 2 && seen.norms == norms,
       "and after that only run: no operation is called");

    forward(m, 1, 5, 0, OP_IMPORTANCE_ENTROPY, out);
    forward(m, 1, 5, 0, SCALE, out);
    forward(m, 1, 4, 0, -1, out);
    ok(seen.begun == 1 && seen.run == 2 && !seen.freed,
       "a map, the scale of the error, or other counts, are another sequence");
    forward(m, 1, 5, 0, -1, out);
    ok(seen.run == 3, "the first is still there");

    spt_set_parameter(m, 0, (float[16 * 3]){1});
    forward(m, 1, 5, 0, -1, out);
    ok(seen.freed == 1 && seen.run == 3, "new parameters drop it");
    forward(m, 1, 5, 0, -1, out);
    ok(seen.begun == 2 && seen.run == 4, "it is recorded anew");
    forward(m, 3, 5, 0, -1, out);
    ok(seen.freed == 2, "a larger arena drops it");

    forward(m, 1, 5, 0, -1, out);
    forward(m, 1, 5, 0, -1, out);
    int begun = seen.begun;
    forward(m, 1, 5, 1, -1, out);
    forward(m, 1, 5, 1, -1, out);
    forward(m, 1, 5, 1, -1, out);
    ok(seen.begun == begun, "training is not recorded");
    forward(m, 1, 5, 0, -1, out);
    ok(seen.freed == 3, "and drops it");

    for (size_t n = 1; n <= SAMPLES; n++)
        for (int twice = 0; twice < 2; twice++)
            forward(m, 2, n, 0, -1, out);
    int freed = seen.freed;
    forward(m, 1, 6, 0, -1, out);
    ok(seen.freed == freed + 1, "the ninth shape takes the place of the one not used for longest");
    spt_free(m);
    ok(seen.begun == seen.freed && seen.begun == seen.ended, "all that were made are freed, each once");
    op_close(&ctx);
}

static void ignore(void *user, const char *stage, const act *x, size_t rows, size_t columns)
{
    (void)user;
    (void)stage;
    (void)x;
    (void)rows;
    (void)columns;
}

static void test_exceptions(void)
{
    struct op_ctx ctx;
    float first[SIDE * SIDE], out[SIDE * SIDE];
    open_device(&ctx);
    struct spt *m = open_model(&ctx);
    spt_on_stage(m, ignore, NULL);
    for (int i = 0; i < 3; i++)
        forward(m, 1, 5, 0, -1, first);
    ok(!seen.begun, "nothing is recorded while stages are looked at");
    spt_on_stage(m, NULL, NULL);
    seen.refuse = 1;
    for (int i = 0; i < 4; i++)
        forward(m, 1, 5, 0, -1, out);
    ok(seen.begun == 1 && !seen.run, "a backend that cannot is asked once");
    ok(!memcmp(first, out, sizeof out), "and the result is the same");
    spt_free(m);
    op_close(&ctx);
}

static void test_parameters(void)
{
    struct op_ctx ctx;
    float out[SIDE * SIDE];
    open_device(&ctx);
    struct spt *m = open_model(&ctx);
    ok(!seen.told, "setting parameters tells the backend nothing yet");
    forward(m, 1, 5, 1, -1, out);
    ok(seen.told == 1 && seen.floats == spt_parameter_count(m), "the next forward pass tells of all at once");
    spt_parameters_for_adamw(m);
    forward(m, 1, 5, 1, -1, out);
    ok(seen.told == 1, "an update by adamw is the backend's own");
    forward(m, 1, 5, 0, -1, out);
    ok(seen.told == 2 && seen.floats < spt_parameter_count(m), "evaluation tells of the folded weights");
    forward(m, 1, 5, 0, -1, out);
    ok(seen.told == 2, "once");
    spt_parameters(m);
    forward(m, 1, 5, 0, -1, out);
    ok(seen.told == 4, "who changes parameters in place has them told again");
    spt_free(m);
    op_close(&ctx);
}

static void test_memory(void)
{
    struct op_ctx ctx;
    struct err e;
    open_device(&ctx);
    struct spt *m = open_model(&ctx);
    struct spt_batch like = {.B = 64, .N = SAMPLES, .H = 32, .W = 32};
    size_t all = spt_activation_bytes(m, &like, 1);
    like.B = 21;
    seen.room = spt_activation_bytes(m, &like, 1) + 3 * 1024 * 16 * 4 +
                spt_parameter_count(m) * sizeof(float); /* beside the arena: positions and gradients */
    like.B = 64;
    ok(all > seen.room, "64 frames take more than 21");
    ok(spt_reserve(m, &like, 1, &e) == ERR_INTERNAL &&
           strstr(e.text, "64 frames of 32x32 with 8 samples need ") &&
           strstr(e.text, "Counting Device 3000 has ") && strstr(e.text, " free: 21 frames a batch fit"),
       "what does not fit is told with what would: %s", e.text);
    like.B = 21;
    ok(!spt_reserve(m, &like, 1, &e), "and that does");
    struct spt_memory use = spt_memory_use(m);
    ok(use.gradients == spt_parameter_count(m) * sizeof(float) &&
           use.activations >= spt_activation_bytes(m, &like, 1),
       "the arenas are there before the first forward pass");
    seen.room = 0;
    ok(!spt_reserve(m, &like, 1, &e), "nothing more is asked for what is taken");
    like.H = like.W = 4096;
    like.B = 1;
    ok(spt_reserve(m, &like, 0, &e) == ERR_INTERNAL && strstr(e.text, "1 frame of 4096x4096") &&
           strstr(e.text, "smaller frames"),
       "not one: %s", e.text);
    spt_free(m);
    op_close(&ctx);
}

int main(void)
{
    test_recordings();
    test_exceptions();
    test_parameters();
    test_memory();
    return tap_done();
}
