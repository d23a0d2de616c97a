/* The network against PyTorch: the golden cases below tests/golden, or those named as arguments. For every backend:
 * stages and output, entropy and importance, losses, gradients, running statistics, three AdamW steps.
 * golden [-b BACKEND] [CASE...]: on ref and cpu, or on one of the backends below, "cuda fp32" for one. */
#include <glob.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cuda_case.h"
#include "golden_case.h"
#include "op/op.h"
#include "spt/spt.h"
#include "tap.h"

/* A backend, and how far from torch it may be, as ||a-b||/||b||. A loss is a small difference of two pictures, squared: their
 * rounding in bf16 weighs more in it. */
static const struct backend {
    const char *name, *device;
    enum op_precision precision;
    double output, map, loss, gradient, running, steps;
} backends[] = {
    {"ref", "ref", OP_FP32, 1e-5, 1e-4, 1e-5, 1e-4, 1e-5, 1e-2},
    {"cpu", "cpu", OP_FP32, 1e-5, 1e-4, 1e-5, 1e-4, 1e-5, 1e-2},
    {"cuda fp32", "cuda", OP_FP32, 1e-4, 1e-4, 1e-4, 1e-4, 1e-4, 1e-2},
    {"cuda bf16", "cuda", OP_BF16, 1e-2, 1e-1, 3e-2, 1e-1, 1e-2, 5e-2},
};
static const struct backend *backend; /* that is tested */

struct names {
    const struct spt *m;
    size_t n;
    int same;
};

static herr_t next_name(hid_t group, const char *name, const H5L_info_t *info, void *user)
{
    struct names *names = user;
    (void)group;
    (void)info;
    names->same &=
        names->n < spt_tensor_count(names->m) && !strcmp(name, spt_tensor_at(names->m, names->n)->name);
    names->n++;
    return 0;
}

static void test_names(const struct golden *g, struct spt *m)
{
    struct names names = {.m = m, .same = 1};
    hid_t group = H5Gopen2(g->checkpoint, "model_state_dict", H5P_DEFAULT);
    H5Literate(group, H5_INDEX_CRT_ORDER, H5_ITER_INC, NULL, next_name, &names);
    H5Gclose(group);
    ok(names.same && names.n == spt_tensor_count(m), "%s: parameters have torch's names in torch's order",
       g->name);
    size_t freqs = 0, n;
    while (strcmp(spt_tensor_at(m, freqs)->name, "pos_encoder.freqs"))
        freqs++;
    float *want = golden_floats(g->checkpoint, "model_state_dict/pos_encoder.freqs", &n),
          *have = malloc(n * sizeof(float));
    spt_init_weights(m, 1);
    spt_get_parameter(m, freqs, have);
    ok(!memcmp(have, want, n * sizeof(float)), "%s: frequencies are torch.logspace's to the bit", g->name);
    free(have);
    free(want);
}

/* --- evaluation --- */

struct stages {
    const struct golden *g;
    struct op_ctx *ctx;
    size_t seen, bad;
};

/* Rows of ours against torch's (B,T,D) tokens or (B,C,H,W) image; padding rows are nobody's business. */
static double stage_distance(const struct stages *s, const float *have, size_t rows, size_t columns,
                             const float *want, const hsize_t shape[4], int image, size_t skip)
{
    size_t B = shape[0], T = rows / B, C = image ? shape[1] : shape[2];
    double d = 0, total = 0;
    for (size_t b = 0; b < B; b++)
        for (size_t t = skip; t < T; t++)
            for (size_t c = 0; c < C; c++) {
                int tokens = !image && T == s->g->N + 1;
                size_t wanted = image ? (b * C + c) * T + t : (b * (T - skip) + t - skip) * C + c;
                double y = (double)want[wanted], x = (double)have[(b * T + t) * columns + c];
                if (tokens && t > (size_t)s->g->counts[b])
                    continue;
                d += (x - y) * (x - y);
                total += y * y;
            }
    return sqrt(d / (total > 0 ? total : 1));
}

static void compare_stage(struct stages *s, const char *name, const float *have, size_t rows, size_t columns,
                          size_t skip)
{
    char path[96];
    hsize_t shape[4];
    size_t n;
    snprintf(path, sizeof path, "eval/stages/%s", name);
    float *want = golden_shaped(s->g->expected, path, &n, shape);
    if (!want)
        return;
    double d = stage_distance(s, have, rows, columns, want, shape, !strncmp(name, "refine", 6), skip);
    s->seen++;
    if (!(d <= backend->output)) {
        s->bad++;
        tap_diag("stage %s: %.3g", name, d);
    }
    free(want);
}

