#include "train/dataset.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

/* Each open file may hold 16 MB of decompressed chunks: eight are 128 MB at most. */
enum { MOST_OPEN = 8 };

struct data_file {
    char *path;
    struct recording *open; /* NULL: closed for now */
    uint64_t used;          /* when last, for closing the one unused longest */
    int selection;          /* holds /clean only */
};

struct dataset {
    struct data_file *files;
    size_t file_count, open_count;
    struct dataset_session *sessions;
    size_t session_count, session_capacity;
    uint64_t clock;
    char *uuid;
    pthread_mutex_t lock;
};

static void close_idlest(struct dataset *d)
{
    struct data_file *idle = NULL;
    for (size_t i = 0; i < d->file_count; i++) /* a pipe cannot be opened again */
        if (d->files[i].open && strcmp(d->files[i].path, "-") && (!idle || d->files[i].used < idle->used))
            idle = &d->files[i];
    if (!idle)
        return;
    recording_close(idle->open);
    idle->open = NULL;
    d->open_count--;
}

static int file_open(struct dataset *d, size_t i, struct recording **r, struct err *e)
{
    struct data_file *f = &d->files[i];
    f->used = ++d->clock;
    *r = f->open;
    if (f->open)
        return 0;
    if (d->open_count == MOST_OPEN)
        close_idlest(d);
    int code = recording_open(&f->open, f->path, e);
    if (code)
        return code;
    d->open_count++;
    *r = f->open;
    return 0;
}

static int add_sessions(struct dataset *d, size_t file, struct err *e)
{
    struct recording *r;
    int code = file_open(d, file, &r, e);
    if (code)
        return code;
    size_t n = recording_sessions(r);
    d->files[file].selection = !n;
    const char *uuid = recording_attribute(r, "uuid");
    if (n && !d->uuid)
        code = mem_string(&d->uuid, uuid ? uuid : "", e);
    for (size_t s = 0; s < n && !code; s++) {
        const struct session_info *info = recording_session(r, s);
        if (!info->T) /* says nothing, not even which loss suits */
            continue;
        code = mem_grow(&d->sessions, &d->session_capacity, d->session_count + 1, sizeof *d->sessions,
                        "sessions", e);
        if (code)
            break;
        struct dataset_session *to = &d->sessions[d->session_count++];
        *to = (struct dataset_session){
            .file = (uint32_t)file,
            .in_file = (uint32_t)s,
            .W = info->W,
            .H = info->H,
            .sentinel = info->sentinel,
            .T = info->T,
            .S = info->S,
            .has_samples = info->has_samples,
            .has_frames = info->has_frames,
        };
        code = mem_string(&to->id, info->id, e);
        if (!code)
            code = mem_string(&to->checkpoint_key, info->checkpoint_key, e);
        if (!code && info->T > UINT32_MAX)
            code = err_set(e, ERR_DATA, "%s: session %s has %zu frames: too many", d->files[file].path,
                           info->id, info->T);
    }
    return code;
}

int dataset_open(struct dataset **out, const char *const *files, size_t count, struct err *e)
{
    struct dataset *d;
    *out = NULL;
    int code = mem_alloc(&d, 1, sizeof *d, "a data set", e);
    if (code)
        return code;
    pthread_mutex_init(&d->lock, NULL);
    code = mem_alloc(&d->files, count, sizeof *d->files, "a data set's files", e);
    for (size_t i = 0; i < count && !code; i++) {
        d->file_count = i + 1;
        code = mem_string(&d->files[i].path, files[i], e);
        if (!code)
            code = add_sessions(d, i, e);
    }
    if (!code && !d->session_count)
        code = err_set(e, ERR_DATA, "%s: no sessions to train on", count ? files[0] : "no files");
    if (code)
        dataset_close(d);
    else
        *out = d;
    return code;
}

void dataset_close(struct dataset *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->file_count; i++) {
        if (d->files[i].open)
            recording_close(d->files[i].open);
        free(d->files[i].path);
    }
    for (size_t i = 0; i < d->session_count; i++) {
        free(d->sessions[i].id);
        free(d->sessions[i].checkpoint_key);
    }
    pthread_mutex_destroy(&d->lock);
    free(d->files);
    free(d->sessions);
    free(d->uuid);
    free(d);
}

size_t dataset_sessions(const struct dataset *d)
{
    return d->session_count;
}

const struct dataset_session *dataset_session(const struct dataset *d, size_t i)
{
    return &d->sessions[i];
}

const char *dataset_path(const struct dataset *d, size_t session)
{
    return d->files[d->sessions[session].file].path;
}

const char *dataset_uuid(const struct dataset *d)
{
    return d->uuid ? d->uuid : "";
}

void rows_release(struct rows *rows)
{
    free(rows->items);
    *rows = (struct rows){0};
}

int rows_append(struct rows *rows, struct row row, struct err *e)
{
    int r =
        mem_grow(&rows->items, &rows->capacity, rows->n + 1, sizeof *rows->items, "the index of frames", e);
    if (!r)
        rows->items[rows->n++] = row;
    return r;
}

/* keep (T) starts as all ones; every selection that knows the session takes rows out. */
static int apply_selections(struct dataset *d, const struct dataset_session *s, uint8_t *keep, struct err *e)
{
    uint8_t *chosen;
    int code = mem_alloc(&chosen, s->T, 1, "a selection", e);
    for (size_t i = 0; i < d->file_count && !code; i++) {
        struct recording *source, *r;
        int present = 0;
        if (!d->files[i].selection)
            continue;
        code =
            file_open(d, s->file, &source, e); /* and it stays so: the one used last is not closed for room */
        if (!code)
            code = file_open(d, i, &r, e);
        if (!code)
            code = recording_keep_of(r, source, s->in_file, chosen, &present, e);
        for (size_t t = 0; t < s->T && present && !code; t++)
            keep[t] &= chosen[t] != 0;
    }
    free(chosen);
    return code;
}

