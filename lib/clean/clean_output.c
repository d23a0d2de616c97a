/* The cleaned recording and its audit trail. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "clean/clean.h"

enum { BLOCK = 1024 };

/* Rows of the source, block by block, and one row's samples and outputs. */
struct row_buffer {
    int64_t *frame_id, *set;
    double *timestamp, *recv_time;
    float *state;
    uint16_t *state_len;
    struct samples samples;
    uint8_t *picture;
    float *picture_f32, *importance;
};

static void buffer_release(struct row_buffer *b)
{
    free(b->frame_id);
    free(b->set);
    free(b->timestamp);
    free(b->recv_time);
    free(b->state);
    free(b->state_len);
    free(b->picture);
    free(b->picture_f32);
    free(b->importance);
    samples_release(&b->samples);
}

static int buffer_init(struct row_buffer *b, const struct session_info *info, struct err *e)
{
    const char *what = "a block of rows";
    size_t pixels = (size_t)info->W * info->H;
    *b = (struct row_buffer){0};
    int r = mem_alloc(&b->frame_id, BLOCK, sizeof *b->frame_id, what, e);
    r = r ? r : mem_alloc(&b->set, BLOCK, sizeof *b->set, what, e);
    r = r ? r : mem_alloc(&b->timestamp, BLOCK, sizeof *b->timestamp, what, e);
    r = r ? r : mem_alloc(&b->recv_time, BLOCK, sizeof *b->recv_time, what, e);
    r = r ? r : mem_alloc(&b->state, BLOCK * info->S, sizeof *b->state, what, e);
    r = r ? r : mem_alloc(&b->state_len, BLOCK, sizeof *b->state_len, what, e);
    if (!r && info->has_reconstruction && info->reconstruction_f32)
        r = mem_alloc(&b->picture_f32, pixels, sizeof *b->picture_f32, "a reconstruction", e);
    else if (!r && info->has_reconstruction)
        r = mem_alloc(&b->picture, pixels, 1, "a reconstruction", e);
    if (!r && info->has_importance)
        r = mem_alloc(&b->importance, (size_t)info->map_w * info->map_h, sizeof *b->importance,
                      "an importance map", e);
    return r;
}

static int read_block(struct row_buffer *b, struct recording *r, const struct clean_session *s, size_t t,
                      size_t n, struct err *e)
{
    int bad = recording_columns(r, s->session, t, n, b->frame_id, b->timestamp, b->recv_time, b->set, e);
    if (!bad && s->S)
        bad = recording_state(r, s->session, t, n, b->state, b->state_len, e);
    return bad;
}

/* Row t, which is row i of the block. */
static int copy_row(struct row_buffer *b, struct recording *r, const struct clean_session *s, size_t t,
                    size_t i, struct recording_writer *w, struct err *e)
{
    struct frame f = {.frame_id = b->frame_id[i],
                      .timestamp = b->timestamp[i],
                      .recv_time = b->recv_time[i],
                      .state = s->S ? b->state + i * s->S : NULL,
                      .state_n = s->S ? b->state_len[i] : 0,
                      .set = b->set[i],
                      .importance = b->importance,
                      .reconstruction = b->picture,
                      .reconstruction_f32 = b->picture_f32};
    int bad = 0;
    if (s->has_samples) {
        bad = recording_samples(r, s->session, t, 0, &b->samples, e);
        f.samples_n = b->samples.n;
        f.uv = b->samples.uv;
        f.value = b->samples.value;
    }
    if (!bad && b->picture)
        bad = recording_reconstruction_u8(r, s->session, t, b->picture, e);
    if (!bad && b->picture_f32)
        bad = recording_reconstruction(r, s->session, t, b->picture_f32, e);
    if (!bad && b->importance)
        bad = recording_importance(r, s->session, t, b->importance, e);
    return bad ? bad : recording_append_from(w, &f, r, s->session, t, e);
}

static size_t kept_frames(const struct clean_session *s)
{
    size_t n = 0;
    for (size_t t = 0; t < s->T; t++)
        n += s->reason[t] == CLEAN_KEPT;
    return n;
}

int clean_write_session(const struct clean *c, size_t i, struct recording *source, struct recording_writer *w,
                        clean_progress_fn progress, void *user, struct err *e)
{
    const struct clean_session *s = &c->session[i];
    if (!kept_frames(s))
        return 0;
    if (s->session >= recording_sessions(source) || recording_session(source, s->session)->T != s->T)
        return err_set(e, ERR_DATA, "%s: has changed while it was cleaned", recording_path(source));
    struct session_info info = *recording_session(source, s->session);
    int closed = info.closed != 0; /* where it is not said, nothing speaks against it */
    struct row_buffer b;
    info.id = s->id;
    int r = buffer_init(&b, &info, e);
    r = r ? r : recording_begin(w, &info, e);
    size_t done = 0;
    for (size_t t = 0; t < s->T && !r; t += BLOCK) {
        size_t n = s->T - t < BLOCK ? s->T - t : BLOCK;
        r = read_block(&b, source, s, t, n, e);
        for (size_t k = 0; k < n && !r; k++) {
            if (s->reason[t + k] != CLEAN_KEPT)
                continue;
            r = copy_row(&b, source, s, t + k, k, w, e);
            if (progress)
                progress(user, ++done);
        }
    }
    buffer_release(&b);
    return r ? r : recording_end(w, closed, e);
}

