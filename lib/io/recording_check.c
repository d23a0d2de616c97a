/* sgaps-info --check: reads everything and lists what is wrong. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/recording_private.h"

/* So many faults of one session are told one by one, the rest as a number. */
enum { TELL = 100, BLOCK = 256, PATH_SIZE = 8192 };

struct check {
    struct recording *r;
    struct session *s;
    size_t session;
    recording_fault_fn fn, note;
    void *user;
    long faults, here, notes_here;
};

static void tell(struct check *c, const char *text)
{
    c->faults++;
    if (++c->here <= TELL)
        c->fn(c->user, text);
}

static void place(const struct check *c, char text[1024], const char *fmt, va_list ap)
{
    char reason[512];
    vsnprintf(reason, sizeof reason, fmt, ap);
    snprintf(text, 1024, "%s: /sessions/%s/%s", c->r->shown, c->s->id, reason);
}

static void fault(struct check *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void fault(struct check *c, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    place(c, text, fmt, ap);
    va_end(ap);
    tell(c, text);
}

/* Odd, and still what was meant. */
static void remark(struct check *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void remark(struct check *c, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    if (++c->notes_here > TELL)
        return;
    va_start(ap, fmt);
    place(c, text, fmt, ap);
    va_end(ap);
    c->note(c->user, text);
}

/* What cannot be read is passed over by readers; here it is told. */
static void check_attributes(struct check *c)
{
    static const char *const sizes[] = {"resolution", "screen"};
    static const char *const numbers[] = {"target_fps", "sentinel", "value_range"};
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "/sessions/%s", c->s->id);
    hid_t group = H5Gopen2(c->r->file, path, H5P_DEFAULT);
    if (group < 0)
        return;
    for (int i = 0; i < 2; i++) {
        int64_t side[2] = {0, 0};
        if (H5Aexists(group, sizes[i]) > 0 &&
            (h5_integers(group, sizes[i], side, 2) != 2 || side[0] < 1 || side[1] < 1))
            fault(c, "attribute %s: is not [W,H], two whole numbers from 1", sizes[i]);
    }
    for (int i = 0; i < 3; i++) {
        double x;
        if (H5Aexists(group, numbers[i]) > 0 && (!h5_doubles(group, numbers[i], &x, 1) || !isfinite(x)))
            fault(c, "attribute %s: is not a finite number", numbers[i]);
    }
    H5Gclose(group);
    H5Eclear2(H5E_DEFAULT);
}

/* By it a reader finds the first session without a list. */
static void check_default(struct check *c)
{
    char text[1024];
    const char *name = recording_attribute(c->r, "default");
    if (!name || !*name || !c->r->sessions || c->r->session[0].older)
        return;
    hid_t group = H5Gopen2(c->r->file, name, H5P_DEFAULT);
    if (group >= 0) {
        H5Gclose(group);
        return;
    }
    H5Eclear2(H5E_DEFAULT);
    snprintf(text, sizeof text, "%.300s: attribute default: there is no group '%.300s'", c->r->shown, name);
    tell(c, text);
}

static void check_lengths(struct check *c)
{
    const struct session *s = c->s;
    for (int i = 0; i < COLUMNS; i++) {
        const struct column *column = &s->column[i];
        if (column->id <= 0 || !column_kinds[i].per_row)
            continue;
        size_t rows = i == OFFSET && column->rows ? column->rows - 1 : column->rows;
        if (rows > s->info.T)
            fault(c, "%s: has %zu rows, the shortest column %zu: the writer was interrupted", column->name,
                  rows, s->info.T);
    }
    if (s->column[FRAMES].id > 0 && s->column[FRAMES].rows > s->info.K)
        fault(c, "frames: has %zu rows, %zu of them belong to a row", s->column[FRAMES].rows, s->info.K);
}

static void check_columns(struct check *c, size_t t0, size_t n, double *last)
{
    struct err e;
    double timestamp[BLOCK], recv_time[BLOCK];
    int64_t frame_id[BLOCK];
    if (recording_columns(c->r, c->session, t0, n, frame_id, timestamp, recv_time, NULL, &e)) {
        tell(c, e.text);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(timestamp[i]))
            fault(c, "timestamp[%zu]: is %g", t0 + i, timestamp[i]);
        else if (timestamp[i] < *last) /* the client's clock: a game that loads a saved state sets it back */
            remark(c, "timestamp[%zu]: is %.9g after %.9g, time runs backwards", t0 + i, timestamp[i], *last);
        if (isfinite(timestamp[i]))
            *last = timestamp[i];
        if (c->s->info.has_recv_time && !isfinite(recv_time[i]))
            fault(c, "recv_time[%zu]: is %g", t0 + i, recv_time[i]);
    }
}

