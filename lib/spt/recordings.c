/* Evaluations as recordings. From the encoder to the output a small network is hundreds of launches that take a GPU's host
 * longer than the GPU; a backend that can record a sequence runs it as one. What is recorded reads and writes the arena, so
 * it serves every later frame of the same shape: inputs are uploaded before, the output is fetched after.
 *
 * A shape is run as it is the first time, when operations may still take memory and make plans, recorded the second time and
 * replayed from the third on. A recording lives as long as what it points to: the arena, the constants, and the parameters
 * as they are. */
#include "base/log.h"
#include "spt/network.h"

static int same_kind(const struct recording *r, const struct shape *s, const struct spt_options *o)
{
    return r->runs && r->importance == o->importance && r->scale == o->scale && shape_equal(&r->shape, s);
}

static void drop(struct spt *m, struct recording *r)
{
    if (r->recording)
        m->ops->record_free(m->ctx, r->recording);
    *r = (struct recording){0};
}

void recordings_drop(struct spt *m)
{
    for (int i = 0; i < RECORDINGS; i++)
        drop(m, &m->recordings.each[i]);
}

/* The entry of this shape, or the one unused for longest, emptied. */
static struct recording *find(struct spt *m)
{
    struct recordings *all = &m->recordings;
    struct recording *oldest = all->each;
    for (struct recording *r = all->each; r < all->each + RECORDINGS; r++) {
        if (same_kind(r, &m->act.shape, &m->options))
            return r;
        if (r->used < oldest->used)
            oldest = r;
    }
    drop(m, oldest);
    oldest->shape = m->act.shape;
    oldest->importance = m->options.importance;
    oldest->scale = m->options.scale;
    return oldest;
}

static int run(struct spt *m, struct err *e)
{
    TRY(encode_forward(m, e));
    TRY(decode_forward(m, e));
    return refine_forward(m, e);
}

/* The end of a recording is told even when something in it failed. */
static int record(struct spt *m, struct recording *r, struct err *e)
{
    struct err second;
    TRY(m->ops->record_begin(m->ctx, e));
    int code = run(m, e), ended = m->ops->record_end(m->ctx, &r->recording, code ? &second : e);
    if (!code && !ended)
        return 0;
    if (r->recording)
        m->ops->record_free(m->ctx, r->recording);
    r->recording = NULL;
    return code ? code : ended;
}

int forward_all(struct spt *m, struct err *e)
{
    struct recordings *all = &m->recordings;
    if (m->act.shape.train || m->act.shape.stages || !m->ops->record_begin || all->refused)
        return run(m, e);
    if (all->version != m->version)
        recordings_drop(m);
    all->version = m->version;
    struct recording *r = find(m);
    r->used = ++all->clock;
    if (!r->recording && r->runs++) {
        struct err why;
        if (record(m, r, &why)) {
            log_note("evaluations are run launch by launch: %s", why.text);
            all->refused = 1;
        }
    }
    return r->recording ? m->ops->record_run(m->ctx, r->recording, e) : run(m, e);
}
