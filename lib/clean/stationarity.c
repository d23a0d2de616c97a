/* Standardised state, velocities, and what stands still. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "clean/clean.h"

/* What a pass over the states gathers for each column. */
struct column_sums {
    size_t n;
    double sum, squares, low, high;
};

/* Sums over the frames that pass the pre-filter, about the means so far. */
static void gather(const struct clean *c, struct column_sums *column)
{
    for (size_t i = 0; i < c->sessions; i++) {
        const struct clean_session *s = &c->session[i];
        for (size_t t = 0; t < s->T; t++) {
            if (s->reason[t] != CLEAN_KEPT)
                continue;
            for (size_t j = 0; j < s->S; j++) {
                double x = s->state[t * s->S + j] - c->mean[j];
                if (isnan(x))
                    continue;
                column[j].n++;
                column[j].sum += x;
                column[j].squares += x * x;
                column[j].low = fmin(column[j].low, x);
                column[j].high = fmax(column[j].high, x);
            }
        }
    }
}

int clean_standardise(struct clean *c, struct err *e)
{
    struct column_sums *column;
    free(c->mean);
    free(c->deviation);
    c->mean = c->deviation = NULL;
    c->columns = 0;
    int r = mem_alloc(&column, c->S, sizeof *column, "state statistics", e);
    if (r)
        return r;
    r = mem_alloc(&c->mean, c->S, sizeof *c->mean, "state statistics", e);
    r = r ? r : mem_alloc(&c->deviation, c->S, sizeof *c->deviation, "state statistics", e);
    for (int pass = 0; pass < 2 && !r; pass++) { /* the second is about the mean: no digits are lost */
        for (size_t j = 0; j < c->S; j++)
            column[j] = (struct column_sums){.low = INFINITY, .high = -INFINITY};
        gather(c, column);
        for (size_t j = 0; j < c->S; j++) {
            if (!column[j].n)
                continue;
            double n = (double)column[j].n;
            if (!pass)
                c->mean[j] = column[j].sum / n;
            else if (column[j].high > column[j].low)
                c->deviation[j] = sqrt(column[j].squares / n);
            c->columns += c->deviation[j] > 0;
        }
    }
    free(column);
    return r;
}

/* Between rows t-1 and t; NAN when no column is valid in both. Raw: every column in its own unit, a frame. Where no column
 * of the data set ever changes, nothing moves. */
static double step_velocity(const struct clean *c, const struct clean_session *s, size_t t, int raw)
{
    const float *a = s->state + (t - 1) * s->S, *b = a + s->S;
    double sum = 0;
    size_t valid = 0;
    for (size_t j = 0; j < s->S; j++) {
        if (isnan(a[j]) || isnan(b[j]) || (!raw && c->columns && !(c->deviation[j] > 0)))
            continue;
        double d = (double)b[j] - (double)a[j];
        if (!raw && c->columns)
            d /= c->deviation[j];
        sum += d * d;
        valid++;
    }
    if (!valid)
        return NAN;
    double dt = s->time[t] - s->time[t - 1];
    if (!(dt > 0))
        dt = 1 / (s->fps > 0 ? s->fps : RECORDING_USUAL_FPS);
    return raw ? sqrt(sum) : sqrt(sum) / dt;
}

/* A frame without a predecessor (the first of a session, or after a row without state) takes the next one's. */
static void session_velocities(const struct clean *c, struct clean_session *s, int raw)
{
    for (size_t t = 1; t < s->T; t++)
        s->velocity[t] = (float)step_velocity(c, s, t, raw);
    for (size_t t = 0; t + 1 < s->T; t++)
        if (isnan(s->velocity[t]))
            s->velocity[t] = s->velocity[t + 1];
}

/* Velocities of the frames that pass the pre-filter, sorted into x; session == sessions: of all. */
static size_t collect(const struct clean *c, size_t session, double *x)
{
    size_t n = 0;
    for (size_t i = 0; i < c->sessions; i++) {
        const struct clean_session *s = &c->session[i];
        for (size_t t = 0; (session == c->sessions || session == i) && t < s->T; t++)
            if (s->reason[t] == CLEAN_KEPT && !isnan(s->velocity[t]))
                x[n++] = s->velocity[t];
    }
    clean_sort(x, n);
    return n;
}

/* Of each run of slow frames the first stays, and then one in keep_every. Rows dropped before neither count nor end it. */
static void thin_runs(struct clean_session *s, double threshold, size_t keep_every)
{
    size_t run = 0;
    for (size_t t = 0; t < s->T; t++) {
        if (s->reason[t] != CLEAN_KEPT)
            continue;
        if (!(s->velocity[t] < threshold)) {
            run = 0;
            continue;
        }
        if (run && (!keep_every || run % keep_every))
            s->reason[t] = CLEAN_STATIONARY;
        run++;
    }
}

int clean_stationarity(struct clean *c, const struct clean_params *p, struct err *e)
{
    double *x;
    int r = mem_alloc(&x, c->n, sizeof *x, "the velocities", e);
    if (r)
        return r;
    c->raw_velocity = p->raw_velocity;
    for (size_t i = 0; i < c->sessions; i++)
        session_velocities(c, &c->session[i], p->raw_velocity);
    for (size_t i = 0; i < c->sessions; i++)
        c->session[i].median = clean_percentile(x, collect(c, i, x), 50);
    size_t n = collect(c, c->sessions, x);
    c->median = clean_percentile(x, n, 50);
    c->threshold = n ? fmax(p->ratio * c->median, p->noise_floor) : NAN;
    free(x);
    for (size_t i = 0; i < c->sessions && n; i++) {
        struct clean_session *s = &c->session[i];
        if (p->stationarity == STATIONARITY_FRAME)
            thin_runs(s, c->threshold, p->keep_every);
        for (size_t t = 0; p->stationarity == STATIONARITY_SESSION && s->median < c->threshold && t < s->T;
             t++)
            if (s->reason[t] == CLEAN_KEPT)
                s->reason[t] = CLEAN_STATIONARY_SESSION;
    }
    return 0;
}
