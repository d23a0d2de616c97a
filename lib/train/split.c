#include "train/split.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/philox.h"

void split_release(struct split *s)
{
    rows_release(&s->train);
    rows_release(&s->validation);
}

static int take_all(struct dataset *d, int need, struct rows *rows, size_t *sessions, struct err *e)
{
    int code = 0;
    for (size_t i = 0; i < dataset_sessions(d) && !code; i++) {
        size_t before = rows->n;
        code = dataset_rows(d, i, need, rows, e);
        *sessions += rows->n > before;
    }
    return code;
}

static int by_time(struct split *s, double share, struct err *e)
{
    size_t n = s->train.n, held = (size_t)((double)n * share);
    held = held ? held : 1;
    if (held >= n)
        return err_set(e, ERR_DATA,
                       "%zu usable frames are too few to keep a share for validation "
                       "(training.validation=none trains on all)",
                       n);
    int code = 0;
    for (size_t i = n - held; i < n && !code; i++)
        code = rows_append(&s->validation, s->train.items[i], e);
    s->train.n = n - held;
    s->by_time = 1;
    s->validation_sessions = 1;
    return code;
}

/* Takes the sessions drawn for validation out of s->train, where all usable rows are in order. */
static int by_session(struct split *s, struct dataset *d, const struct training_config *t, struct err *e)
{
    size_t sessions = dataset_sessions(d), usable = 0;
    uint32_t *order;
    uint8_t *held;
    int code = mem_alloc(&order, sessions, sizeof *order, "sessions", e);
    if (code)
        return code;
    code = mem_alloc(&held, sessions, 1, "sessions", e);
    for (size_t i = 0; i < s->train.n && !code; i++) {
        uint32_t session = s->train.items[i].session;
        if (!usable || order[usable - 1] != session)
            order[usable++] = session;
    }
    if (!code) {
        struct philox p;
        size_t count = (size_t)((double)usable * t->validation_share + 0.5), kept = 0;
        count = count < 1 ? 1 : count > usable - 1 ? usable - 1 : count;
        philox_init(&p, t->seed, philox_stream(STREAM_SHUFFLE, UINT64_MAX, 0)); /* no epoch has this number */
        philox_shuffle(&p, order, (uint32_t)usable);
        for (size_t i = 0; i < count; i++)
            held[order[i]] = 1;
        for (size_t i = 0; i < s->train.n && !code; i++) {
            struct row row = s->train.items[i];
            if (held[row.session])
                code = rows_append(&s->validation, row, e);
            else
                s->train.items[kept++] = row;
        }
        s->train.n = kept;
        s->validation_sessions = count;
        s->train_sessions = usable - count;
    }
    free(order);
    free(held);
    return code;
}

/* Are a and b one row, or does a come first? Both lists are in order of session and time. */
static int compare(struct row a, struct row b)
{
    if (a.session != b.session)
        return a.session < b.session ? -1 : 1;
    return (a.t > b.t) - (a.t < b.t);
}

/* Of the rows for validation keeps those with a full frame, if there are any: a whole frame says more than samples. */
static int prefer_frames(struct split *s, struct dataset *d, int need, struct err *e)
{
    struct rows framed = {0};
    size_t sessions = 0, kept = 0;
    int code = take_all(d, need | NEED_FRAME, &framed, &sessions, e);
    for (size_t i = 0, k = 0; i < s->validation.n && !code; i++) {
        while (k < framed.n && compare(framed.items[k], s->validation.items[i]) < 0)
            k++;
        if (k < framed.n && !compare(framed.items[k], s->validation.items[i]))
            framed.items[kept++] = framed.items[k];
    }
    if (!code && kept) {
        struct rows all = s->validation;
        s->validation = framed;
        s->validation.n = kept;
        s->validation_frames = 1;
        framed = all;
    }
    rows_release(&framed);
    return code;
}

static int from_own_files(struct split *s, struct dataset *held_out, int need, struct err *e)
{
    int code = take_all(held_out, need, &s->validation, &s->validation_sessions, e);
    if (!code && !s->validation.n && need == NEED_SAMPLES) {
        code = take_all(held_out, NEED_FRAME, &s->validation, &s->validation_sessions, e);
        s->validation_random = 1;
    }
    if (!code && !s->validation.n)
        code = err_set(e, ERR_DATA, "%s: no usable frames for validation", dataset_path(held_out, 0));
    return code ? code : prefer_frames(s, held_out, s->validation_random ? NEED_FRAME : need, e);
}

int split_make(struct split *s, struct dataset *d, struct dataset *held_out, int need,
               const struct training_config *t, struct err *e)
{
    *s = (struct split){0};
    int code = take_all(d, need, &s->train, &s->train_sessions, e);
    if (!code && !s->train.n)
        return err_set(e, ERR_DATA, "%s: no usable frames: training needs rows with %s", dataset_path(d, 0),
                       need & NEED_FRAME && need & NEED_SAMPLES ? "a full frame and samples"
                       : need & NEED_FRAME                      ? "a full frame"
                                                                : "samples");
    if (code)
        return code;
    if (held_out)
        return from_own_files(s, held_out, need, e);
    if (!strcmp(t->validation, "none"))
        return 0;
    code = s->train_sessions == 1 ? by_time(s, t->validation_share, e) : by_session(s, d, t, e);
    return code ? code : prefer_frames(s, d, need, e);
}
