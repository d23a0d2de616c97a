/* Rows of a recording. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/recording_private.h"

static int check_rows(const struct recording *r, const struct session *s, size_t t0, size_t n, struct err *e)
{
    if (t0 <= s->info.T && n <= s->info.T - t0)
        return 0;
    return err_set(e, ERR_INTERNAL, "%s: /sessions/%s: row %zu is asked for, there are %zu", r->shown, s->id,
                   t0 + n - 1, s->info.T);
}

static int begin(struct recording *r, size_t session, size_t t0, size_t n, struct session **s, struct err *e)
{
    int bad = recording_use(r, session, s, e);
    return bad ? bad : check_rows(r, *s, t0, n, e);
}

static int finish(const struct recording *r, const struct session *s, int bad, struct err *e)
{
    return bad && e ? recording_place(r, s, e) : bad;
}

static int have(const struct session *s, enum column_name name)
{
    return s->column[name].id > 0;
}

int recording_columns(struct recording *r, size_t session, size_t t0, size_t n, int64_t *frame_id,
                      double *timestamp, double *recv_time, int64_t *set, struct err *e)
{
    struct session *s;
    int bad = begin(r, session, t0, n, &s, e);
    if (bad)
        return bad;
    double step = s->info.fps > 0 ? 1 / s->info.fps : 1;
    for (size_t i = 0; i < n; i++) {
        if (frame_id)
            frame_id[i] = (int64_t)(t0 + i);
        if (timestamp)
            timestamp[i] = (double)(t0 + i) * step;
        if (recv_time)
            recv_time[i] = NAN;
        if (set)
            set[i] = -1;
    }
    if (s->older)
        return older_columns(r, s, t0, n, frame_id, timestamp, e);
    if (frame_id && have(s, FRAME_ID))
        bad = column_read(&s->column[FRAME_ID], t0, n, frame_id, e);
    if (!bad && timestamp && have(s, TIMESTAMP))
        bad = column_read(&s->column[TIMESTAMP], t0, n, timestamp, e);
    if (!bad && recv_time && have(s, RECV_TIME))
        bad = column_read(&s->column[RECV_TIME], t0, n, recv_time, e);
    if (!bad && set && have(s, SAMPLE_SET))
        bad = column_read(&s->column[SAMPLE_SET], t0, n, set, e);
    return finish(r, s, bad, e);
}

int recording_state(struct recording *r, size_t session, size_t t0, size_t n, float *state,
                    uint16_t *state_len, struct err *e)
{
    struct session *s;
    int bad = begin(r, session, t0, n, &s, e);
    if (bad)
        return bad;
    if (s->older) {
        for (size_t i = 0; i < n && !bad; i++)
            bad = older_state(r, s, t0 + i, state ? state + i * s->info.S : NULL,
                              state_len ? state_len + i : NULL, e);
        return bad;
    }
    if (state && have(s, STATE))
        bad = column_read(&s->column[STATE], t0, n, state, e);
    if (!bad && state_len && have(s, STATE_LEN))
        bad = column_read(&s->column[STATE_LEN], t0, n, state_len, e);
    else if (state_len)
        for (size_t i = 0; i < n; i++) /* without the column every entry counts */
            state_len[i] = (uint16_t)s->info.S;
    for (size_t i = 0; i < n && !bad && state_len; i++)
        if (state_len[i] > s->info.S)
            bad = err_set(e, ERR_DATA, "state_len[%zu]: is %d, the state has %zu columns", t0 + i,
                          state_len[i], s->info.S);
    return finish(r, s, bad, e);
}

/* Offsets of rows t0 .. t0+n, which must grow and stay inside the samples. */
static int read_offsets(struct session *s, size_t t0, size_t n, uint64_t *offset, struct err *e)
{
    size_t rows = s->column[UV].rows < s->column[VALUE].rows ? s->column[UV].rows : s->column[VALUE].rows;
    int bad = column_read(&s->column[OFFSET], t0, n + 1, offset, e);
    for (size_t i = 0; i < n && !bad; i++)
        if (offset[i + 1] < offset[i] || offset[i + 1] > rows)
            bad = err_set(e, ERR_DATA, "samples/offset[%zu]: is %llu after %llu, there are %zu samples",
                          t0 + i + 1, (unsigned long long)offset[i + 1], (unsigned long long)offset[i], rows);
    return bad;
}

int recording_counts(struct recording *r, size_t session, size_t t0, size_t n, size_t *counts, struct err *e)
{
    struct session *s;
    int bad = begin(r, session, t0, n, &s, e);
    for (size_t done = 0; done < n && !bad;) {
        uint64_t offset[513];
        size_t part = n - done < 512 ? n - done : 512;
        if (s->info.has_samples && !s->older)
            bad = read_offsets(s, t0 + done, part, offset, e);
        for (size_t i = 0; i < part && !bad; i++)
            counts[done + i] = s->older              ? older_count(s, t0 + done + i)
                               : s->info.has_samples ? (size_t)(offset[i + 1] - offset[i])
                                                     : 0;
        done += part;
        bad = finish(r, s, bad, e);
    }
    return bad;
}

static int samples_room(struct samples *out, size_t n, struct err *e)
{
    size_t capacity = out->capacity;
    int bad = mem_grow(&out->uv, &capacity, n, 2 * sizeof *out->uv, "samples", e);
    if (bad)
        return bad;
    size_t values = out->capacity;
    bad = mem_grow(&out->value, &values, capacity, sizeof *out->value, "samples", e);
    if (!bad)
        out->capacity = capacity;
    return bad;
}

