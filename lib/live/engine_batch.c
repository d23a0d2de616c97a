/* One batch: withhold, rebuild, judge, draw the next sets, tell. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "interp/interp.h"
#include "live/engine_private.h"
#include "metric/metric.h"

static const double PICTURE_S = 1; /* a residual map that only somebody watching wants */

/* What the importance of the configuration can be with this reconstruction. */
static enum recon_importance map_kind(struct engine_batch *b, const struct model *model)
{
    if (b->importance == RECON_IMPORTANCE_NONE)
        return b->importance;
    if (!recon_model(model->recon))
        return RECON_IMPORTANCE_RESIDUAL;
    if (b->importance != RECON_IMPORTANCE_ERROR || recon_has_error_head(model->recon))
        return b->importance;
    if (!b->told_headless++)
        log_warning(
            "sampling.importance error: %s has no error head: entropy stands in, for every such model",
            model->version);
    return RECON_IMPORTANCE_ENTROPY;
}

static int grow(struct engine_batch *b, size_t B, size_t map, struct err *e)
{
    size_t pixels = (size_t)b->W * b->H;
    int r = mem_grow(&b->frames, &b->capacity[0], B, sizeof *b->frames, "a batch", e);
    if (!r)
        r = mem_grow(&b->results, &b->capacity[1], B, sizeof *b->results, "a batch", e);
    if (!r)
        r = mem_grow(&b->errors, &b->capacity[2], B, sizeof *b->errors, "a batch", e);
    if (!r)
        r = mem_grow(&b->out, &b->capacity[3], B * pixels, sizeof *b->out, "a batch", e);
    if (!r)
        r = mem_grow(&b->map, &b->capacity[4], B * map, sizeof *b->map, "a batch", e);
    if (!r)
        r = mem_grow(&b->rounded, &b->capacity[5], B * pixels, 1, "a batch", e);
    if (!r)
        r = mem_grow(&b->truth, &b->capacity[6], B * pixels, 1, "a batch", e);
    if (!r)
        r = mem_grow(&b->wanted, &b->capacity[7], B, 1, "a batch", e);
    return r;
}

/* What the model gets to see of a frame: all of it, or what is left when some samples are withheld. */
static int show(struct engine_session *s, struct recon_frame *f, struct err *e)
{
    const struct engine_copy *c = s->work;
    *f = (struct recon_frame){.n = c->n,
                              .uv = c->uv,
                              .value = c->value,
                              .state = c->state_n ? c->state : NULL,
                              .state_n = c->state_n,
                              .sentinel = (float)s->model->sentinel};
    s->held_n = 0;
    if (c->truth_w || !c->n)
        return 0;
    int r = mem_grow(&s->held, &s->capacity[0], c->n, 1, "withheld samples", e);
    if (!r)
        r = mem_grow(&s->kept_uv, &s->capacity[1], c->n, 2 * sizeof *s->kept_uv, "samples", e);
    if (!r)
        r = mem_grow(&s->kept_value, &s->capacity[2], c->n, 1, "samples", e);
    if (r || !(s->held_n = policy_holdout(&s->policy, c->n, s->held)))
        return r;
    size_t k = 0;
    for (size_t i = 0; i < c->n; i++) {
        if (s->held[i])
            continue;
        s->kept_uv[2 * k] = c->uv[2 * i];
        s->kept_uv[2 * k + 1] = c->uv[2 * i + 1];
        s->kept_value[k++] = c->value[i];
    }
    f->n = k;
    f->uv = s->kept_uv;
    f->value = s->kept_value;
    return 0;
}

/* The map of the residual needs no network, so it is made only where it is wanted. */
static int residual_wanted(const struct engine_session *s, double now)
{
    return (policy_needs_map(&s->policy) && policy_needs_frame(&s->policy)) || now - s->mapped >= PICTURE_S;
}

static void judge(const struct engine_batch *b, const struct engine_session *s, size_t at,
                  struct engine_result *r)
{
    const struct engine_copy *c = s->work;
    size_t pixels = (size_t)b->W * b->H;
    r->ssim = NAN;
    if (!c->truth_w) {
        r->heldout = 1;
        r->quality = policy_heldout_quality(r->image, b->W, b->H, c->uv, c->value, s->held,
                                            s->held_n ? c->n : 0, &r->psnr);
        return;
    }
    uint8_t *rounded = b->rounded + at * pixels, *resized = b->truth + at * pixels;
    r->truth = c->truth;
    if (c->truth_w != b->W || c->truth_h != b->H) {
        interp_resize(c->truth, c->truth_w, c->truth_h, resized, b->W, b->H);
        r->truth = resized;
    }
    r->quality = r->ssim = policy_true_quality(r->image, r->truth, b->W, b->H, rounded);
    r->psnr = metric_psnr(r->truth, rounded, pixels);
}

/* From the frame rebuilt to the next set. Sessions do not share anything here. */
static int conclude(const struct engine_batch *b, struct engine_session *s, size_t at, struct err *e)
{
    struct engine_result *r = &b->results[at];
    int due;
    if (r->map)
        s->mapped = r->begun;
    judge(b, s, at, r);
    int code = policy_frame(&s->policy, s->work->frame_id, r->quality, r->map, r->map_w, r->map_h, s->set_uv,
                            &r->set_id, &due, e);
    if (!code && due) {
        r->set_uv = s->set_uv;
        r->set_n = s->policy.request.n;
        r->target_frame_id = s->work->frame_id + 1;
    }
    r->count = ++s->count;
    return code;
}

