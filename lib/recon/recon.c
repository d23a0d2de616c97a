#include "recon/recon_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "interp/interp.h"
#include "io/checkpoint.h"
#include "recon/pack.h"
#include "recon/recon_plans.h"
#include "recon/residual.h"

struct recon {
    enum recon_method method;
    struct spt *model;
    int owner; /* of the model and its context */
    struct op_ctx ctx;
    char *name;
    size_t device_room;
    int warned;
    struct recon_arrays arrays;
    struct recon_plans plans;
};

static const char *const method_names[] = {"model", "nearest", "linear", "natural", "thumbnail"};
static const char *const importance_names[] = {"none", "entropy", "variance", "error", "residual"};

static int find(const char *const *names, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(names[i], name))
            return (int)i;
    return -1;
}

int recon_method_by_name(const char *name)
{
    int method = find(method_names, sizeof method_names / sizeof *method_names, name);
    return method == RECON_MODEL ? -1 : method; /* a model is named by its file */
}

int recon_importance_by_name(const char *name)
{
    return find(importance_names, sizeof importance_names / sizeof *importance_names, name);
}

static int create(struct recon **r, enum recon_method method, const char *name, struct err *e)
{
    int code = mem_alloc(r, 1, sizeof **r, "a reconstruction", e);
    if (code)
        return code;
    (*r)->method = method;
    code = mem_string(&(*r)->name, name, e);
    if (code) {
        recon_close(*r);
        *r = NULL;
    }
    return code;
}

int recon_open_method(struct recon **r, enum recon_method method, struct err *e)
{
    return create(r, method, method_names[method], e);
}

int recon_wrap_model(struct recon **r, struct spt *model, struct err *e)
{
    int code = create(r, RECON_MODEL, spt_config(model)->name, e);
    if (!code)
        (*r)->model = model;
    return code;
}

int recon_open_checkpoint(struct recon **r, const struct checkpoint *c, const char *device, int threads,
                          enum op_precision precision, struct err *e)
{
    struct recon *it = NULL;
    *r = NULL;
    int code = create(&it, RECON_MODEL, c->path, e);
    if (!code)
        code = op_open(&it->ctx, device, threads, precision, e);
    if (!code) {
        it->owner = 1;
        code = recon_load(&it->model, c, &it->ctx, e);
    }
    if (!code && op_is_cuda(&it->ctx)) {
        size_t total;
        it->ctx.ops->memory(&it->ctx, &it->device_room, &total);
    }
    if (code)
        recon_close(it);
    else
        *r = it;
    return code;
}

int recon_open_model(struct recon **r, const char *path, const char *device, int threads,
                     enum op_precision precision, struct err *e)
{
    struct checkpoint c;
    *r = NULL;
    int code = checkpoint_read(&c, path, 0, e);
    if (code)
        return code;
    code = recon_open_checkpoint(r, &c, device, threads, precision, e);
    checkpoint_release(&c);
    return code;
}

void recon_close(struct recon *r)
{
    if (!r)
        return;
    if (r->owner) {
        spt_free(r->model);
        op_close(&r->ctx);
    }
    recon_arrays_release(&r->arrays);
    recon_plans_release(&r->plans);
    free(r->name);
    free(r);
}

const char *recon_name(const struct recon *r)
{
    return r->name;
}

void recon_warn_of_size(struct recon *r, uint32_t W, uint32_t H, const char *chooser)
{
    const uint32_t *own = r->model ? spt_config(r->model)->resolution : NULL;
    if (!own || r->warned || (own[0] == H && own[1] == W))
        return;
    r->warned = 1;
    log_warning("%s: was trained at %ux%u and rebuilds %ux%u here, where it knows less (%s)", r->name, own[1],
                own[0], W, H, chooser);
}

struct spt *recon_model(const struct recon *r)
{
    return r->model;
}

size_t recon_device_room(const struct recon *r)
{
    return r->device_room;
}

int recon_gains_by_batch(const struct recon *r)
{
    return !r->model || op_is_cuda(spt_context(r->model));
}

void recon_map_size(const struct recon *r, enum recon_importance kind, uint32_t W, uint32_t H, uint32_t *w,
                    uint32_t *h)
{
    *w = W;
    *h = H;
    if (r->model && (kind == RECON_IMPORTANCE_ENTROPY || kind == RECON_IMPORTANCE_VARIANCE))
        spt_map_size(r->model, H, W, h, w);
}

int recon_has_error_head(const struct recon *r)
{
    return r->model && spt_config(r->model)->error_head;
}

