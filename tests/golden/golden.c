/* The network against PyTorch: the golden cases below tests/golden, or those named as arguments. For every backend:
 * stages and output, entropy and importance, losses, gradients, running statistics, three AdamW steps.
 * The files that tests/reference/make_golden.py writes are read with HDF5 directly: expected.h5 is no format of ours. */
#include <glob.h>
#include <hdf5.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "op/op.h"
#include "spt/spt.h"
#include "tap.h"

struct golden {
    char name[256];
    hid_t checkpoint, recording, expected;
    struct model_config config;
    size_t B, N, H, W, S;
    int32_t *counts;
    float *pixels, *state, *mask, *target, *prefill;
    /* of loss_sampled */
    int32_t *index;
    float *value;
    uint8_t *select;
};

/* NULL: there is none of that name. */
static void *read_array(hid_t file, const char *path, hid_t type, size_t size, size_t *n, hsize_t shape[4])
{
    hsize_t dims[4] = {1, 1, 1, 1};
    char parent[256];
    snprintf(parent, sizeof parent, "%s", path);
    for (char *slash = strchr(parent, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (H5Lexists(file, parent, H5P_DEFAULT) <= 0)
            return NULL;
        *slash = '/';
    }
    if (H5Lexists(file, path, H5P_DEFAULT) <= 0)
        return NULL;
    hid_t set = H5Dopen2(file, path, H5P_DEFAULT), space = H5Dget_space(set);
    *n = (size_t)H5Sget_simple_extent_npoints(space);
    H5Sget_simple_extent_dims(space, dims, NULL);
    void *data = malloc(*n ? *n * size : 1);
    if (!data || H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
        abort();
    H5Sclose(space);
    H5Dclose(set);
    if (shape)
        memcpy(shape, dims, sizeof dims);
    return data;
}

static float *read_floats(hid_t file, const char *path, size_t *n)
{
    return read_array(file, path, H5T_NATIVE_FLOAT, sizeof(float), n, NULL);
}

static double read_double(hid_t file, const char *path)
{
    size_t n;
    double *x = read_array(file, path, H5T_NATIVE_DOUBLE, sizeof *x, &n, NULL), y = x ? *x : NAN;
    free(x);
    return y;
}

static int read_config(struct golden *g, struct err *e)
{
    hid_t a = H5Aopen(g->checkpoint, "config", H5P_DEFAULT), type = H5Aget_type(a);
    char *json = NULL;
    H5Aread(a, type, &json);
    int code = config_model_from_json(&g->config, json, e);
    free(json);
    H5Tclose(type);
    H5Aclose(a);
    return code;
}

static void read_samples(struct golden *g)
{
    size_t n;
    uint64_t *offset =
        read_array(g->recording, "sessions/golden/samples/offset", H5T_NATIVE_UINT64, 8, &n, NULL);
    float *uv = read_floats(g->recording, "sessions/golden/samples/uv", &n);
    float *value = read_floats(g->recording, "sessions/golden/samples/value", &n);
    for (size_t b = 0; b < g->B; b++)
        if (offset[b + 1] - offset[b] > g->N)
            g->N = offset[b + 1] - offset[b];
    g->counts = calloc(g->B, sizeof *g->counts);
    g->pixels = calloc(g->B * g->N * 3, sizeof(float));
    g->index = calloc(g->B * g->N, sizeof *g->index);
    g->value = calloc(g->B * g->N, sizeof(float));
    g->select = calloc(g->B * g->N, 1);
    float w = (float)g->W, h = (float)g->H;
    for (size_t b = 0; b < g->B; b++) {
        g->counts[b] = (int32_t)(offset[b + 1] - offset[b]);
        for (size_t i = 0; i < (size_t)g->counts[b]; i++) {
            size_t at = b * g->N + i, from = offset[b] + i;
            float u = uv[2 * from], v = uv[2 * from + 1];
            int seed = g->config.coordinates == COORDINATES_SEED;
            size_t x = (size_t)(u * (seed ? w - 1 : w)), y = (size_t)(v * (seed ? h - 1 : h));
            x = x < g->W ? x : g->W - 1;
            y = y < g->H ? y : g->H - 1;
            g->pixels[3 * at] = u;
            g->pixels[3 * at + 1] = v;
            g->pixels[3 * at + 2] = value[from] / 255;
            g->index[at] = (int32_t)(y * g->W + x);
            g->value[at] = g->target[b * g->H * g->W + y * g->W + x];
            g->select[at] = 1;
        }
    }
    free(offset);
    free(uv);
    free(value);
}

static int golden_open(struct golden *g, const char *dir, struct err *e)
{
    char path[512];
    hsize_t shape[4];
    size_t n;
    memset(g, 0, sizeof *g);
    const char *slash = strrchr(dir, '/');
    snprintf(g->name, sizeof g->name, "%s", slash ? slash + 1 : dir);
    snprintf(path, sizeof path, "%s/checkpoint.h5", dir);
    g->checkpoint = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    snprintf(path, sizeof path, "%s/recording.h5", dir);
    g->recording = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    snprintf(path, sizeof path, "%s/expected.h5", dir);
    g->expected = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (g->checkpoint < 0 || g->recording < 0 || g->expected < 0)
        return err_set(e, ERR_NOINPUT, "%s: not a golden case", dir);
    int code = read_config(g, e);
    if (code)
        return code;
    g->target =
        read_array(g->recording, "sessions/golden/frames", H5T_NATIVE_FLOAT, sizeof(float), &n, shape);
    g->B = shape[0];
    g->H = shape[1];
    g->W = shape[2];
    for (size_t i = 0; i < n; i++)
        g->target[i] /= 255;
    g->state = read_array(g->recording, "sessions/golden/state", H5T_NATIVE_FLOAT, sizeof(float), &n, shape);
    g->S = shape[1];
    g->mask = malloc(n * sizeof(float));
    for (size_t i = 0; i < n; i++)
        g->mask[i] = g->state[i] != (float)g->config.sentinel_value;
    g->prefill = read_floats(g->expected, "prefill", &n);
    read_samples(g);
    return 0;
}

static void golden_close(struct golden *g)
{
    void *blocks[] = {g->counts,  g->pixels, g->state, g->mask,  g->target,
                      g->prefill, g->index,  g->value, g->select};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        free(blocks[i]);
    H5Fclose(g->checkpoint);
    H5Fclose(g->recording);
    H5Fclose(g->expected);
}

static struct spt_batch batch_of(const struct golden *g)
{
    return (struct spt_batch){.B = g->B,
                              .N = g->N,
                              .H = (uint32_t)g->H,
                              .W = (uint32_t)g->W,
                              .counts = g->counts,
                              .pixels = g->pixels,
                              .state = g->state,
                              .mask = g->mask,
                              .prefill = g->prefill};
}

/* The checkpoint's tensors into the network: names, order and sizes must agree. */
static int load(const struct golden *g, struct spt *m)
{
    int good = 1;
    for (size_t i = 0; i < spt_tensor_count(m); i++) {
        char path[160];
        size_t n = 0;
        snprintf(path, sizeof path, "model_state_dict/%s", spt_tensor_at(m, i)->name);
        float *data = read_floats(g->checkpoint, path, &n);
        if (!data || n != spt_tensor_at(m, i)->count) {
            tap_diag("%s: %zu elements in the checkpoint, %zu in the network", path, n,
                     spt_tensor_at(m, i)->count);
            good = 0;
        } else {
            spt_set_parameter(m, i, data);
        }
        free(data);
    }
    return good;
}

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
    float *want = read_floats(g->checkpoint, "model_state_dict/pos_encoder.freqs", &n),
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
    float *want = read_array(s->g->expected, path, H5T_NATIVE_FLOAT, sizeof(float), &n, shape);
    if (!want)
        return;
    double d = stage_distance(s, have, rows, columns, want, shape, !strncmp(name, "refine", 6), skip);
    s->seen++;
    if (!(d <= 1e-5)) {
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
        float *state = read_floats(s->g->expected, "eval/stages/state_token", &n), d = 0;
        for (size_t b = 0; state && b < s->g->B; b++)
            d = fmaxf(d, (float)tap_distance(have + b * (s->g->N + 1) * D, state + b * D, D));
        s->bad += !(d <= 1e-5f);
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
    float *want = read_floats(g->expected, path, &n);
    double d = want ? tap_distance(have, want, n) : NAN;
    free(want);
    if (!(d <= tolerance))
        tap_diag("%s: %.3g, at most %.0e", path, d, tolerance);
    return d <= tolerance;
}

enum { LOSSES = 3 };
static const char *const loss_names[LOSSES] = {"sampled_l2", "l2", "l1"};

/* Loss l of the network's output; its gradient into dpred, or NULL. */
static double loss_of(const struct golden *g, struct op_ctx *ctx, struct spt *m, int l, float *dpred,
                      struct err *e)
{
    const struct op_table *ops = ctx->ops;
    size_t pixels = g->B * g->H * g->W, samples = g->B * g->N;
    double loss = 0;
    void *target, *index, *value, *select;
    if (ops->alloc(ctx, &target, pixels * 4, e) || ops->alloc(ctx, &index, samples * 4, e) ||
        ops->alloc(ctx, &value, samples * 4, e) || ops->alloc(ctx, &select, samples, e))
        abort();
    ops->upload(ctx, target, g->target, pixels * 4);
    ops->upload(ctx, index, g->index, samples * 4);
    ops->upload(ctx, value, g->value, samples * 4);
    ops->upload(ctx, select, g->select, samples);
    int code = l == 0 ? ops->loss_sampled(ctx, g->B, g->N, g->H * g->W, 1, spt_output(m), index, value,
                                          select, &loss, dpred, e)
                      : ops->loss_pixels(ctx, l == 1 ? OP_LOSS_L2 : OP_LOSS_L1, pixels, 1, spt_output(m),
                                         target, &loss, dpred, e);
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
    struct spt_batch batch = batch_of(g);
    struct spt_options options = {.importance = OP_IMPORTANCE_ENTROPY};
    const char *how = stages ? "at once" : "in tiles";
    float *output = malloc(g->B * g->H * g->W * sizeof(float)),
          *map = malloc(g->B * g->H * g->W * sizeof(float));
    uint32_t h, w;
    spt_map_size(m, batch.H, batch.W, &h, &w);
    spt_on_stage(m, stages ? on_stage : NULL, &s);
    if (!ok(!spt_forward(m, &batch, &options, &e), "%s %s: forward %s%s", g->name, ctx->ops->name, how,
            e.text)) {
        free(output);
        free(map);
        return;
    }
    spt_on_stage(m, NULL, NULL);
    spt_download_output(m, output);
    spt_download_map(m, map);
    if (stages)
        ok(!s.bad, "%s %s: %zu stages within 1e-5", g->name, ctx->ops->name, s.seen);
    ok(near(g, "eval/output", output, 1e-5), "%s %s: output within 1e-5 %s", g->name, ctx->ops->name, how);
    ok(near(g, "eval/entropy", map, 1e-4), "%s %s: entropy within 1e-4 %s", g->name, ctx->ops->name, how);
    for (size_t b = 0; b < g->B; b++)
        spt_scale_map(map + b * h * w, (size_t)h * w);
    ok(near(g, "eval/importance", map, 1e-4), "%s %s: importance within 1e-4 %s", g->name, ctx->ops->name,
       how);
    for (int l = 0; l < LOSSES && !stages; l++) {
        char path[64];
        snprintf(path, sizeof path, "eval/loss/%s", loss_names[l]);
        double want = read_double(g->expected, path), have = loss_of(g, ctx, m, l, NULL, &e);
        ok(fabs(have - want) <= 1e-5 * fabs(want), "%s %s: evaluation loss %s is %.7g, torch's %.7g", g->name,
           ctx->ops->name, loss_names[l], have, want);
    }
    free(output);
    free(map);
}

int main(int argc, char **argv)
{
    char pattern[512];
    const char *root = getenv("SGAPS_ROOT"), *backends[] = {"ref", "cpu"};
    glob_t cases = {0};
    snprintf(pattern, sizeof pattern, "%s/tests/golden/*/", root ? root : ".");
    if (argc < 2)
        glob(pattern, 0, NULL, &cases);
    size_t n = argc > 1 ? (size_t)argc - 1 : cases.gl_pathc;
    ok(n > 0, "there are golden cases");
    for (size_t i = 0; i < n; i++) {
        struct golden g;
        struct err e;
        char *dir = argc > 1 ? argv[i + 1] : cases.gl_pathv[i];
        dir[strcspn(dir, "") - (dir[strlen(dir) - 1] == '/')] = 0;
        if (!ok(!golden_open(&g, dir, &e), "%s opens", dir)) {
            tap_diag("%s", e.text);
            continue;
        }
        for (int b = 0; b < 2; b++) {
            struct op_ctx ctx;
            struct spt *m;
            if (op_open(&ctx, backends[b], 0, 0, &e)) {
                tap_skip(g.name, e.text);
                continue;
            }
            if (ok(!spt_create(&m, &g.config, &ctx, &e), "%s: a network of its configuration", g.name)) {
                test_names(&g, m);
                ok(load(&g, m), "%s: the checkpoint's tensors fit", g.name);
                test_evaluation(&g, &ctx, m, 1);
                test_evaluation(&g, &ctx, m, 0);
                spt_free(m);
            }
            op_close(&ctx);
        }
        golden_close(&g);
    }
    globfree(&cases);
    return tap_done();
}
