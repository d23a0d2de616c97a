/* The data set: reading it, each frame's own rules, the counts. */
#include "clean/clean.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { BLOCK = 1024 };

static const char *const reason_names[CLEAN_REASONS] = {
    [CLEAN_KEPT] = "kept",
    [CLEAN_NOT_SELECTED] = "not_selected",
    [CLEAN_NOT_FINITE] = "not_finite",
    [CLEAN_OUT_OF_RANGE] = "out_of_range",
    [CLEAN_NO_STATE] = "no_state",
    [CLEAN_FEW_SAMPLES] = "few_samples",
    [CLEAN_STATIONARY] = "stationary",
    [CLEAN_STATIONARY_SESSION] = "stationary_session",
    [CLEAN_BALANCED] = "balanced",
};

const char *clean_reason_name(int reason)
{
    return reason >= 0 && reason < CLEAN_REASONS ? reason_names[reason] : "unknown";
}

void clean_params_from(struct clean_params *p, const struct config *conf, int raw_velocity, int plus_plus)
{
    const struct cleaning_config *c = &conf->cleaning;
    *p = (struct clean_params){.min_pixels = (size_t)c->min_pixels,
                               .keep_every = (size_t)c->keep_every,
                               .raw_velocity = raw_velocity,
                               .ratio = c->ratio,
                               .noise_floor = c->noise_floor,
                               .clusters = (size_t)c->clusters,
                               .plus_plus = plus_plus,
                               .seed = c->seed};
    p->stationarity = !strcmp(c->stationarity, "frame")     ? STATIONARITY_FRAME
                      : !strcmp(c->stationarity, "session") ? STATIONARITY_SESSION
                                                            : STATIONARITY_NONE;
    if (raw_velocity && !config_given(conf, "cleaning.noise_floor"))
        p->noise_floor = 0.15;
    memcpy(p->cap, c->cap, sizeof p->cap);
}

void clean_init(struct clean *c)
{
    *c = (struct clean){.median = NAN, .threshold = NAN};
}

static void session_release(struct clean_session *s)
{
    free(s->id);
    free(s->source_id);
    free(s->source_uuid);
    free(s->state);
    free(s->time);
    free(s->count);
    free(s->reason);
    free(s->velocity);
    free(s->cluster);
}

void clean_release(struct clean *c)
{
    for (size_t i = 0; i < c->sessions; i++)
        session_release(&c->session[i]);
    free(c->session);
    free(c->mean);
    free(c->deviation);
    free(c->before);
    free(c->after);
    clean_init(c);
}

static int id_taken(const struct clean *c, const char *id)
{
    for (size_t i = 0; i < c->sessions; i++)
        if (!strcmp(c->session[i].id, id))
            return 1;
    return 0;
}

/* Sessions of the same name get -2, -3, as in every output of several inputs. */
static int unique_id(const struct clean *c, const char *id, char **out, struct err *e)
{
    size_t room = strlen(id) + 24;
    int r = mem_alloc(out, room, 1, "a session's name", e);
    if (r)
        return r;
    snprintf(*out, room, "%s", id);
    for (int i = 2; id_taken(c, *out); i++)
        snprintf(*out, room, "%s-%d", id, i);
    return 0;
}

static int session_memory(struct clean_session *s, struct err *e)
{
    size_t cells;
    if (mem_multiply(s->T, s->S, &cells))
        return err_set(e, ERR_DATA, "a state of %zu x %zu is too large", s->T, s->S);
    int r = mem_alloc(&s->state, cells, sizeof *s->state, "the states", e);
    r = r ? r : mem_alloc(&s->time, s->T, sizeof *s->time, "the timestamps", e);
    r = r ? r : mem_alloc(&s->count, s->T, sizeof *s->count, "the sample counts", e);
    r = r ? r : mem_alloc(&s->reason, s->T, sizeof *s->reason, "the reasons", e);
    r = r ? r : mem_alloc(&s->velocity, s->T, sizeof *s->velocity, "the velocities", e);
    r = r ? r : mem_alloc(&s->cluster, s->T, sizeof *s->cluster, "the clusters", e);
    for (size_t t = 0; t < s->T && !r; t++) {
        s->velocity[t] = NAN;
        s->cluster[t] = -1;
    }
    return r;
}

static void drop(struct clean_session *s, size_t t, enum clean_reason reason)
{
    if (s->reason[t] == CLEAN_KEPT)
        s->reason[t] = (uint8_t)reason;
}

/* The sentinel becomes NAN. A row that holds anything not finite is no state at all. */
static void take_state(struct clean_session *s, size_t t, float sentinel)
{
    float *row = s->state + t * s->S;
    size_t valid = 0;
    int finite = 1;
    for (size_t j = 0; j < s->S; j++) {
        int missing = row[j] == sentinel || (isnan(sentinel) && isnan(row[j]));
        if (missing)
            row[j] = NAN;
        else if (isfinite(row[j]))
            valid++;
        else
            finite = 0;
    }
    if (!finite) {
        drop(s, t, CLEAN_NOT_FINITE);
        for (size_t j = 0; j < s->S; j++)
            row[j] = NAN;
    } else if (!valid) {
        drop(s, t, CLEAN_NO_STATE);
    }
}