static void on_stage(void *user, const char *name, const act *x, size_t rows, size_t columns)
{
    struct stages *s = user;
    float *have = malloc(rows * columns * sizeof(float));
    s->ctx->ops->download_act(s->ctx, have, x, rows * columns);
    if (!strcmp(name, "pixel_tokens")) {
        compare_stage(s, name, have, rows, columns, 1);
        size_t n, D = columns;
        float *state = golden_floats(s->g->expected, "eval/stages/state_token", &n), d = 0;
        for (size_t b = 0; state && b < s->g->B; b++)
            d = fmaxf(d, (float)tap_distance(have + b * (s->g->N + 1) * D, state + b * D, D));
        s->bad += !((double)d <= backend->output);
        free(state);
    } else {
        compare_stage(s, name, have, rows, columns, 0);
    }
    free(have);
}

/* Is have as near to the array of that name as it must be? */
static int near(const struct golden *g, const char *path, const float *have, double tolerance)
{
    size_t n;
    float *want = golden_floats(g->expected, path, &n);
    double d = want ? tap_distance(have, want, n) : NAN;
    free(want);
    if (!(d <= tolerance))
        tap_diag("%s: %.3g, at most %.0e", path, d, tolerance);
    return d <= tolerance;
}

enum { SAMPLED_L2, L2, L1, NLL, LOSSES };
static const char *const loss_names[LOSSES] = {"sampled_l2", "l2", "l1", "nll"};

/* The last is the error head's. */
static int losses_of(const struct golden *g)
{
    return g->config.error_head ? LOSSES : NLL;
}

/* Loss l of the network's output; with its gradient, where the network wants it, or without. */
static double loss_of(const struct golden *g, struct op_ctx *ctx, struct spt *m, int l, int gradient,
                      struct err *e)
{
    const struct op_table *ops = ctx->ops;
    size_t pixels = g->B * g->H * g->W, samples = g->B * g->N;
    double loss = 0;
    float *dpred = gradient ? spt_output_gradient(m) : NULL;
    void *target, *index, *value, *select;
    if (ops->alloc(ctx, &target, pixels * 4, e) || ops->alloc(ctx, &index, samples * 4, e) ||
        ops->alloc(ctx, &value, samples * 4, e) || ops->alloc(ctx, &select, samples, e))
        abort();
    ops->upload(ctx, target, g->target, pixels * 4);
    ops->upload(ctx, index, g->index, samples * 4);
    ops->upload(ctx, value, g->value, samples * 4);
    ops->upload(ctx, select, g->select, samples);
    int code;
    if (l == SAMPLED_L2)
        code = ops->loss_sampled(ctx, g->B, g->N, g->H * g->W, 1, spt_output(m), index, value, select, &loss,
                                 dpred, e);
    else if (l == NLL)
        code = ops->loss_nll(ctx, pixels, 1, spt_output(m), spt_raw_scale(m), target, &loss, dpred,
                             gradient ? spt_raw_scale_gradient(m) : NULL, e);
    else
        code = ops->loss_pixels(ctx, l == L2 ? OP_LOSS_L2 : OP_LOSS_L1, pixels, 1, spt_output(m), target,
                                &loss, dpred, e);
    ops->free(ctx, target);
    ops->free(ctx, index);
    ops->free(ctx, value);
    ops->free(ctx, select);
    return code ? NAN : loss;
}

static void test_evaluation(const struct golden *g, struct op_ctx *ctx, struct spt *m, int stages)
{
    struct err e = {0};
    struct stages s = {.g = g, .ctx = ctx};
    struct spt_batch batch = golden_batch(g);
    struct spt_options options = {.importance = OP_IMPORTANCE_ENTROPY, .scale = g->config.error_head};
    const char *how = stages ? "at once" : "in tiles";
    float *output = malloc(g->B * g->H * g->W * sizeof(float)),
          *map = malloc(g->B * g->H * g->W * sizeof(float));
    uint32_t h, w;
    spt_map_size(m, batch.H, batch.W, &h, &w);
    spt_on_stage(m, stages ? on_stage : NULL, &s);
    if (!ok(!spt_forward(m, &batch, &options, &e), "%s %s: forward %s%s", g->name, backend->name, how,
            e.text)) {
        free(output);
        free(map);
        return;
    }
    spt_on_stage(m, NULL, NULL);
    if (spt_download_output(m, output, &e) || spt_download_map(m, map, &e))
        tap_diag("%s", e.text);
    if (stages)
        ok(!s.bad, "%s %s: %zu stages within %.0e", g->name, backend->name, s.seen, backend->output);
    ok(near(g, "eval/output", output, backend->output), "%s %s: output within %.0e %s", g->name,
       backend->name, backend->output, how);
    ok(near(g, "eval/entropy", map, backend->map), "%s %s: entropy within %.0e %s", g->name, backend->name,
       backend->map, how);
    for (size_t b = 0; b < g->B; b++)
        spt_scale_map(map + b * h * w, (size_t)h * w);
    ok(near(g, "eval/importance", map, backend->map), "%s %s: importance within %.0e %s", g->name,
       backend->name, backend->map, how);
    if (options.scale) {
        if (spt_download_scale(m, output, &e))
            tap_diag("%s", e.text);
        ok(near(g, "eval/scale", output, backend->output), "%s %s: scale of the error within %.0e %s",
           g->name, backend->name, backend->output, how);
    }
    for (int l = 0; l < losses_of(g) && !stages; l++) {
        char path[64];
        snprintf(path, sizeof path, "eval/loss/%s", loss_names[l]);
        double want = golden_number(g->expected, path), have = loss_of(g, ctx, m, l, 0, &e);
        ok(fabs(have - want) <= backend->loss * fabs(want), "%s %s: evaluation loss %s is %.7g, torch's %.7g",
           g->name, backend->name, loss_names[l], have, want);
    }
    free(output);
    free(map);
}