enum samples_fault samples_fault_of(enum samples_fault so_far, float x, float most)
{
    if (!isfinite(x))
        return SAMPLES_NOT_FINITE;
    return so_far == SAMPLES_SOUND && (x < 0 || x > most) ? SAMPLES_OUT_OF_RANGE : so_far;
}

const char *recording_number(float x, char text[24])
{
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, 24, "%.*g", digits, (double)x);
        if (strtof(text, NULL) == x)
            break;
    }
    return text;
}

const char *recording_hint(const struct recording *r)
{
    return r->any ? "" : " (sgaps-info --check lists all)";
}

/* offset: of the first sample in the column, for the message. */
static int check_samples(const struct recording *r, struct samples *s, size_t offset, int check,
                         struct err *e)
{
    char u[24];
    for (size_t i = 0; i < 2 * s->n; i++) {
        if (s->uv[i] >= 0 && s->uv[i] <= 1)
            continue;
        if (check)
            return err_set(e, ERR_DATA, "samples/uv[%zu]: %c=%s is outside [0,1]%s", offset + i / 2,
                           i % 2 ? 'v' : 'u', recording_number(s->uv[i], u), recording_hint(r));
        s->fault = samples_fault_of(s->fault, s->uv[i], 1);
    }
    return 0;
}

int recording_samples(struct recording *r, size_t session, size_t t, int check, struct samples *out,
                      struct err *e)
{
    struct session *s;
    uint64_t offset[2] = {0};
    out->n = 0;
    out->fault = SAMPLES_SOUND;
    int bad = begin(r, session, t, 1, &s, e);
    if (bad || !s->info.has_samples)
        return bad;
    if (s->older) {
        bad = samples_room(out, older_count(s, t), e);
        return bad ? bad : older_samples(r, s, t, check, out, e);
    }
    bad = read_offsets(s, t, 1, offset, e);
    size_t n = (size_t)(offset[1] - offset[0]);
    bad = bad ? bad : samples_room(out, n, e);
    bad = bad ? bad : column_read(&s->column[UV], (size_t)offset[0], n, out->uv, e);
    bad = bad ? bad : column_read(&s->column[VALUE], (size_t)offset[0], n, out->value, e);
    if (!bad)
        out->n = n;
    if (!bad)
        bad = check_samples(r, out, (size_t)offset[0], check, e);
    return finish(r, s, bad, e);
}

void samples_release(struct samples *s)
{
    free(s->uv);
    free(s->value);
    *s = (struct samples){0};
}

/* --- pictures --- */

long long recording_image_row(const struct session *s, size_t t)
{
    if (!s->frame_row)
        return t < s->info.K ? (long long)t : -1;
    size_t low = 0, high = s->info.K;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (s->frame_row[middle] < t)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->info.K && s->frame_row[low] == t ? (long long)low : -1;
}

int recording_frame(struct recording *r, size_t session, size_t t, uint8_t *out, int *present, struct err *e)
{
    struct session *s;
    *present = 0;
    int bad = begin(r, session, t, 1, &s, e);
    if (bad || !s->info.has_frames)
        return bad;
    if (s->older) {
        *present = older_image_present(s, t);
        return *present ? older_frame(r, s, t, out, e) : 0;
    }
    long long row = recording_image_row(s, t);
    if (row < 0)
        return 0;
    bad = column_read(&s->column[FRAMES], (size_t)row, 1, out, e);
    *present = !bad;
    return finish(r, s, bad, e);
}

int recording_frames_present(struct recording *r, size_t session, uint8_t *present, struct err *e)
{
    struct session *s;
    int bad = begin(r, session, 0, 0, &s, e);
    for (size_t t = 0; t < s->info.T && !bad; t++)
        present[t] = s->older ? older_image_present(s, t) : recording_image_row(s, t) >= 0;
    return bad;
}

static int lacks(const struct recording *r, const struct session *s, const char *what, struct err *e)
{
    return err_set(e, ERR_DATA, "%s: /sessions/%s: has no %s", r->shown, s->id, what);
}

int recording_reconstruction(struct recording *r, size_t session, size_t t, float *out, struct err *e)
{
    struct session *s;
    int bad = begin(r, session, t, 1, &s, e);
    if (bad)
        return bad;
    if (!s->info.has_reconstruction)
        return lacks(r, s, "reconstruction", e);
    struct column *c = &s->column[RECONSTRUCTION];
    bad = column_read(c, t, 1, out, e);
    if (!bad && !s->info.reconstruction_f32)
        for (size_t i = 0; i < c->width; i++)
            out[i] /= 255.0f;
    return finish(r, s, bad, e);
}

int recording_reconstruction_u8(struct recording *r, size_t session, size_t t, uint8_t *out, struct err *e)
{
    struct session *s;
    int bad = begin(r, session, t, 1, &s, e);
    if (bad)
        return bad;
    size_t n = s->column[RECONSTRUCTION].width;
    float *row;
    bad = mem_alloc(&row, n, sizeof *row, "a reconstruction", e);
    bad = bad ? bad : recording_reconstruction(r, session, t, row, e);
    for (size_t i = 0; i < n && !bad; i++) {
        float x = row[i] * 255.0f;
        out[i] = x > 0 ? (uint8_t)(x < 255 ? lrintf(x) : 255) : 0; /* NAN is black */
    }
    free(row);
    return bad;
}

int recording_importance(struct recording *r, size_t session, size_t t, float *out, struct err *e)
{
    struct session *s;
    int bad = begin(r, session, t, 1, &s, e);
    if (bad)
        return bad;
    if (!s->info.has_importance)
        return lacks(r, s, "importance", e);
    return finish(r, s, column_read(&s->column[IMPORTANCE], t, 1, out, e), e);
}
