#include "recon/recon.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "interp/interp.h"
#include "io/checkpoint.h"
#include "recon/pack.h"
#include "recon/residual.h"

struct recon {
    enum recon_method method;
    struct spt *model;
    int owner; /* of the model and its context */
    struct op_ctx ctx;
    char *name;
    struct recon_arrays arrays;
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
                          int bf16, struct err *e)
{
    struct recon *it = NULL;
    *r = NULL;
    int code = create(&it, RECON_MODEL, c->path, e);
    if (!code)
        code = op_open(&it->ctx, device && strcmp(device, "auto") ? device : "cpu", threads, bf16, e);
    if (!code) {
        it->owner = 1;
        code = recon_load(&it->model, c, &it->ctx, e);
    }
    if (code)
        recon_close(it);
    else
        *r = it;
    return code;
}

int recon_open_model(struct recon **r, const char *path, const char *device, int threads, int bf16,
                     struct err *e)
{
    struct checkpoint c;
    *r = NULL;
    int code = checkpoint_read(&c, path, 0, e);
    if (code)
        return code;
    code = recon_open_checkpoint(r, &c, device, threads, bf16, e);
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
    free(r->name);
    free(r);
}

const char *recon_name(const struct recon *r)
{
    return r->name;
}

struct spt *recon_model(const struct recon *r)
{
    return r->model;
}

void recon_map_size(const struct recon *r, enum recon_importance kind, uint32_t W, uint32_t H, uint32_t *w,
                    uint32_t *h)
{
    *w = W;
    *h = H;
    if (r->model && (kind == RECON_IMPORTANCE_ENTROPY || kind == RECON_IMPORTANCE_VARIANCE))
        spt_map_size(r->model, H, W, h, w);
}

static int check_importance(const struct recon *r, enum recon_importance kind, struct err *e)
{
    if (kind == RECON_IMPORTANCE_ERROR)
        return err_set(e, ERR_UNAVAILABLE, "importance error: %s has no error head", r->name);
    if (!r->model && (kind == RECON_IMPORTANCE_ENTROPY || kind == RECON_IMPORTANCE_VARIANCE))
        return err_set(e, ERR_USAGE,
                       "importance %s comes from a model's attention: %s has none (residual needs no model)",
                       importance_names[kind], r->name);
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

static int run_classical(enum recon_method method, const struct recon_frame *f, uint32_t W, uint32_t H,
                         float *out, struct err *e)
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
        r = interp_linear(f->uv, value, f->n, W, H, out, e);
    else
        r = interp_natural(f->uv, value, f->n, W, H, out, e);
    free(value);
    return r;
}

static int pack(struct recon *r, const struct recon_frame *frames, size_t B, uint32_t W, uint32_t H,
                struct err *e)
{
    const struct model_config *config = spt_config(r->model);
    struct recon_batch_sizes s = {
        .B = B, .S = config->max_state_dim, .H = H, .W = W, .prefill = config->prefill != PREFILL_NONE};
    spt_padded(r->model, H, W, &s.Hp, &s.Wp);
    for (size_t b = 0; b < B; b++)
        s.N = frames[b].n > s.N ? frames[b].n : s.N;
    int code = recon_arrays_size(&r->arrays, &s, e);
    for (size_t b = 0; b < B && !code; b++) {
        const struct recon_frame *f = &frames[b];
        code = recon_arrays_samples(&r->arrays, b, f->uv, f->value, f->n, e);
        if (!code)
            code = recon_arrays_state(&r->arrays, b, f->state, f->state_n, f->sentinel, e);
    }
    return code;
}

static int run_model(struct recon *r, const struct recon_frame *frames, size_t B, uint32_t W, uint32_t H,
                     float *out, enum recon_importance kind, float *map, struct err *e)
{
    struct spt_options options = {.importance = -1};
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
    spt_download_output(r->model, out);
    if (options.importance >= 0)
        spt_download_map(r->model, map);
    return 0;
}

static int make_maps(struct recon *r, const struct recon_frame *frames, size_t B, uint32_t W, uint32_t H,
                     enum recon_importance kind, float *map, struct err *e)
{
    uint32_t w, h;
    recon_map_size(r, kind, W, H, &w, &h);
    size_t count = (size_t)w * h;
    for (size_t b = 0; b < B; b++) {
        const struct recon_frame *f = &frames[b];
        int code = 0;
        if (kind == RECON_IMPORTANCE_RESIDUAL)
            code = recon_residual(f->uv, f->value, f->n, W, H, map + b * count, e);
        if (code)
            return code;
        spt_scale_map(map + b * count, count);
    }
    return 0;
}

int recon_run(struct recon *r, const struct recon_frame *frames, size_t B, uint32_t W, uint32_t H, float *out,
              enum recon_importance importance, float *map, struct err *e)
{
    int code = map ? check_importance(r, importance, e) : 0;
    for (size_t b = 0; b < B && !code; b++)
        code = check_frame(&frames[b], b, e);
    if (code || !B)
        return code;
    if (r->model)
        code = run_model(r, frames, B, W, H, out, importance, map, e);
    for (size_t b = 0; b < B && !code && !r->model; b++)
        code = run_classical(r->method, &frames[b], W, H, out + b * W * H, e);
    if (!code && map && importance != RECON_IMPORTANCE_NONE)
        code = make_maps(r, frames, B, W, H, importance, map, e);
    return code;
}
