#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "replay.h"

static const size_t MEMORY = (size_t)1 << 30;

static void track_release(struct track *t)
{
    void *all[] = {t->checkpoint_key, t->frame_id, t->timestamp, t->state, t->state_len,
                   t->frames,         t->offset,   t->uv,        t->value};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

void film_release(struct film *f)
{
    for (size_t i = 0; i < f->n; i++)
        track_release(&f->tracks[i]);
    free(f->tracks);
    *f = (struct film){0};
}

static int take_samples(struct track *t, struct recording *r, size_t session, size_t row, struct samples *s,
                        struct err *e)
{
    size_t at = t->offset[t->T];
    int bad = recording_samples(r, session, row, 1, s, e);
    if (!bad)
        bad = mem_grow(&t->uv, &t->uv_capacity, 2 * (at + s->n), sizeof *t->uv, "samples", e);
    if (!bad)
        bad = mem_grow(&t->value, &t->value_capacity, at + s->n, 1, "samples", e);
    if (bad)
        return bad;
    memcpy(t->uv + 2 * at, s->uv, 2 * s->n * sizeof *s->uv);
    memcpy(t->value + at, s->value, s->n);
    t->offset[t->T + 1] = at + s->n;
    return 0;
}

/* A row that has what the track plays; *taken says whether it had. */
static int take_row(struct track *t, struct recording *r, size_t session, size_t row, struct samples *s,
                    int *taken, struct err *e)
{
    int bad;
    if (t->has_frames) {
        bad = recording_frame(r, session, row, t->frames + t->T * t->W * t->H, taken, e);
    } else {
        bad = take_samples(t, r, session, row, s, e);
        *taken = t->offset[t->T + 1] > t->offset[t->T];
    }
    if (!bad)
        bad = recording_columns(r, session, row, 1, &t->frame_id[t->T], &t->timestamp[t->T], NULL, NULL, e);
    if (!bad && t->S)
        bad = recording_state(r, session, row, 1, t->state + t->T * t->S, &t->state_len[t->T], e);
    t->T += !bad && *taken;
    return bad;
}

static int track_take(struct track *t, const struct session_info *s, size_t rows, struct err *e)
{
    int bad = mem_string(&t->checkpoint_key, *s->checkpoint_key ? s->checkpoint_key : "default", e);
    const struct {
        void *out;
        size_t count, size;
    } parts[] = {{&t->frame_id, rows, sizeof *t->frame_id},
                 {&t->timestamp, rows, sizeof *t->timestamp},
                 {&t->state, rows, s->S * sizeof *t->state},
                 {&t->state_len, rows, sizeof *t->state_len},
                 {&t->frames, t->has_frames ? rows : 0, (size_t)s->W * s->H},
                 {&t->offset, rows + 1, sizeof *t->offset}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts && !bad; i++)
        bad = mem_alloc(parts[i].out, parts[i].count, parts[i].size, "the recording", e);
    return bad;
}

/* What a row costs in memory, by the mean of the session's samples. */
static size_t row_bytes(const struct session_info *s)
{
    size_t samples = s->T ? s->M / s->T + 1 : 0;
    return 64 + s->S * sizeof(float) + (s->K ? (size_t)s->W * s->H : samples * 9);
}

static int load_session(struct film *f, struct recording *r, size_t session, size_t memory, struct err *e)
{
    const struct session_info *s = recording_session(r, session);
    struct track *t = &f->tracks[f->n++];
    struct samples samples = {0};
    size_t rows = s->T, most = memory / row_bytes(s);
    int bad = 0, taken;
    *t = (struct track){.W = s->W,
                        .H = s->H,
                        .screen_w = s->screen_w ? s->screen_w : s->W,
                        .screen_h = s->screen_h ? s->screen_h : s->H,
                        .fps = s->fps,
                        .sentinel = s->sentinel,
                        .has_frames = s->K > 0,
                        .S = s->S};
    if (rows > most) {
        log_warning("%s: /sessions/%s: only the first %zu of %zu rows are played", recording_path(r), s->id,
                    most, rows);
        rows = most;
    }
    bad = track_take(t, s, rows, e);
    for (size_t row = 0; row < rows && !bad; row++)
        bad = take_row(t, r, session, row, &samples, &taken, e);
    samples_release(&samples);
    if (!bad && !t->T) { /* nothing to play: the next one takes its place */
        track_release(t);
        f->n--;
    }
    return bad;
}

int film_open(struct film *f, const char *path, struct err *e)
{
    struct recording *r = NULL;
    *f = (struct film){0};
    int bad = recording_open(&r, path, e);
    if (bad)
        return bad;
    size_t n = recording_sessions(r);
    bad = mem_alloc(&f->tracks, n, sizeof *f->tracks, "the recording", e);
    for (size_t i = 0; i < n && !bad; i++)
        bad = load_session(f, r, i, MEMORY / n, e);
    if (!bad && !f->n)
        bad = err_set(e, ERR_DATA, "%s: has neither full frames nor samples to play", recording_path(r));
    recording_close(r);
    return bad;
}
