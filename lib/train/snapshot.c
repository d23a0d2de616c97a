#include "train/snapshot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static void describe(struct checkpoint_tensor *to, const struct spt_tensor *from, float *data)
{
    snprintf(to->name, sizeof to->name, "%s", from->name);
    to->dims = from->dims;
    memcpy(to->shape, from->shape, sizeof to->shape);
    to->count = from->count;
    to->data = data;
}

static int take_weights(struct checkpoint *c, struct spt *m, float **block, struct err *e)
{
    size_t count = spt_tensor_count(m), total = 0, at = 0;
    for (size_t i = 0; i < count; i++)
        total += spt_tensor_at(m, i)->count;
    int r = mem_alloc(block, total, sizeof **block, "a checkpoint's weights", e);
    if (!r)
        r = mem_alloc(&c->tensors, count, sizeof *c->tensors, "a checkpoint's table", e);
    if (r)
        return r;
    c->tensor_count = count;
    for (size_t i = 0; i < count; i++) {
        const struct spt_tensor *t = spt_tensor_at(m, i);
        spt_get_parameter(m, i, *block + at);
        describe(&c->tensors[i], t, *block + at);
        at += t->count;
    }
    struct op_ctx *ctx = spt_context(m);
    return ctx->ops->check(ctx, e); /* no file with numbers that a lost device left */
}

/* The moments of the trained tensors: views into one downloaded copy of each arena. */
static int take_moments(struct checkpoint *c, struct spt *m, const struct optimizer *o, float *block[2],
                        struct err *e)
{
    size_t count = spt_tensor_count(m), bytes = o->count * sizeof(float);
    int r = 0;
    for (int k = 0; k < 2 && !r; k++)
        r = mem_alloc(&block[k], o->count, sizeof(float), "the optimiser's moments", e);
    if (!r)
        r = mem_alloc(&c->exp_avg, count, sizeof *c->exp_avg, "a checkpoint's table", e);
    if (!r)
        r = mem_alloc(&c->exp_avg_sq, count, sizeof *c->exp_avg_sq, "a checkpoint's table", e);
    if (r)
        return r;
    o->ctx->ops->download(o->ctx, block[0], o->exp_avg, bytes);
    o->ctx->ops->download(o->ctx, block[1], o->exp_avg_sq, bytes);
    for (size_t i = 0; i < count; i++) {
        const struct spt_tensor *t = spt_tensor_at(m, i);
        if (!t->trainable)
            continue;
        describe(&c->exp_avg[c->moment_count], t, block[0] + t->offset);
        describe(&c->exp_avg_sq[c->moment_count++], t, block[1] + t->offset);
    }
    c->optimizer_step = o->step;
    c->lr = o->lr;
    c->beta1 = o->beta1;
    c->beta2 = o->beta2;
    c->eps = o->eps;
    c->weight_decay = o->weight_decay;
    return o->ctx->ops->check(o->ctx, e);
}

static void write_number(char *out, size_t size, const char *key, double x)
{
    size_t at = strlen(out);
    if (isfinite(x))
        snprintf(out + at, size - at, ", \"%s\": %.17g", key, x);
    else
        snprintf(out + at, size - at, ", \"%s\": null", key);
}

static void state_text(const struct run_state *s, char *out, size_t size)
{
    snprintf(out, size, "{\"step\": %lld, \"epoch\": %lld, \"epoch_frames\": %lld, \"best_step\": %lld",
             (long long)s->step, (long long)s->epoch, (long long)s->epoch_frames, (long long)s->best_step);
    write_number(out, size, "elapsed", s->elapsed);
    write_number(out, size, "epoch_loss", s->epoch_loss);
    write_number(out, size, "best", s->best);
    size_t at = strlen(out);
    snprintf(out + at, size - at, "}");
}

/* A number of the flat object that state_text wrote: enough of JSON for our own hand. NAN for null. */
static int read_number(const char *text, const char *key, double *x, struct err *e)
{
    char quoted[64], *end;
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    const char *at = strstr(text, quoted);
    if (!at)
        return err_set(e, ERR_DATA, "/scheduler: the training state has no \"%s\"", key);
    at += strlen(quoted);
    at += strspn(at, " ");
    *x = NAN;
    if (!strncmp(at, "null", 4))
        return 0;
    *x = strtod(at, &end);
    return end == at ? err_set(e, ERR_DATA, "/scheduler: \"%s\" is not a number", key) : 0;
}