static void begin(const struct engine_batch *b, struct engine_session *s, size_t at, size_t B, double now)
{
    const struct engine_copy *c = s->work;
    for (; s->skipped_work; s->skipped_work--)
        policy_skipped(&s->policy);
    b->errors[at].code = 0;
    b->results[at] = (struct engine_result){.session_user = s->user,
                                            .frame_id = c->frame_id,
                                            .W = b->W,
                                            .H = b->H,
                                            .image = b->out + at * b->W * b->H,
                                            .uv = c->uv,
                                            .value = c->value,
                                            .n = c->n,
                                            .received = c->received,
                                            .begun = now,
                                            .batch = B,
                                            .model_version = s->model->version};
    show(s, &b->frames[at], &b->errors[at]);
}

/* Frames from..to-1, all sound so far. */
static int rebuild_some(struct engine_batch *b, struct engine_session **s, size_t from, size_t to,
                        enum recon_importance kind, struct err *e)
{
    struct recon *recon = s[from]->model->recon;
    const struct engine_result *r = &b->results[from];
    size_t n = to - from, map = (size_t)r->map_w * r->map_h;
    float *out = b->out + from * b->W * b->H, *maps = b->map + from * map;
    if (kind == RECON_IMPORTANCE_NONE)
        return recon_run(recon, b->frames + from, n, b->W, b->H, out, kind, NULL, e);
    int residual = kind == RECON_IMPORTANCE_RESIDUAL, wanted = 0;
    for (size_t i = from; i < to; i++) {
        b->wanted[i] = !residual || residual_wanted(s[i], r->begun);
        wanted |= b->wanted[i];
    }
    int code = recon_run(recon, b->frames + from, n, b->W, b->H, out, residual ? RECON_IMPORTANCE_NONE : kind,
                         residual ? NULL : maps, e);
    if (!code && residual && wanted)
        code = recon_residual_maps(recon, b->frames + from, n, b->wanted + from, b->W, b->H, maps, e);
    for (size_t i = from; i < to && !code; i++)
        b->results[i].map = b->wanted[i] ? b->map + i * map : NULL;
    return code;
}

/* All at once; where the model refuses one, each on its own, so that only that one fails. */
static void rebuild(struct engine_batch *b, struct engine_session **s, size_t B, enum recon_importance kind)
{
    int whole = 1;
    struct err e;
    for (size_t i = 0; i < B; i++)
        whole = whole && !b->errors[i].code;
    if (whole && !rebuild_some(b, s, 0, B, kind, &e))
        return;
    for (size_t i = 0; i < B; i++)
        if (!b->errors[i].code && rebuild_some(b, s, i, i + 1, kind, &b->errors[i]) == ERR_UNAVAILABLE)
            b->lost = b->errors[i];
}

static void tell(struct engine_batch *b, struct engine_session *s, size_t at)
{
    const struct err *e = b->whole.code ? &b->whole : &b->errors[at];
    pthread_mutex_lock(&s->answering);
    if (!s->closed && e->code) {
        b->handlers.failed(b->handlers.user, s->user, s->work->frame_id, e);
    } else if (!s->closed) {
        b->results[at].done = clock_seconds();
        b->handlers.result(b->handlers.user, &b->results[at]);
    }
    pthread_mutex_unlock(&s->answering);
}

void engine_batch_run(struct engine_batch *b, struct engine_session **s, size_t B)
{
    enum recon_importance kind = map_kind(b, s[0]->model);
    uint32_t w, h;
    recon_map_size(s[0]->model->recon, kind, b->W, b->H, &w, &h);
    b->whole.code = 0;
    b->failed = B;
    if (grow(b, B, (size_t)w * h, &b->whole))
        return;
    double now = clock_seconds();
    for (size_t i = 0; i < B; i++) {
        begin(b, s[i], i, B, now);
        b->results[i].map_w = w;
        b->results[i].map_h = h;
    }
    rebuild(b, s, B, kind);
#pragma omp parallel for schedule(dynamic) if (B > 1)
    for (size_t i = 0; i < B; i++) {
        if (b->errors[i].code) /* received and not rebuilt */
            policy_skipped(&s[i]->policy);
        else
            conclude(b, s[i], i, &b->errors[i]);
    }
    models_measure(s[0]->model);
    b->failed = 0;
    for (size_t i = 0; i < B; i++)
        b->failed += b->errors[i].code != 0;
}

void engine_batch_tell(struct engine_batch *b, struct engine_session **s, size_t B)
{
    for (size_t i = 0; i < B; i++)
        tell(b, s[i], i);
    if (b->lost.code && b->handlers.lost)
        b->handlers.lost(b->handlers.user, &b->lost);
}

void engine_batch_release(struct engine_batch *b)
{
    void *all[] = {b->frames, b->results, b->errors, b->out, b->map, b->rounded, b->truth, b->wanted};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}