/* --- training --- */

static int train_pass(const struct golden *g, struct op_ctx *ctx, struct spt *m, int l, double *loss)
{
    struct err e = {0};
    struct spt_batch batch = golden_batch(g);
    struct spt_options options = {.train = 1, .importance = -1, .scale = l == NLL};
    spt_zero_gradients(m);
    if (spt_forward(m, &batch, &options, &e)) {
        tap_diag("%s", e.text);
        return 0;
    }
    *loss = loss_of(g, ctx, m, l, 1, &e);
    if (spt_backward(m, &e)) {
        tap_diag("%s", e.text);
        return 0;
    }
    return 1;
}

/* The key third of an in-projection's bias has no gradient in theory: held absolutely, the rest by its norm. */
static double without_key_third(const char *name, float *have, float *want, size_t n)
{
    size_t len = strlen(name), third = n / 3;
    double worst = 0;
    if (len > 12 && !strcmp(name + len - 12, "in_proj_bias")) {
        for (size_t i = third; i < 2 * third; i++) {
            worst = fmax(worst, fabs((double)have[i] - (double)want[i]));
            have[i] = want[i] = 0;
        }
    }
    return worst;
}

/* Each tensor's; in bf16, where a ReLU that tips over is a large part of a small tensor, all of them as one vector. */
static void test_gradients(const struct golden *g, struct spt *m, int l)
{
    size_t seen = 0, bad = 0;
    double off = 0, whole = 0;
    for (size_t i = 0; i < spt_tensor_count(m); i++) {
        const struct spt_tensor *t = spt_tensor_at(m, i);
        char path[160];
        size_t n;
        snprintf(path, sizeof path, "train/%s/grad/%s", loss_names[l], t->name);
        float *want = golden_floats(g->expected, path, &n), *have = malloc(t->count * sizeof(float));
        spt_get_gradient(m, i, have);
        if (want) {
            double third = without_key_third(t->name, have, want, n), d = tap_distance(have, want, n);
            int far = d > backend->gradient && backend->precision == OP_FP32;
            if (far || third > 1e-2 * backend->gradient || !isfinite(d))
                tap_diag("%s: off by %.3g; its key third by %.3g", t->name, d, third);
            bad += far || third > 1e-2 * backend->gradient || !isfinite(d);
            for (size_t k = 0; k < n; k++) {
                off += pow((double)have[k] - (double)want[k], 2);
                whole += pow((double)want[k], 2);
            }
            seen++;
        }
        free(have);
        free(want);
    }
    double d = sqrt(off / (whole > 0 ? whole : 1));
    if (seen)
        ok(!bad && d <= backend->gradient, "%s %s: gradients of %s within %.0e, all %zu of them (%.1e)",
           g->name, backend->name, loss_names[l], backend->gradient, seen, d);
}

static void test_running(const struct golden *g, struct spt *m)
{
    size_t seen = 0, bad = 0;
    for (size_t i = 0; i < spt_tensor_count(m); i++) {
        const struct spt_tensor *t = spt_tensor_at(m, i);
        char path[160];
        float *have = malloc(t->count * sizeof(float));
        snprintf(path, sizeof path, "train/running/%s", t->name);
        if (strstr(t->name, "running")) {
            spt_get_parameter(m, i, have);
            seen++;
            bad += !near(g, path, have, backend->running);
        }
        free(have);
    }
    ok(seen == 8 && !bad, "%s %s: running statistics within %.0e", g->name, backend->name, backend->running);
}

static void test_training(const struct golden *g, struct op_ctx *ctx, struct spt *m, int first)
{
    for (int l = first; l < losses_of(g); l++) {
        char path[64];
        double loss = NAN;
        golden_load(g, m);
        if (!ok(train_pass(g, ctx, m, l, &loss), "%s %s: a training pass of %s", g->name, backend->name,
                loss_names[l]))
            continue;
        snprintf(path, sizeof path, "train/%s/loss", loss_names[l]);
        double want = golden_number(g->expected, path);
        ok(fabs(loss - want) <= backend->loss * fabs(want), "%s %s: training loss %s is %.7g, torch's %.7g",
           g->name, backend->name, loss_names[l], loss, want);
        test_gradients(g, m, l);
    }
    test_running(g, m);
}

