/* Puts a run together from its options; loop.c drives it. */
#include "train/trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "recon/recon.h"
#include "sample/sample.h"

char *trainer_path(const struct trainer *t, const char *name)
{
    char *path;
    return asprintf(&path, "%s/%s", t->options.directory, name) < 0 ? NULL : path;
}

double trainer_elapsed(const struct trainer *t)
{
    return t->elapsed_before + clock_seconds() - t->started;
}

/* --- data --- */

static void shrink_to(uint32_t size[2], const struct dataset *d)
{
    for (size_t i = 0; d && i < dataset_sessions(d); i++) {
        const struct dataset_session *s = dataset_session(d, i);
        if (s->H && s->H < size[0])
            size[0] = s->H;
        if (s->W && s->W < size[1])
            size[1] = s->W;
    }
}

/* Frames are averaged down, never blown up: where the recordings are smaller than model.resolution, they decide. */
static int settle_size(struct trainer *t, struct err *e)
{
    const uint32_t *made = t->options.made_at;
    uint32_t *asked = t->config.model.resolution, size[2] = {asked[0], asked[1]};
    shrink_to(size, t->data);
    shrink_to(size, t->held_out);
    if (size[0] != asked[0] || size[1] != asked[1])
        log_note("the recordings are smaller than model.resolution [%u,%u]: training at [%u,%u]", asked[0],
                 asked[1], size[0], size[1]);
    if (made[0] && (made[0] != size[0] || made[1] != size[1]))
        return err_set(e, ERR_CONFIG,
                       "model.resolution [%u,%u] is not the [%u,%u] that %s was made with: a checkpoint "
                       "brings its own model",
                       size[0], size[1], made[0], made[1], t->options.checkpoint);
    asked[0] = size[0];
    asked[1] = size[1];
    return 0;
}

/* Loss and sampling follow from what the recordings hold, unless they were asked for by name. */
static int settle_loss(struct trainer *t, int *need, struct err *e)
{
    struct training_config *c = &t->config.training;
    int all_frames = 1, some_frames = 0;
    for (size_t i = 0; i < dataset_sessions(t->data); i++) {
        all_frames &= dataset_session(t->data, i)->has_frames;
        some_frames |= dataset_session(t->data, i)->has_frames;
    }
    int code = loss_plan_make(&t->loss, c, all_frames, t->config.model.error_head, e);
    if (code)
        return code;
    if (c->sampling_random && !t->loss.frames && !all_frames && !t->options.resume &&
        !config_given(t->options.config, "training.sampling")) {
        c->sampling_random = 0;
        if (some_frames)
            log_warning("some sessions have full frames and some have none: training takes the samples "
                        "(--set training.loss=l1: the full frames)");
    }
    *need = (t->loss.frames || c->sampling_random ? NEED_FRAME : 0) | (c->sampling_random ? 0 : NEED_SAMPLES);
    for (size_t i = 0; i < dataset_sessions(t->data); i++) {
        const struct dataset_session *s = dataset_session(t->data, i);
        if ((*need & NEED_FRAME && !s->has_frames) || (*need & NEED_SAMPLES && !s->has_samples))
            log_warning("%s: session %s has no %s and is left out", dataset_path(t->data, i), s->id,
                        s->has_frames ? "samples" : "full frames");
    }
    for (int i = PATTERN_IMPORTANCE_ONLY; i < CONF_PATTERNS; i++)
        if (c->sampling_random && c->patterns[i] > 0)
            return err_set(e, ERR_CONFIG,
                           "training.patterns.%s needs an importance map, which training has not: "
                           "take grid, random, bluenoise",
                           pattern_name((enum pattern)i));
    return 0;
}

static int open_data(struct trainer *t, struct err *e)
{
    const struct train_options *o = &t->options;
    int need = 0;
    int code = dataset_open(&t->data, o->files, o->file_count, e);
    if (!code && o->validation_count)
        code = dataset_open(&t->held_out, o->validation_files, o->validation_count, e);
    if (!code)
        code = settle_loss(t, &need, e);
    if (!code)
        code = settle_size(t, e);
    return code ? code : split_make(&t->split, t->data, t->held_out, need, &t->config.training, e);
}