int recon_check_importance(const struct recon *r, enum recon_importance kind, struct err *e)
{
    if (!r->model && kind != RECON_IMPORTANCE_NONE && kind != RECON_IMPORTANCE_RESIDUAL)
        return err_set(e, ERR_USAGE, "importance %s comes from a model, %s is none (residual needs no model)",
                       importance_names[kind], r->name);
    if (kind == RECON_IMPORTANCE_ERROR && !recon_has_error_head(r))
        return err_set(e, ERR_UNAVAILABLE,
                       "importance error: %s has no error head: take entropy, variance or residual, or train "
                       "with model.error_head=true",
                       r->name);
    return 0;
}

static int check_frame(const struct recon_frame *f, size_t b, struct err *e)
{
    if (!f->n || !f->uv || !f->value)
        return err_set(e, ERR_DATA, "frame %zu of the batch has no samples: at least one is needed", b);
    if (f->n > INT32_MAX / 4)
        return err_set(e, ERR_DATA, "frame %zu of the batch has %zu samples: too many", b, f->n);
    return 0;
}

static int check_frames(const struct recon_frame *frames, size_t B, struct err *e)
{
    int code = 0;
    for (size_t b = 0; b < B && !code; b++)
        code = check_frame(&frames[b], b, e);
    return code;
}

/* The first error of frames that threads work on. */
static void keep_first(struct err *first, const struct err *mine)
{
#pragma omp critical(recon_error)
    if (!first->code)
        *first = *mine;
}

/* Plans of B frames' coordinates; free() *plans. */
static int plan_frames(struct recon *r, const struct recon_frame *frames, size_t B, uint32_t W, uint32_t H,
                       int distances, const struct interp_plan ***plans, struct err *e)
{
    const float **uv = NULL;
    size_t *counts = NULL;
    int code = mem_alloc(plans, B, sizeof **plans, "triangulations", e);
    if (!code)
        code = mem_alloc(&uv, B, sizeof *uv, "triangulations", e);
    if (!code)
        code = mem_alloc(&counts, B, sizeof *counts, "triangulations", e);
    for (size_t b = 0; b < B && !code; b++) {
        uv[b] = frames[b].uv;
        counts[b] = frames[b].n;
    }
    if (!code)
        code = recon_plans_get(&r->plans, uv, counts, B, W, H, distances, *plans, e);
    free(uv);
    free(counts);
    return code;
}

static int run_classical(enum recon_method method, const struct recon_frame *f,
                         const struct interp_plan *plan, uint32_t W, uint32_t H, float *out, struct err *e)
{
    if (method == RECON_THUMBNAIL) {
        if (!f->truth)
            return err_set(e, ERR_DATA, "thumbnail is made from the full frame: there is none");
        return interp_thumbnail(f->truth, f->n, W, H, out, e);
    }
    float *value;
    int r = mem_alloc(&value, f->n, sizeof *value, "sample values", e);
    if (r)
        return r;
    for (size_t i = 0; i < f->n; i++)
        value[i] = (float)f->value[i] / 255.0f;
    if (method == RECON_NEAREST)
        r = interp_nearest(f->uv, value, f->n, W, H, out, NULL, NULL, e);
    else if (method == RECON_LINEAR)
        interp_plan_linear(plan, value, out);
    else
        r = interp_natural(f->uv, value, f->n, W, H, out, e);
    free(value);
    return r;
}

static int run_classical_all(struct recon *r, const struct recon_frame *frames, size_t B, uint32_t W,
                             uint32_t H, float *out, struct err *e)
{
    const struct interp_plan **plans = NULL;
    struct err first = {0};
    int code = r->method == RECON_LINEAR ? plan_frames(r, frames, B, W, H, 0, &plans, e) : 0;
    if (!code) {
#pragma omp parallel for schedule(dynamic) if (B > 1)
        for (size_t b = 0; b < B; b++) {
            struct err mine;
            if (run_classical(r->method, &frames[b], plans ? plans[b] : NULL, W, H, out + b * W * H, &mine))
                keep_first(&first, &mine);
        }
    }
    free(plans);
    if (first.code)
        *e = first;
    return code ? code : first.code;
}

