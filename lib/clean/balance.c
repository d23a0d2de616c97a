/* Balancing: clusters of alike frames are thinned to a cap. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/philox.h"
#include "clean/clean.h"
#include "clean/kmeans.h"

/* How much the number of samples counts beside a state column. */
#define SAMPLES_WEIGHT 0.5

/* A frame that takes part. */
struct member {
    struct clean_session *s;
    size_t t;
};

/* Kept frames of sessions that have a state. */
static int find_members(const struct clean *c, struct member **members, size_t *count, struct err *e)
{
    int r = mem_alloc(members, c->n, sizeof **members, "the frames to balance", e);
    *count = 0;
    for (size_t i = 0; i < c->sessions && !r; i++)
        for (size_t t = 0; c->session[i].S && t < c->session[i].T; t++)
            if (c->session[i].reason[t] == CLEAN_KEPT)
                (*members)[(*count)++] = (struct member){&c->session[i], t};
    return r;
}

static double sample_feature(const struct member *m)
{
    return log10((double)m->s->count[m->t] + 1);
}

/* Mean and deviation of log10(samples+1) over the members that have samples; deviation 0: constant, or none. */
static void sample_statistics(const struct member *m, size_t n, double *mean, double *deviation)
{
    double sum = 0, squares = 0, low = INFINITY, high = -INFINITY;
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        if (!m[i].s->has_samples)
            continue;
        double x = sample_feature(&m[i]);
        sum += x;
        used++;
        low = fmin(low, x);
        high = fmax(high, x);
    }
    *mean = used ? sum / (double)used : 0;
    for (size_t i = 0; i < n; i++)
        if (m[i].s->has_samples)
            squares += pow(sample_feature(&m[i]) - *mean, 2);
    *deviation = high > low ? sqrt(squares / (double)used) : 0;
}

/* (n, features): the standardised state columns in use, a missing entry 0; then the number of samples. */
static int make_features(struct clean *c, const struct member *m, size_t n, double **out, struct err *e)
{
    double mean, deviation;
    size_t cells;
    sample_statistics(m, n, &mean, &deviation);
    c->features = c->columns + (deviation > 0);
    if (mem_multiply(n, c->features, &cells))
        return err_set(e, ERR_DATA, "%zu frames of %zu features are too many", n, c->features);
    int r = mem_alloc(out, cells, sizeof **out, "the features", e);
    if (r)
        return r;
    for (size_t i = 0; i < n; i++) {
        const struct clean_session *s = m[i].s;
        double *x = *out + i * c->features;
        for (size_t j = 0; j < c->S; j++) {
            if (!(c->deviation[j] > 0))
                continue;
            double v = j < s->S ? s->state[m[i].t * s->S + j] : NAN;
            *x++ = isnan(v) ? 0 : (v - c->mean[j]) / c->deviation[j];
        }
        if (deviation > 0)
            *x = s->has_samples ? SAMPLES_WEIGHT * (sample_feature(&m[i]) - mean) / deviation : 0;
    }
    return 0;
}

/* The cap from the sizes of the clusters that are not empty, rounded down, at least one frame. */
static size_t cap_of(const char *cap, double *sizes, size_t n, size_t frames)
{
    double x;
    clean_sort(sizes, n);
    if (!strcmp(cap, "p80"))
        x = clean_percentile(sizes, n, 80);
    else if (!strcmp(cap, "median"))
        x = clean_percentile(sizes, n, 50);
    else if (!strcmp(cap, "mean"))
        x = (double)frames / (double)n;
    else
        x = strtod(cap, NULL); /* the configuration has checked it */
    return x < 1 ? 1 : (size_t)x;
}

static int find_cap(struct clean *c, const struct clean_params *p, size_t frames, struct err *e)
{
    double *sizes;
    size_t n = 0;
    int r = mem_alloc(&sizes, c->clusters, sizeof *sizes, "the cluster sizes", e);
    if (r)
        return r;
    for (size_t k = 0; k < c->clusters; k++)
        if (c->before[k])
            sizes[n++] = (double)c->before[k];
    c->cap = cap_of(p->cap, sizes, n, frames);
    free(sizes);
    return 0;
}

/* Which members of a cluster larger than the cap stay is drawn from a stream of its own. */
static int thin(struct clean *c, const struct clean_params *p, const struct member *m, size_t n,
                struct err *e)
{
    uint32_t *in;
    int r = mem_alloc(&in, n, sizeof *in, "a cluster", e);
    for (size_t k = 0; k < c->clusters && !r; k++) {
        c->after[k] = c->before[k];
        if (c->before[k] <= c->cap)
            continue;
        uint32_t size = 0;
        for (size_t i = 0; i < n; i++)
            if ((size_t)m[i].s->cluster[m[i].t] == k)
                in[size++] = (uint32_t)i;
        struct philox random;
        philox_init(&random, p->seed, philox_stream(STREAM_CLEAN, 1, k));
        philox_shuffle(&random, in, size);
        for (size_t i = c->cap; i < size; i++)
            m[in[i]].s->reason[m[in[i]].t] = CLEAN_BALANCED;
        c->after[k] = c->cap;
    }
    free(in);
    return r;
}

static int cluster_members(struct clean *c, const struct clean_params *p, const struct member *m, size_t n,
                           clean_progress_fn progress, void *user, struct err *e)
{
    double *x = NULL;
    int32_t *cluster = NULL;
    int r = make_features(c, m, n, &x, e);
    r = r ? r : mem_alloc(&cluster, n, sizeof *cluster, "the clusters", e);
    r = r ? r
          : kmeans(x, n, c->features, p->clusters, p->plus_plus, p->seed, cluster, &c->iterations, progress,
                   user, e);
    r = r ? r : mem_alloc(&c->before, p->clusters, sizeof *c->before, "the clusters", e);
    r = r ? r : mem_alloc(&c->after, p->clusters, sizeof *c->after, "the clusters", e);
    for (size_t i = 0; i < n && !r; i++) {
        m[i].s->cluster[m[i].t] = cluster[i];
        c->before[cluster[i]]++;
    }
    c->clusters = r ? 0 : p->clusters;
    free(x);
    free(cluster);
    return r;
}

int clean_balance(struct clean *c, const struct clean_params *p, clean_progress_fn progress, void *user,
                  struct err *e)
{
    struct member *m = NULL;
    size_t n = 0;
    free(c->before);
    free(c->after);
    c->before = c->after = NULL;
    c->clusters = c->features = c->cap = 0;
    int r = find_members(c, &m, &n, e);
    c->not_balanced = !p->clusters      ? "it was not asked for"
                      : !c->columns     ? "no state column varies"
                      : n < p->clusters ? "there are fewer frames than clusters"
                      : n > INT32_MAX   ? "there are too many frames"
                                        : NULL;
    if (!r && !c->not_balanced) {
        r = cluster_members(c, p, m, n, progress, user, e);
        r = r ? r : find_cap(c, p, n, e);
        r = r ? r : thin(c, p, m, n, e);
    }
    free(m);
    return r;
}
