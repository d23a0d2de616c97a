/* Checkpoint -> network. */
#include <stdio.h>

#include "base/log.h"
#include "conf/conf.h"
#include "io/checkpoint.h"
#include "recon/recon.h"

static void shape_text(char *out, size_t size, const size_t *shape, int dims)
{
    size_t at = 0;
    out[0] = 0;
    for (int i = 0; i < dims && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, "%s%zu", i ? "," : "", shape[i]);
}

static int check_tensor(const struct spt_tensor *want, const struct checkpoint_tensor *have, const char *path,
                        struct err *e)
{
    if (!have)
        return err_set(e, ERR_DATA, "%s: /model_state_dict/%s is missing: its configuration asks for it",
                       path, want->name);
    int same = have->dims == want->dims;
    for (int d = 0; same && d < want->dims; d++)
        same = have->shape[d] == want->shape[d];
    if (same)
        return 0;
    char is[96], should[96];
    shape_text(is, sizeof is, have->shape, have->dims);
    shape_text(should, sizeof should, want->shape, want->dims);
    return err_set(e, ERR_DATA, "%s: /model_state_dict/%s has shape (%s), its configuration says (%s)", path,
                   want->name, is, should);
}

int recon_fill(struct spt *m, const struct checkpoint *c, struct err *e)
{
    size_t count = spt_tensor_count(m);
    for (size_t i = 0; i < count; i++) {
        const struct spt_tensor *t = spt_tensor_at(m, i);
        int r = check_tensor(t, checkpoint_find(c, t->name), c->path, e);
        if (r)
            return r;
    }
    /* A tensor that the configuration does not know means weights of another network. */
    for (size_t i = 0; i < c->tensor_count; i++)
        if (!spt_tensor_find(m, c->tensors[i].name))
            return err_set(e, ERR_DATA,
                           "%s: /model_state_dict/%s is not part of the model its configuration describes",
                           c->path, c->tensors[i].name);
    size_t S = spt_config(m)->max_state_dim;
    if (c->state_mean && c->state_n != S)
        return err_set(e, ERR_DATA, "%s: /state_norm has %zu columns, model.max_state_dim is %zu", c->path,
                       c->state_n, S);
    if (!c->state_mean && spt_config(m)->state_norm)
        log_note("%s: no /state_norm: the state goes into the network as it is", c->path);
    for (size_t i = 0; i < count; i++)
        spt_set_parameter(m, i, checkpoint_find(c, spt_tensor_at(m, i)->name)->data);
    spt_set_state_norm(m, c->state_mean, c->state_std);
    return 0;
}

int recon_load(struct spt **m, const struct checkpoint *c, struct op_ctx *ctx, struct err *e)
{
    struct model_config config;
    *m = NULL;
    int r = config_model_from_json(&config, c->config, e);
    if (r) {
        err_prefix(e, "%s: config: ", c->path);
        if (r != ERR_UNAVAILABLE) /* a sound file of a richer program */
            r = ERR_DATA;
        return e ? e->code = r : r;
    }
    r = spt_create(m, &config, ctx, e);
    if (r)
        return err_prefix(e, "%s: ", c->path), r;
    r = recon_fill(*m, c, e);
    if (r) {
        spt_free(*m);
        *m = NULL;
    }
    return r;
}