static void check_state(struct check *c, size_t t, float *state)
{
    struct err e;
    uint16_t length;
    if (recording_state(c->r, c->session, t, 1, state, &length, &e)) {
        tell(c, e.text);
        return;
    }
    for (size_t i = 0; i < c->s->info.S; i++)
        if (!isfinite(state[i]))
            fault(c, "state[%zu,%zu]: is %g", t, i, (double)state[i]);
}

static void check_samples(struct check *c, size_t t, struct samples *samples)
{
    struct err e;
    if (recording_samples(c->r, c->session, t, 0, samples, &e)) {
        tell(c, e.text);
        return;
    }
    if (samples->fault == SAMPLES_SOUND)
        return;
    uint64_t first = 0;
    if (c->s->older || column_read(&c->s->column[OFFSET], t, 1, &first, &e)) {
        if (recording_samples(c->r, c->session, t, 1, samples, &e)) /* tells the row's first */
            tell(c, e.text);
        return;
    }
    char number[24];
    for (size_t i = 0; i < 2 * samples->n; i++)
        if (!(samples->uv[i] >= 0 && samples->uv[i] <= 1))
            fault(c, "samples/uv[%llu]: %c=%s is outside [0,1] (row %zu)",
                  (unsigned long long)(first + i / 2), i % 2 ? 'v' : 'u',
                  recording_number(samples->uv[i], number), t);
}

static void check_pictures(struct check *c, size_t t, float *row, uint8_t *image)
{
    struct err e;
    int present;
    const struct session_info *info = &c->s->info;
    if (info->has_frames && recording_frame(c->r, c->session, t, image, &present, &e))
        tell(c, e.text);
    if (info->has_reconstruction && recording_reconstruction(c->r, c->session, t, row, &e))
        tell(c, e.text);
    else if (info->has_reconstruction && info->reconstruction_f32)
        for (size_t i = 0; i < (size_t)info->W * info->H; i++)
            if (!isfinite(row[i])) {
                fault(c, "reconstruction[%zu]: pixel %zu is %g", t, i, (double)row[i]);
                break;
            }
    if (info->has_importance && recording_importance(c->r, c->session, t, row, &e))
        tell(c, e.text);
    else if (info->has_importance)
        for (size_t i = 0; i < (size_t)info->map_w * info->map_h; i++)
            if (!(row[i] >= 0 && row[i] <= 1)) {
                fault(c, "importance[%zu]: entry %zu is %g, outside [0,1]", t, i, (double)row[i]);
                break;
            }
}

static int check_session(struct check *c, struct err *e)
{
    const struct session_info *info = &c->s->info;
    size_t pixels = (size_t)info->W * info->H, map = (size_t)info->map_w * info->map_h;
    float *row = NULL, *state = NULL;
    uint8_t *image = NULL;
    struct samples samples = {0};
    double last = -INFINITY;
    int bad = mem_alloc(&row, pixels > map ? pixels : map, sizeof *row, "a frame", e);
    bad = bad ? bad : mem_alloc(&image, pixels, 1, "a frame", e);
    bad = bad ? bad : mem_alloc(&state, info->S, sizeof *state, "a state", e);
    if (!bad && !c->s->older) {
        check_attributes(c);
        check_lengths(c);
    }
    for (size_t t = 0; t < info->T && !bad; t++) {
        if (t % BLOCK == 0)
            check_columns(c, t, info->T - t < BLOCK ? info->T - t : BLOCK, &last);
        if (info->S)
            check_state(c, t, state);
        if (info->has_samples)
            check_samples(c, t, &samples);
        check_pictures(c, t, row, image);
    }
    free(row);
    free(image);
    free(state);
    samples_release(&samples);
    return bad;
}

static void tell_rest(const struct check *c, recording_fault_fn fn, long here)
{
    char text[256];
    if (here <= TELL)
        return;
    snprintf(text, sizeof text, "%.100s: /sessions/%.60s: and %ld more", c->r->shown, c->s->id, here - TELL);
    fn(c->user, text);
}

long recording_check(struct recording *r, recording_fault_fn fn, recording_fault_fn note, void *user,
                     struct err *e)
{
    struct check c = {.r = r, .fn = fn, .note = note, .user = user};
    for (size_t i = 0; i < r->faults; i++)
        tell(&c, r->fault[i]);
    check_default(&c);
    for (size_t i = 0; i < r->sessions; i++) {
        c.session = i;
        c.here = c.notes_here = 0;
        if (recording_use(r, i, &c.s, e) || check_session(&c, e))
            return -1;
        tell_rest(&c, fn, c.here);
        tell_rest(&c, note, c.notes_here);
    }
    return c.faults;
}