static int pack(struct recon *r, const struct recon_frame *frames, size_t B, uint32_t W, uint32_t H,
                struct err *e)
{
    const struct model_config *config = spt_config(r->model);
    struct recon_batch_sizes s = {
        .B = B, .S = config->max_state_dim, .H = H, .W = W, .prefill = config->prefill != PREFILL_NONE};
    const struct interp_plan **plans = NULL;
    struct err first = {0};
    spt_padded(r->model, H, W, &s.Hp, &s.Wp);
    for (size_t b = 0; b < B; b++)
        s.N = frames[b].n > s.N ? frames[b].n : s.N;
    int code = recon_arrays_size(&r->arrays, &s, e);
    for (size_t b = 0; b < B && !code; b++)
        code = recon_arrays_state(&r->arrays, b, frames[b].state, frames[b].state_n, frames[b].sentinel, e);
    if (!code && s.prefill)
        code = plan_frames(r, frames, B, W, H, 1, &plans, e);
    if (!code) {
#pragma omp parallel for schedule(dynamic) if (B > 1 && s.prefill)
        for (size_t b = 0; b < B; b++) {
            const struct recon_frame *f = &frames[b];
            struct err mine;
            if (recon_arrays_samples(&r->arrays, b, f->uv, f->value, f->n, plans ? plans[b] : NULL, &mine))
                keep_first(&first, &mine);
        }
    }
    free(plans);
    if (first.code)
        *e = first;
    return code ? code : first.code;
}

static int run_model(struct recon *r, const struct recon_frame *frames, size_t B, uint32_t W, uint32_t H,
                     float *out, enum recon_importance kind, float *map, struct err *e)
{
    struct spt_options options = {.importance = -1, .scale = map && kind == RECON_IMPORTANCE_ERROR};
    if (map && kind == RECON_IMPORTANCE_ENTROPY)
        options.importance = OP_IMPORTANCE_ENTROPY;
    if (map && kind == RECON_IMPORTANCE_VARIANCE)
        options.importance = OP_IMPORTANCE_VARIANCE;
    int code = pack(r, frames, B, W, H, e);
    if (code)
        return code;
    struct spt_batch batch = recon_arrays_batch(&r->arrays);
    code = spt_forward(r->model, &batch, &options, e);
    if (code)
        return code;
    code = spt_download_output(r->model, out, e);
    if (!code && options.scale)
        code = spt_download_scale(r->model, map, e);
    return code || options.importance < 0 ? code : spt_download_map(r->model, map, e);
}

int recon_residual_maps(struct recon *r, const struct recon_frame *frames, size_t B, const uint8_t *wanted,
                        uint32_t W, uint32_t H, float *map, struct err *e)
{
    const struct interp_plan **plans = NULL;
    size_t count = (size_t)W * H;
    struct err first = {0};
    int code = plan_frames(r, frames, B, W, H, 0, &plans, e);
    if (!code) {
#pragma omp parallel for schedule(dynamic) if (B > 1)
        for (size_t b = 0; b < B; b++) {
            const struct recon_frame *f = &frames[b];
            struct err mine;
            if (wanted && !wanted[b])
                continue;
            if (recon_residual(plans[b], f->uv, f->value, f->n, W, H, map + b * count, &mine))
                keep_first(&first, &mine);
            spt_scale_map(map + b * count, count);
        }
    }
    free(plans);
    if (first.code)
        *e = first;
    return code ? code : first.code;
}

int recon_run(struct recon *r, const struct recon_frame *frames, size_t B, uint32_t W, uint32_t H, float *out,
              enum recon_importance importance, float *map, struct err *e)
{
    int code = map ? recon_check_importance(r, importance, e) : 0;
    if (!code)
        code = check_frames(frames, B, e);
    if (code || !B)
        return code;
    if (r->model)
        code = run_model(r, frames, B, W, H, out, importance, map, e);
    else
        code = run_classical_all(r, frames, B, W, H, out, e);
    if (code || !map || importance == RECON_IMPORTANCE_NONE)
        return code;
    if (importance == RECON_IMPORTANCE_RESIDUAL)
        return recon_residual_maps(r, frames, B, NULL, W, H, map, e);
    uint32_t w, h;
    recon_map_size(r, importance, W, H, &w, &h);
    for (size_t b = 0; b < B; b++)
        spt_scale_map(map + b * w * h, (size_t)w * h);
    return 0;
}

int recon_run_scale(struct recon *r, const struct recon_frame *frames, size_t B, uint32_t W, uint32_t H,
                    float *out, float *scale, struct err *e)
{
    if (!scale)
        return recon_run(r, frames, B, W, H, out, RECON_IMPORTANCE_NONE, NULL, e);
    int code = recon_check_importance(r, RECON_IMPORTANCE_ERROR, e);
    if (!code)
        code = check_frames(frames, B, e);
    return code || !B ? code : run_model(r, frames, B, W, H, out, RECON_IMPORTANCE_ERROR, scale, e);
}
