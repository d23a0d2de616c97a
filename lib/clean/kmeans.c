#include "clean/kmeans.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/philox.h"

struct work {
    const double *x;
    size_t n, d, K;
    double *centroid; /* (d,K): the inner loop runs over the clusters */
    double *previous; /* (d,K) */
    double *distance; /* (n) squared, to the own centroid */
    size_t *size;     /* (K) */
    uint32_t *order;  /* (n) */
    int32_t *cluster; /* (n) the caller's */
};

static void set_centroid(struct work *w, size_t k, size_t point)
{
    for (size_t j = 0; j < w->d; j++)
        w->centroid[j * w->K + k] = w->x[point * w->d + j];
}

static double squared_distance(const struct work *w, size_t point, size_t k)
{
    double sum = 0;
    for (size_t j = 0; j < w->d; j++) {
        double t = w->x[point * w->d + j] - w->centroid[j * w->K + k];
        sum += t * t;
    }
    return sum;
}

static void start_random(struct work *w, struct philox *random)
{
    for (size_t i = 0; i < w->n; i++)
        w->order[i] = (uint32_t)i;
    philox_shuffle(random, w->order, (uint32_t)w->n);
    for (size_t k = 0; k < w->K; k++)
        set_centroid(w, k, w->order[k]);
}

/* Arthur and Vassilvitskii, 2007: each next one with probability proportional to the squared distance to the nearest. */
static void start_plus_plus(struct work *w, struct philox *random)
{
    set_centroid(w, 0, philox_below(random, (uint32_t)w->n));
    for (size_t i = 0; i < w->n; i++)
        w->distance[i] = INFINITY;
    for (size_t k = 1; k < w->K; k++) {
        double sum = 0;
        for (size_t i = 0; i < w->n; i++) {
            double t = squared_distance(w, i, k - 1);
            if (t < w->distance[i])
                w->distance[i] = t;
            sum += w->distance[i];
        }
        double aim = philox_uniform(random) * sum;
        size_t next = sum > 0 ? 0 : philox_below(random, (uint32_t)w->n);
        for (; sum > 0 && next < w->n - 1; next++) {
            aim -= w->distance[next];
            if (aim < 0)
                break;
        }
        set_centroid(w, k, next);
    }
}

/* Squared distances of one point to all centroids. Nearly all time is spent here; without contraction to FMA
 * every instruction set gives the same sums. */
__attribute__((target_clones("avx512f", "avx2", "default"))) static void
distances(const double *point, const double *centroid, size_t d, size_t K, double *sum)
{
    memset(sum, 0, K * sizeof *sum);
    for (size_t j = 0; j < d; j++) {
        const double v = point[j], *c = centroid + j * K;
#pragma omp simd
        for (size_t k = 0; k < K; k++)
            sum[k] += (v - c[k]) * (v - c[k]);
    }
}

/* Each point to its nearest centroid, the first of equals. */
static int assign(struct work *w, struct err *e)
{
    int failed = 0;
#pragma omp parallel
    {
        double *sum = malloc(w->K * sizeof *sum);
        if (!sum) {
#pragma omp atomic write
            failed = 1;
        }
#pragma omp for schedule(static)
        for (size_t i = 0; i < w->n; i++) {
            if (!sum)
                continue;
            distances(w->x + i * w->d, w->centroid, w->d, w->K, sum);
            size_t best = 0;
            for (size_t k = 1; k < w->K; k++)
                if (sum[k] < sum[best])
                    best = k;
            w->cluster[i] = (int32_t)best;
            w->distance[i] = sum[best];
        }
        free(sum);
    }
    return failed ? err_memory(e, "K-means", w->K * sizeof(double)) : 0;
}

static void fill_empty(struct work *w)
{
    memset(w->size, 0, w->K * sizeof *w->size);
    for (size_t i = 0; i < w->n; i++)
        w->size[w->cluster[i]]++;
    for (size_t k = 0; k < w->K; k++) {
        if (w->size[k])
            continue;
        size_t far = w->n;
        for (size_t i = 0; i < w->n; i++)
            if (w->size[w->cluster[i]] > 1 && (far == w->n || w->distance[i] > w->distance[far]))
                far = i;
        if (far == w->n || !(w->distance[far] > 0))
            return; /* fewer different points than clusters: the rest stay empty */
        w->size[w->cluster[far]]--;
        w->cluster[far] = (int32_t)k;
        w->distance[far] = 0;
        w->size[k] = 1;
    }
}

/* New centroids; returns the longest way that one moved. An empty cluster's stays. */
static double update(struct work *w)
{
    memcpy(w->previous, w->centroid, w->d * w->K * sizeof *w->centroid);
    for (size_t k = 0; k < w->K; k++)
        for (size_t j = 0; w->size[k] && j < w->d; j++)
            w->centroid[j * w->K + k] = 0;
    for (size_t i = 0; i < w->n; i++)
        for (size_t j = 0; j < w->d; j++)
            w->centroid[j * w->K + (size_t)w->cluster[i]] += w->x[i * w->d + j];
    double longest = 0;
    for (size_t k = 0; k < w->K; k++) {
        double way = 0;
        for (size_t j = 0; w->size[k] && j < w->d; j++) {
            double *c = &w->centroid[j * w->K + k], before = w->previous[j * w->K + k];
            *c /= (double)w->size[k];
            way += (*c - before) * (*c - before);
        }
        if (way > longest)
            longest = way;
    }
    return sqrt(longest);
}

static int take_memory(struct work *w, struct err *e)
{
    int r = mem_alloc(&w->centroid, w->d * w->K, sizeof *w->centroid, "K-means", e);
    if (!r)
        r = mem_alloc(&w->previous, w->d * w->K, sizeof *w->previous, "K-means", e);
    if (!r)
        r = mem_alloc(&w->distance, w->n, sizeof *w->distance, "K-means", e);
    if (!r)
        r = mem_alloc(&w->size, w->K, sizeof *w->size, "K-means", e);
    if (!r)
        r = mem_alloc(&w->order, w->n, sizeof *w->order, "K-means", e);
    return r;
}

int kmeans(const double *x, size_t n, size_t d, size_t K, int plus_plus, uint64_t seed, int32_t *cluster,
           int *iterations, void (*progress)(void *user, size_t iteration), void *user, struct err *e)
{
    size_t cells;
    if (K < 1 || K > n || n > INT32_MAX || mem_multiply(d, K, &cells))
        return err_set(e, ERR_INTERNAL, "K-means of %zu points into %zu clusters", n, K);
    struct work w = {.x = x, .n = n, .d = d, .K = K, .cluster = cluster};
    struct philox random;
    philox_init(&random, seed, philox_stream(STREAM_CLEAN, 0, 0));
    int r = take_memory(&w, e);
    if (!r && plus_plus)
        start_plus_plus(&w, &random);
    else if (!r)
        start_random(&w, &random);
    *iterations = 0;
    for (double moved = INFINITY; !r && moved >= KMEANS_TOLERANCE && *iterations < KMEANS_ITERATIONS;) {
        r = assign(&w, e);
        if (r)
            break;
        fill_empty(&w);
        moved = update(&w);
        ++*iterations;
        if (progress)
            progress(user, (size_t)*iterations);
    }
    free(w.centroid);
    free(w.previous);
    free(w.distance);
    free(w.size);
    free(w.order);
    return r;
}