/* --overfit: N frames spread over the training rows, learned and validated with the same samples. */
static void keep_few(struct rows *rows, size_t few)
{
    if (few >= rows->n)
        return;
    for (size_t i = 0; i < few; i++)
        rows->items[i] = rows->items[(2 * i + 1) * rows->n / (2 * few)];
    rows->n = few;
}

static int word_in(const char *list, const char *word)
{
    return strstr(list, word) != NULL;
}

static void make_plan(struct trainer *t)
{
    const struct training_config *c = &t->config.training;
    const struct model_config *m = &t->config.model;
    size_t batch = (size_t)c->batch_size;
    t->plan = (struct example_plan){
        .data = t->data,
        .rows = &t->split.train,
        .H = m->resolution[0],
        .W = m->resolution[1],
        .S = m->max_state_dim,
        .prefill = m->prefill != PREFILL_NONE,
        .coordinates = m->coordinates,
        .random = c->sampling_random,
        .share = {c->samples[0], c->samples[1]},
        .drop = c->drop,
        .hide = t->loss.heldout ? c->mask_ratio : 0,
        .state_dropout = c->state_dropout,
        .flip = word_in(c->augment, "flip"),
        .brightness = word_in(c->augment, "brightness"),
        .target = t->loss.frames,
        .samples = t->loss.samples,
        .shuffle = c->shuffle,
        .batch_size = batch < t->split.train.n ? batch : t->split.train.n,
        .seed = c->seed,
    };
    memcpy(t->plan.patterns, c->patterns, sizeof t->plan.patterns);
    spt_padded(t->model, t->plan.H, t->plan.W, &t->plan.Hp, &t->plan.Wp);
    if (t->options.overfit) {
        t->plan.fixed = 1;
        t->plan.drop = t->plan.state_dropout = 0;
        t->plan.flip = t->plan.brightness = 0;
        t->plan.share[0] = t->plan.share[1] = sqrt(c->samples[0] * c->samples[1]);
        memset(t->plan.patterns, 0, sizeof t->plan.patterns);
        t->plan.patterns[PATTERN_BLUENOISE] = 1;
    }
}

/* --- network --- */

static int make_state_norm(struct trainer *t, struct err *e)
{
    size_t S = t->config.model.max_state_dim;
    float *mean, *std = NULL;
    int code = mem_alloc(&mean, S, sizeof *mean, "state statistics", e);
    if (!code)
        code = mem_alloc(&std, S, sizeof *std, "state statistics", e);
    if (!code)
        code = dataset_state_statistics(t->data, &t->split.train, S, mean, std, e);
    if (!code)
        spt_set_state_norm(t->model, mean, std);
    free(mean);
    free(std);
    return code;
}

static int open_network(struct trainer *t, struct err *e)
{
    const struct train_options *o = &t->options;
    int code = op_open(&t->ctx, o->device, o->threads, (enum op_precision)t->config.training.precision, e);
    if (code)
        return code;
    t->ctx_open = 1;
    losses_init(&t->losses, &t->ctx);
    struct model_config model = t->config.model;
    if (o->overfit)
        model.dropout = model.skip_dropout = 0;
    code = spt_create(&t->model, &model, &t->ctx, e);
    if (!code)
        code = optimizer_init(&t->optimizer, t->model, &t->ctx, &t->config.training, e);
    if (code)
        return code;
    if (!o->checkpoint) {
        spt_init_weights(t->model, t->config.training.seed);
        return t->config.model.state_norm ? make_state_norm(t, e) : 0;
    }
    struct checkpoint c;
    code = checkpoint_read(&c, o->checkpoint, o->resume, e);
    if (code)
        return code;
    code = recon_fill(t->model, &c, e);
    if (!code && o->resume)
        code = snapshot_restore(&c, &t->optimizer, &t->state, e);
    checkpoint_release(&c);
    t->elapsed_before = t->state.elapsed;
    return code;
}