static int read_integer(const char *text, const char *key, int64_t *n, struct err *e)
{
    double x;
    int r = read_number(text, key, &x, e);
    if (!r && !(x >= 0 && x < 0x1p53))
        r = err_set(e, ERR_DATA, "/scheduler: \"%s\" is out of range", key);
    if (!r)
        *n = (int64_t)x;
    return r;
}

static int state_parse(const char *text, struct run_state *s, struct err *e)
{
    int r = read_integer(text, "step", &s->step, e);
    if (!r)
        r = read_integer(text, "epoch", &s->epoch, e);
    if (!r)
        r = read_integer(text, "epoch_frames", &s->epoch_frames, e);
    if (!r)
        r = read_integer(text, "best_step", &s->best_step, e);
    if (!r)
        r = read_number(text, "elapsed", &s->elapsed, e);
    if (!r)
        r = read_number(text, "epoch_loss", &s->epoch_loss, e);
    if (!r)
        r = read_number(text, "best", &s->best, e);
    return r;
}

int snapshot_write(const char *path, struct spt *m, const struct optimizer *o, const struct run_state *state,
                   const struct snapshot_info *info, int with_optimizer, struct err *e)
{
    static char key_none[] = "";
    char text[512] = "", creator[] = "sgaps-train " SGAPS_VERSION;
    float *weights = NULL, *moments[2] = {NULL, NULL};
    char *config = config_json(info->config);
    struct checkpoint c = {
        .config = config,
        .checkpoint_key = (char *)info->checkpoint_key,
        .metric = (char *)info->metric,
        .data_uuid = (char *)info->data_uuid,
        .creator = creator,
        .created_at = key_none,
        .history = info->history ? (char *)info->history : key_none,
        .epoch = state->epoch,
        .step = state->step,
        .score = info->score,
        .seed = info->config->training.seed,
        .state_mean = (float *)spt_state_mean(m),
        .state_std = (float *)spt_state_std(m),
        .state_n = spt_state_mean(m) ? spt_config(m)->max_state_dim : 0,
        .training = text,
    };
    int r = config ? take_weights(&c, m, &weights, e) : err_memory(e, "a checkpoint's configuration", 0);
    if (!r && with_optimizer) {
        state_text(state, text, sizeof text);
        r = take_moments(&c, m, o, moments, e);
    }
    if (!r)
        r = checkpoint_write(&c, path, info->no_history, e);
    free(weights);
    free(moments[0]);
    free(moments[1]);
    free(c.tensors);
    free(c.exp_avg);
    free(c.exp_avg_sq);
    free(config);
    return r;
}

static const struct checkpoint_tensor *find_moment(const struct checkpoint_tensor *table, size_t n,
                                                   const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(table[i].name, name))
            return &table[i];
    return NULL;
}

static int restore_moments(const struct checkpoint *c, const struct checkpoint_tensor *table,
                           const char *group, struct optimizer *o, float *device, struct err *e)
{
    float *block;
    int r = mem_alloc(&block, o->count, sizeof *block, "the optimiser's moments", e);
    for (size_t i = 0; i < spt_tensor_count(o->model) && !r; i++) {
        const struct spt_tensor *t = spt_tensor_at(o->model, i);
        if (!t->trainable)
            continue;
        const struct checkpoint_tensor *from = find_moment(table, c->moment_count, t->name);
        if (!from || from->count != t->count)
            r = err_set(e, ERR_DATA, "%s: /optimizer/%s/%s is %s", c->path, group, t->name,
                        from ? "of another size" : "missing");
        else
            memcpy(block + t->offset, from->data, t->count * sizeof *block);
    }
    if (!r)
        o->ctx->ops->upload(o->ctx, device, block, o->count * sizeof *block);
    free(block);
    return r;
}

int snapshot_restore(const struct checkpoint *c, struct optimizer *o, struct run_state *state, struct err *e)
{
    if (!c->exp_avg || !c->exp_avg_sq || !c->training || !*c->training)
        return err_set(e, ERR_DATA,
                       "%s: has no optimiser state to resume from (--init starts anew from its weights)",
                       c->path);
    int r = state_parse(c->training, state, e);
    if (r)
        return err_prefix(e, "%s: ", c->path), r;
    r = restore_moments(c, c->exp_avg, "exp_avg", o, o->exp_avg, e);
    if (!r)
        r = restore_moments(c, c->exp_avg_sq, "exp_avg_sq", o, o->exp_avg_sq, e);
    o->step = c->optimizer_step;
    o->lr = c->lr;
    return r;
}