static int drop_sampleless(struct recording *r, const struct dataset_session *s, uint8_t *keep, struct err *e)
{
    enum { BLOCK = 1024 };
    size_t counts[BLOCK];
    int code = 0;
    for (size_t t = 0; t < s->T && !code; t += BLOCK) {
        size_t n = s->T - t < BLOCK ? s->T - t : BLOCK;
        code = recording_counts(r, s->in_file, t, n, counts, e);
        for (size_t i = 0; i < n && !code; i++)
            keep[t + i] &= counts[i] > 0;
    }
    return code;
}

static int drop_frameless(struct recording *r, const struct dataset_session *s, uint8_t *keep, struct err *e)
{
    uint8_t *present;
    int code = mem_alloc(&present, s->T, 1, "which rows have frames", e);
    if (!code)
        code = recording_frames_present(r, s->in_file, present, e);
    for (size_t t = 0; t < s->T && !code; t++)
        keep[t] &= present[t] != 0;
    free(present);
    return code;
}

int dataset_rows(struct dataset *d, size_t session, int need, struct rows *rows, struct err *e)
{
    const struct dataset_session *s = &d->sessions[session];
    struct recording *r;
    uint8_t *keep;
    if ((need & NEED_FRAME && !s->has_frames) || (need & NEED_SAMPLES && !s->has_samples))
        return 0;
    int code = mem_alloc(&keep, s->T, 1, "which rows are used", e);
    if (code)
        return code;
    memset(keep, 1, s->T);
    code = apply_selections(d, s, keep, e);
    if (!code)
        code = file_open(d, s->file, &r, e);
    if (!code && need & NEED_SAMPLES)
        code = drop_sampleless(r, s, keep, e);
    if (!code && need & NEED_FRAME)
        code = drop_frameless(r, s, keep, e);
    for (size_t t = 0; t < s->T && !code; t++)
        if (keep[t])
            code = rows_append(rows, (struct row){(uint32_t)session, (uint32_t)t}, e);
    free(keep);
    return code;
}

static int read_state(struct recording *r, const struct dataset_session *s, size_t t, struct dataset_frame *f,
                      struct err *e)
{
    uint16_t length = 0;
    f->state_n = 0;
    f->sentinel = s->sentinel;
    if (!s->S)
        return 0;
    int code = mem_grow(&f->state, &f->state_capacity, s->S, sizeof *f->state, "a state", e);
    if (!code)
        code = recording_state(r, s->in_file, t, 1, f->state, &length, e);
    if (!code)
        f->state_n = length && length < s->S ? length : s->S;
    return code;
}

static int read_locked(struct dataset *d, struct row row, int what, struct dataset_frame *f, struct err *e)
{
    const struct dataset_session *s = &d->sessions[row.session];
    struct recording *r;
    int code = file_open(d, s->file, &r, e);
    f->W = s->W;
    f->H = s->H;
    f->has_image = 0;
    f->samples.n = 0;
    if (!code && what & READ_IMAGE && s->has_frames) {
        code = mem_grow(&f->image, &f->image_capacity, (size_t)s->W * s->H, 1, "a frame", e);
        if (!code)
            code = recording_frame(r, s->in_file, row.t, f->image, &f->has_image, e);
    }
    if (!code && what & READ_SAMPLES)
        code = recording_samples(r, s->in_file, row.t, 1, &f->samples, e);
    if (!code && what & READ_STATE)
        code = read_state(r, s, row.t, f, e);
    return code;
}

int dataset_read(struct dataset *d, struct row row, int what, struct dataset_frame *f, struct err *e)
{
    pthread_mutex_lock(&d->lock);
    int code = read_locked(d, row, what, f, e);
    pthread_mutex_unlock(&d->lock);
    return code;
}

void dataset_frame_release(struct dataset_frame *f)
{
    free(f->image);
    free(f->state);
    samples_release(&f->samples);
    *f = (struct dataset_frame){0};
}

/* Running mean and sum of squared deviations (Welford), which keeps its digits where values are large. */
struct column {
    double n, mean, m2;
};

static void columns_add(struct column *c, size_t S, const struct dataset_frame *f)
{
    for (size_t i = 0; i < S && i < f->state_n; i++) {
        double x = f->state[i];
        if (!isfinite(x) || f->state[i] == f->sentinel)
            continue;
        double delta = x - c[i].mean;
        c[i].n++;
        c[i].mean += delta / c[i].n;
        c[i].m2 += delta * (x - c[i].mean);
    }
}

int dataset_state_statistics(struct dataset *d, const struct rows *rows, size_t S, float *mean, float *std,
                             struct err *e)
{
    struct column *c;
    struct dataset_frame f = {0};
    int code = mem_alloc(&c, S, sizeof *c, "state statistics", e);
    for (size_t i = 0; i < rows->n && !code; i++) {
        code = dataset_read(d, rows->items[i], READ_STATE, &f, e);
        if (!code)
            columns_add(c, S, &f);
    }
    for (size_t i = 0; i < S && !code; i++) {
        double deviation = c[i].n > 1 ? sqrt(c[i].m2 / c[i].n) : 0;
        mean[i] = (float)c[i].mean;
        std[i] = deviation > 1e-6 * (1 + fabs(c[i].mean)) ? (float)deviation : 1.0f;
    }
    dataset_frame_release(&f);
    free(c);
    return code;
}