static int open_validation(struct trainer *t, struct err *e)
{
    struct rows *rows = t->options.overfit ? &t->split.train : &t->split.validation;
    enum { BYTES = 64 << 20 };
    if (!rows->n)
        return 0;
    struct example_plan like = t->plan, one;
    if (!t->options.overfit) {
        like.target |= t->split.validation_frames;
        like.random |= t->split.validation_random;
    }
    one = like;
    one.batch_size = 1;
    size_t N = (size_t)(sqrt(one.share[0] * one.share[1]) * one.W * one.H) + 1,
           fit = BYTES / example_bytes(&one, N);
    size_t frames = fit < 1 ? 1 : fit > VALIDATION_FRAMES ? VALIDATION_FRAMES : fit;
    return validation_make(&t->validation, &like, t->held_out && !t->options.overfit ? t->held_out : t->data,
                           rows, frames, t->config.model.error_head, e);
}

int trainer_open(struct trainer **out, const struct train_options *o, struct err *e)
{
    struct trainer *t;
    *out = NULL;
    int code = mem_alloc(&t, 1, sizeof *t, "a training run", e);
    if (code)
        return code;
    t->options = *o;
    t->config = *o->config;
    t->state.best = t->loss_last = t->psnr = t->ssim = NAN;
    code = open_data(t, e);
    if (!code && o->overfit)
        keep_few(&t->split.train, (size_t)o->overfit);
    if (!code)
        code = open_network(t, e);
    if (!code) {
        make_plan(t);
        t->schedule = schedule_make(&t->config.training, (int64_t)example_steps(&t->plan));
        code = open_validation(t, e);
    }
    if (code)
        trainer_close(t);
    else
        *out = t;
    return code;
}

void trainer_close(struct trainer *t)
{
    if (!t)
        return;
    validation_release(&t->validation);
    split_release(&t->split);
    if (t->ctx_open) {
        losses_release(&t->losses);
        if (t->optimizer.ctx)
            optimizer_release(&t->optimizer);
        spt_free(t->model);
        op_close(&t->ctx);
    }
    dataset_close(t->data);
    dataset_close(t->held_out);
    free(t); /* config is a copy: its owner releases it */
}

static void describe_loss(const struct loss_plan *p, char *out, size_t size)
{
    size_t at = 0;
    out[0] = 0;
    for (int i = 0; i < LOSS_TERMS && at < size; i++)
        if (p->weight[i] > 0)
            at += (size_t)snprintf(out + at, size - at, "%s%g %s", at ? " + " : "", p->weight[i],
                                   loss_term_name((enum loss_term)i));
}

struct spt_batch trainer_largest_batch(const struct trainer *t)
{
    const struct example_plan *p = &t->plan;
    return (struct spt_batch){
        .B = p->batch_size, .N = (size_t)(p->share[1] * p->W * p->H) + 1, .H = p->H, .W = p->W};
}

/* Without what lies between the tensors in memory. */
static size_t trained_numbers(const struct spt *m)
{
    size_t n = 0;
    for (size_t i = 0; i < spt_tensor_count(m); i++)
        n += spt_tensor_at(m, i)->trainable ? spt_tensor_at(m, i)->count : 0;
    return n;
}

void trainer_describe(const struct trainer *t, struct train_description *d)
{
    const struct example_plan *p = &t->plan;
    struct spt_memory memory = spt_memory_use(t->model);
    struct spt_batch like = trainer_largest_batch(t);
    *d = (struct train_description){
        .train_frames = t->split.train.n,
        .train_sessions = t->split.train_sessions,
        .validation_frames = t->validation.rows.n,
        .validation_sessions = t->split.validation_sessions,
        .parameters = trained_numbers(t->model),
        .W = p->W,
        .H = p->H,
        .by_time = t->split.by_time,
        .batch_size = (int64_t)p->batch_size,
        .steps_per_epoch = (int64_t)example_steps(p),
        .steps = t->schedule.steps,
        .steps_before = t->state.step,
        .max_minutes = t->schedule.seconds / 60,
        .bytes_parameters = memory.parameters,
        .bytes_gradients = spt_parameter_count(t->model) * sizeof(float),
        .bytes_moments = 2 * t->optimizer.count * sizeof(float),
        .bytes_activations = spt_activation_bytes(t->model, &like, 1),
        .bytes_loader = LOADER_DEPTH * example_bytes(p, like.N),
    };
    op_describe(&t->ctx, d->device, sizeof d->device);
    describe_loss(&t->loss, d->loss, sizeof d->loss);
    snprintf(d->sampling, sizeof d->sampling, "%s", p->random ? "random" : "recorded");
}