static int write_session_trail(const struct clean_session *s, const char *path, struct recording_writer *w,
                               struct err *e)
{
    uint8_t *keep;
    int r = mem_alloc(&keep, s->T, 1, "the audit trail", e);
    if (r)
        return r;
    for (size_t t = 0; t < s->T; t++)
        keep[t] = s->reason[t] == CLEAN_KEPT;
    r = recording_clean_source(w, s->id, s->source_id, s->source_uuid, path, e);
    r = r ? r : recording_write_clean(w, s->id, "keep", "u1", keep, s->T, e);
    free(keep);
    r = r ? r : recording_write_clean(w, s->id, "reason", "u1", s->reason, s->T, e);
    r = r ? r : recording_write_clean(w, s->id, "velocity", "f4", s->velocity, s->T, e);
    return r ? r : recording_write_clean(w, s->id, "cluster", "i4", s->cluster, s->T, e);
}

/* The names and numbers below are the program's own: nothing in them needs escaping. */
static void put_parameters(const struct clean *c, const struct clean_params *p, FILE *f)
{
    static const char *const stationarity[] = {"frame", "session", "none"};
    fprintf(f, "{\"min_pixels\": %zu, \"stationarity\": \"%s\", \"raw_velocity\": %s, \"ratio\": %.15g, ",
            p->min_pixels, stationarity[p->stationarity], p->raw_velocity ? "true" : "false", p->ratio);
    fprintf(f, "\"noise_floor\": %.15g, \"keep_every\": %zu, \"clusters\": %zu, \"cap\": \"%s\", ",
            p->noise_floor, p->keep_every, p->clusters, p->cap);
    fprintf(f, "\"init\": \"%s\", \"seed\": %llu", p->plus_plus ? "kmeans++" : "random",
            (unsigned long long)p->seed);
    if (!isnan(c->threshold))
        fprintf(f, ", \"velocity_median\": %.9g, \"velocity_threshold\": %.9g", c->median, c->threshold);
    if (c->clusters)
        fprintf(f, ", \"features\": %zu, \"cluster_cap\": %zu, \"iterations\": %d", c->features, c->cap,
                c->iterations);
    fputs("}", f);
}

static void put_counts(const struct clean *c, const struct clean_params *p, FILE *f)
{
    (void)p;
    fprintf(f, "{\"frames\": %zu", c->n);
    for (int i = 0; i < CLEAN_REASONS; i++)
        fprintf(f, ", \"%s\": %zu", clean_reason_name(i), c->count[i]);
    fputs("}", f);
}

/* reason is an index into this list. */
static void put_reasons(const struct clean *c, const struct clean_params *p, FILE *f)
{
    (void)c;
    (void)p;
    for (int i = 0; i < CLEAN_REASONS; i++)
        fprintf(f, "%s\"%s\"", i ? ", " : "[", clean_reason_name(i));
    fputs("]", f);
}

struct note_list {
    FILE *f;
    int n;
};

static void put_note(void *user, const char *text, int usual)
{
    (void)usual;
    struct note_list *list = user;
    fprintf(list->f, "%s%s", list->n++ ? "\n" : "", text);
}

static void put_notes(const struct clean *c, const struct clean_params *p, FILE *f)
{
    struct note_list list = {f, 0};
    (void)p;
    clean_notes(c, put_note, &list);
}

static int write_attribute(const struct clean *c, const struct clean_params *p, const char *name,
                           void (*put)(const struct clean *, const struct clean_params *, FILE *),
                           struct recording_writer *w, struct err *e)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    if (!f)
        return err_memory(e, "an attribute", 0);
    put(c, p, f);
    int r = fclose(f) || !text ? err_memory(e, "an attribute", size) : 0;
    r = r ? r : recording_clean_attribute(w, name, text, e);
    free(text);
    return r;
}

int clean_write_trail(const struct clean *c, const struct clean_params *p, const char *source,
                      const char *const *paths, struct recording_writer *w, struct err *e)
{
    int r = 0;
    for (size_t i = 0; i < c->sessions && !r; i++)
        r = write_session_trail(&c->session[i], paths ? paths[c->session[i].file] : NULL, w, e);
    r = r ? r : write_attribute(c, p, "parameters", put_parameters, w, e);
    r = r ? r : write_attribute(c, p, "counts", put_counts, w, e);
    r = r ? r : write_attribute(c, p, "reasons", put_reasons, w, e);
    r = r ? r : write_attribute(c, p, "notes", put_notes, w, e);
    return r || !source ? r : recording_clean_attribute(w, "source", source, e);
}