static void check_samples(struct clean_session *s, size_t t, const struct samples *samples, size_t least)
{
    s->count[t] = samples->n > UINT32_MAX ? UINT32_MAX : (uint32_t)samples->n;
    if (samples->fault != SAMPLES_SOUND)
        drop(s, t, samples->fault == SAMPLES_NOT_FINITE ? CLEAN_NOT_FINITE : CLEAN_OUT_OF_RANGE);
    if (samples->n < least)
        drop(s, t, CLEAN_FEW_SAMPLES);
}

static int read_session(struct clean_session *s, struct recording *r, const struct session_info *info,
                        const struct clean_params *p, size_t done, clean_progress_fn progress, void *user,
                        struct err *e)
{
    struct samples samples = {0};
    int bad = 0;
    for (size_t t = 0; t < s->T && !bad; t += BLOCK) {
        size_t n = s->T - t < BLOCK ? s->T - t : BLOCK;
        bad = recording_columns(r, s->session, t, n, NULL, s->time + t, NULL, NULL, e);
        if (!bad && s->S)
            bad = recording_state(r, s->session, t, n, s->state + t * s->S, NULL, e);
        for (size_t i = t; i < t + n && !bad; i++) {
            if (!isfinite(s->time[i]))
                drop(s, i, CLEAN_NOT_FINITE);
            if (s->S)
                take_state(s, i, info->sentinel);
            if (!s->has_samples)
                continue;
            bad = recording_samples(r, s->session, i, 0, &samples, e);
            if (!bad)
                check_samples(s, i, &samples, p->min_pixels);
        }
        if (progress)
            progress(user, done + t + n);
    }
    samples_release(&samples);
    return bad;
}

static int apply_selection(struct clean_session *s, const struct recording *source,
                           struct recording *selection, struct err *e)
{
    uint8_t *keep;
    int present = 0, r = mem_alloc(&keep, s->T, 1, "a selection", e);
    r = r ? r : recording_keep_of(selection, source, s->session, keep, &present, e);
    for (size_t t = 0; t < s->T && !r && present; t++)
        if (!keep[t])
            drop(s, t, CLEAN_NOT_SELECTED);
    free(keep);
    return r;
}

int clean_add(struct clean *c, struct recording *r, size_t file, const struct clean_params *p,
              struct recording *const *selection, size_t selections, clean_progress_fn progress, void *user,
              struct err *e)
{
    for (size_t i = 0; i < recording_sessions(r); i++) {
        const struct session_info *info = recording_session(r, i);
        struct clean_session s = {.file = file,
                                  .session = i,
                                  .T = info->T,
                                  .S = info->S,
                                  .fps = info->fps,
                                  .has_samples = info->has_samples,
                                  .median = NAN};
        int bad = mem_grow(&c->session, &c->capacity, c->sessions + 1, sizeof s, "the sessions", e);
        bad = bad ? bad : unique_id(c, info->id, &s.id, e);
        bad = bad ? bad : mem_string(&s.source_id, info->id, e);
        bad = bad ? bad : mem_string(&s.source_uuid, recording_attribute(r, "uuid"), e);
        bad = bad ? bad : session_memory(&s, e);
        for (size_t k = 0; k < selections && !bad; k++)
            bad = apply_selection(&s, r, selection[k], e);
        bad = bad ? bad : read_session(&s, r, info, p, c->n, progress, user, e);
        if (bad) {
            session_release(&s);
            return bad;
        }
        c->session[c->sessions++] = s;
        c->n += s.T;
        if (s.S > c->S)
            c->S = s.S;
    }
    return 0;
}

int clean_run(struct clean *c, const struct clean_params *p, clean_progress_fn progress, void *user,
              struct err *e)
{
    int r = clean_standardise(c, e);
    r = r ? r : clean_stationarity(c, p, e);
    r = r ? r : clean_balance(c, p, progress, user, e);
    memset(c->count, 0, sizeof c->count);
    c->without_samples = c->without_state = 0;
    for (size_t i = 0; i < c->sessions; i++) {
        const struct clean_session *s = &c->session[i];
        c->without_samples += !s->has_samples;
        c->without_state += !s->S;
        for (size_t t = 0; t < s->T; t++)
            c->count[s->reason[t]]++;
    }
    return r;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void clean_sort(double *x, size_t n)
{
    qsort(x, n, sizeof *x, by_value);
}

double clean_percentile(const double *sorted, size_t n, double p)
{
    if (!n)
        return NAN;
    double at = p / 100 * (double)(n - 1);
    size_t i = (size_t)at;
    return i + 1 < n ? sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]) : sorted[n - 1];
}