/* Three steps as torch.optim.AdamW takes them, then the output in evaluation. */
static void test_adamw(const struct golden *g, struct op_ctx *ctx, struct spt *m, int l)
{
    struct err e = {0};
    size_t n = spt_parameter_count(m), curve_n;
    char path[64];
    void *first, *second;
    double loss = NAN;
    int good = !ctx->ops->alloc(ctx, &first, n * sizeof(float), &e) &&
               !ctx->ops->alloc(ctx, &second, n * sizeof(float), &e);
    snprintf(path, sizeof path, "adamw/%s/loss", loss_names[l]);
    float *curve = golden_floats(g->expected, path, &curve_n);
    golden_load(g, m);
    for (int64_t step = 1; good && step <= (int64_t)curve_n; step++) {
        struct op_adamw a = {
            .lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.01, .step = step};
        good = train_pass(g, ctx, m, l, &loss);
        ctx->ops->adamw(ctx, &a, n, spt_parameters(m), spt_gradients(m), first, second);
        if (!(fabs(loss - (double)curve[step - 1]) <= backend->steps * fabs((double)curve[step - 1]))) {
            tap_diag("step %d: loss %.7g, torch's %.7g", (int)step, loss, (double)curve[step - 1]);
            good = 0;
        }
    }
    struct spt_batch batch = golden_batch(g);
    struct spt_options options = {.importance = -1};
    float *output = malloc(g->B * g->H * g->W * sizeof(float));
    good = good && !spt_forward(m, &batch, &options, &e);
    good = good && !spt_download_output(m, output, &e);
    snprintf(path, sizeof path, "adamw/%s/output", loss_names[l]);
    ok(good && near(g, path, output, backend->steps),
       "%s %s: output after three AdamW steps on %s within %.0e", g->name, backend->name, loss_names[l],
       backend->steps);
    free(output);
    free(curve);
    ctx->ops->free(ctx, first);
    ctx->ops->free(ctx, second);
}

static void test_backend(const struct golden *g)
{
    struct op_ctx ctx;
    struct spt *m;
    struct err e = {0};
    if (op_open(&ctx, backend->device, 0, backend->precision, &e)) {
        tap_skip(g->name, e.text);
        return;
    }
    if (ok(!spt_create(&m, &g->config, &ctx, &e), "%s: a network of its configuration", g->name)) {
        test_names(g, m);
        ok(golden_load(g, m), "%s: the checkpoint's tensors fit", g->name);
        test_evaluation(g, &ctx, m, 1);
        test_evaluation(g, &ctx, m, 0);
        /* The reference and the emulated device are slow: of a large case they take one training pass, the last, and
         * no steps. */
        int slow = backend == backends || (!strcmp(backend->device, "cuda") && cuda_case_emulated());
        int large = slow && g->H * g->W > 1024;
        test_training(g, &ctx, m, large ? losses_of(g) - 1 : 0);
        for (int l = 0; l < losses_of(g) && !large; l++)
            test_adamw(g, &ctx, m, l);
        spt_free(m);
    }
    op_close(&ctx);
}

static void test_case(char *dir, const char *only)
{
    struct golden g;
    struct err e = {0};
    dir[strlen(dir) - (dir[strlen(dir) - 1] == '/')] = 0;
    if (!ok(!golden_open(&g, dir, &e), "%s opens", dir)) {
        tap_diag("%s", e.text);
        return;
    }
    for (backend = backends; backend < backends + sizeof backends / sizeof *backends; backend++)
        if (only ? !strcmp(only, backend->name) : strcmp(backend->device, "cuda") != 0)
            test_backend(&g);
    golden_close(&g);
}

int main(int argc, char **argv)
{
    char pattern[512];
    const char *root = getenv("SGAPS_ROOT"), *only = NULL;
    struct err e;
    glob_t cases = {0};
    if (argc > 2 && !strcmp(argv[1], "-b")) {
        only = argv[2];
        argc -= 2;
        argv += 2;
        cuda_case_device(&e); /* or each case says that there is none */
    }
    snprintf(pattern, sizeof pattern, "%s/tests/golden/*/", root ? root : ".");
    if (argc < 2)
        glob(pattern, 0, NULL, &cases);
    size_t n = argc > 1 ? (size_t)argc - 1 : cases.gl_pathc;
    ok(n > 0, "there are golden cases");
    for (size_t i = 0; i < n; i++)
        test_case(argc > 1 ? argv[i + 1] : cases.gl_pathv[i], only);
    globfree(&cases);
    return tap_done();
}
