#include "sample/elimination.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "interp/points.h"

/* The paper's constants: the weight's exponent alpha = 8, and beta, gamma of the distance below which pairs all count
 * the same, without which crowds of candidates would decide. */
static const double BETA = 0.65, GAMMA = 1.5;

struct pair {
    uint32_t other;
    float weight;
};

struct elimination {
    size_t m;
    double radius;       /* twice the greatest Poisson disc radius of n points */
    double least;        /* distances are taken to be at least this */
    const double *scale; /* (m) how much closer than at even density, or NULL */
    struct points at;
    uint32_t *first; /* (m+1) into pair */
    struct pair *pair;
    double *weight;  /* (m) */
    uint32_t *heap;  /* greatest weight first; the lower index where equal */
    uint32_t *place; /* (m) where in the heap, UINT32_MAX: out */
    size_t heap_n;
};

static int before(const struct elimination *s, uint32_t a, uint32_t b)
{
    return s->weight[a] > s->weight[b] || (s->weight[a] == s->weight[b] && a < b);
}

static void put(struct elimination *s, size_t k, uint32_t i)
{
    s->heap[k] = i;
    s->place[i] = (uint32_t)k;
}

static void sink(struct elimination *s, size_t k)
{
    uint32_t i = s->heap[k];
    for (size_t child; (child = 2 * k + 1) < s->heap_n; k = child) {
        if (child + 1 < s->heap_n && before(s, s->heap[child + 1], s->heap[child]))
            child++;
        if (!before(s, s->heap[child], i))
            break;
        put(s, k, s->heap[child]);
    }
    put(s, k, i);
}

/* Distance of two candidates as it would be at even density. */
static double even_distance(const struct elimination *s, uint32_t i, uint32_t j, double d2)
{
    return s->scale ? sqrt(d2) * 0.5 * (s->scale[i] + s->scale[j]) : sqrt(d2);
}

/* Walks the pairs (i, j) within reach; called once to count and once to fill. */
static size_t pairs_of(struct elimination *s, uint32_t i, double reach, struct pair *out)
{
    const double *xy = s->at.xy + 2 * (size_t)i;
    struct points_range r = points_around(&s->at, xy[0], xy[1], reach);
    size_t n = 0;
    for (uint32_t by = r.y0; by <= r.y1; by++) {
        size_t row = (size_t)by * s->at.cols;
        for (uint32_t k = s->at.start[row + r.x0]; k < s->at.start[row + r.x1 + 1]; k++) {
            uint32_t j = s->at.item[k];
            double d = even_distance(s, i, j, points_distance2(&s->at, j, xy[0], xy[1]));
            if (j == i || d >= s->radius)
                continue;
            if (out) {
                double w = 1 - fmax(d, s->least) / s->radius;
                w *= w;
                w *= w;
                out[n] = (struct pair){j, (float)(w * w)};
            }
            n++;
        }
    }
    return n;
}

static int find_pairs(struct elimination *s, struct err *e)
{
    size_t total = 0;
    double reach = s->radius;
    if (s->scale) {
        double least = INFINITY;
        for (size_t i = 0; i < s->m; i++)
            least = fmin(least, s->scale[i]);
        reach /= least;
    }
    for (size_t i = 0; i < s->m; i++) {
        s->first[i] = (uint32_t)total;
        /* With a density, a pair is within reach only if the sparser of the two says so. */
        total += pairs_of(s, (uint32_t)i, s->scale ? fmin(reach, 2 * s->radius / s->scale[i]) : reach, NULL);
        if (total > UINT32_MAX)
            return err_set(e, ERR_INTERNAL, "%zu candidates have too many neighbours", s->m);
    }
    s->first[s->m] = (uint32_t)total;
    int rc = mem_alloc(&s->pair, total, sizeof *s->pair, "candidate pairs", e);
    for (size_t i = 0; !rc && i < s->m; i++) {
        double near = s->scale ? fmin(reach, 2 * s->radius / s->scale[i]) : reach;
        size_t n = pairs_of(s, (uint32_t)i, near, s->pair + s->first[i]);
        for (size_t k = 0; k < n; k++)
            s->weight[i] += s->pair[s->first[i] + k].weight;
    }
    return rc;
}

static void remove_heaviest(struct elimination *s, size_t keep)
{
    while (s->heap_n > keep) {
        uint32_t i = s->heap[0], last = s->heap[--s->heap_n];
        s->place[i] = UINT32_MAX;
        if (s->heap_n) {
            put(s, 0, last);
            sink(s, 0);
        }
        for (uint32_t k = s->first[i]; k < s->first[i + 1]; k++) {
            uint32_t j = s->pair[k].other;
            if (s->place[j] == UINT32_MAX)
                continue;
            s->weight[j] -= s->pair[k].weight;
            sink(s, s->place[j]);
        }
    }
}

static int prepare(struct elimination *s, const uint32_t *pixel, size_t n, uint32_t W, uint32_t H,
                   struct err *e)
{
    size_t m = s->m;
    int rc = points_take(&s->at, m, W, H, e);
    if (!rc)
        rc = mem_alloc(&s->first, m + 1, sizeof *s->first, "candidates", e);
    if (!rc)
        rc = mem_alloc(&s->weight, m, sizeof *s->weight, "candidates", e);
    if (!rc)
        rc = mem_alloc(&s->heap, m, sizeof *s->heap, "candidates", e);
    if (!rc)
        rc = mem_alloc(&s->place, m, sizeof *s->place, "candidates", e);
    if (rc)
        return rc;
    for (size_t i = 0; i < m; i++) {
        s->at.xy[2 * i] = pixel[i] % W + 0.5;
        s->at.xy[2 * i + 1] = pixel[i] / W + 0.5;
        s->place[i] = UINT32_MAX;
    }
    points_index(&s->at);
    s->radius = 2 * sqrt((double)W * H / (2 * sqrt(3) * (double)n));
    s->least = s->radius * (1 - pow((double)n / (double)m, GAMMA)) * BETA;
    return 0;
}

int eliminate(uint32_t *pixel, size_t m, size_t n, size_t fixed, const double *density, uint32_t W,
              uint32_t H, struct err *e)
{
    struct elimination s = {.m = m};
    double *scale = NULL;
    if (m <= n)
        return 0;
    int rc = prepare(&s, pixel, n, W, H, e);
    if (!rc && density) {
        rc = mem_alloc(&scale, m, sizeof *scale, "densities", e);
        for (size_t i = 0; !rc && i < m; i++)
            scale[i] = sqrt(density[i]);
        s.scale = scale;
    }
    if (!rc)
        rc = find_pairs(&s, e);
    if (!rc) {
        for (size_t i = fixed; i < m; i++)
            put(&s, s.heap_n++, (uint32_t)i);
        for (size_t k = s.heap_n / 2; k-- > 0;)
            sink(&s, k);
        remove_heaviest(&s, n - fixed);
        size_t kept = 0;
        for (size_t i = 0; i < m; i++)
            if (i < fixed || s.place[i] != UINT32_MAX)
                pixel[kept++] = pixel[i];
    }
    points_release(&s.at);
    free(s.first);
    free(s.pair);
    free(s.weight);
    free(s.heap);
    free(s.place);
    free(scale);
    return rc;
}
