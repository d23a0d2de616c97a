/* Patterns that follow a map of importance: weighted draws with a least distance (importance_only, hybrid), and a density
 * for sample elimination (adaptive). */
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "interp/interp.h"
#include "sample/elimination.h"
#include "sample/pattern.h"

int pattern_map(const struct sample_request *r, float **map, struct err *e)
{
    float low = INFINITY, high = -INFINITY;
    *map = NULL;
    if (!r->map)
        return 0;
    for (size_t i = 0; i < (size_t)r->w * r->h; i++) {
        if (!isfinite(r->map[i]) || r->map[i] < 0)
            return err_set(e, ERR_DATA, "the importance map holds %g at %zu", (double)r->map[i], i);
        low = fminf(low, r->map[i]);
        high = fmaxf(high, r->map[i]);
    }
    if (!(high > low))
        return 0;
    int rc = mem_alloc(map, (size_t)r->W * r->H, sizeof **map, "an importance map", e);
    if (!rc)
        interp_enlarge(r->map, r->w, r->h, *map, r->W, r->H);
    return rc;
}

/* Weighted draws without replacement (Efraimidis, Spirakis 2006): the n least of exponential variates over weights. */
struct keyed {
    double key;
    uint32_t pixel;
};

static int by_key(const void *a, const void *b)
{
    const struct keyed *x = a, *y = b;
    return x->key != y->key ? (x->key < y->key ? -1 : 1) : (x->pixel > y->pixel) - (x->pixel < y->pixel);
}

/* Puts k where the greatest of a heap of n was. */
static void replace_greatest(struct keyed *heap, size_t n, struct keyed k)
{
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && by_key(&heap[child + 1], &heap[child]) > 0)
            child++;
        if (by_key(&heap[child], &k) <= 0)
            break;
        heap[at] = heap[child];
    }
    heap[at] = k;
}

/* Pixels that are not `taken`, by weight, in the order drawn; *drawn may stay below n where weights are zero.
 * weight NULL: uniform. */
static int draw_weighted(struct philox *p, const float *weight, const uint8_t *taken, size_t total, size_t n,
                         uint32_t *pixel, size_t *drawn, struct err *e)
{
    struct keyed *heap;
    int rc = mem_alloc(&heap, n, sizeof *heap, "weighted draws", e);
    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++)
        heap[i] = (struct keyed){INFINITY, UINT32_MAX};
    for (size_t i = 0; i < total && n; i++) {
        double variate =
            -log(1 - philox_uniform(p)); /* drawn for every pixel: nothing shifts when one is taken */
        if (taken[i] || (weight && !(weight[i] > 0)))
            continue;
        struct keyed k = {weight ? variate / weight[i] : variate, (uint32_t)i};
        if (by_key(&k, heap) < 0)
            replace_greatest(heap, n, k);
    }
    qsort(heap, n, sizeof *heap, by_key);
    for (*drawn = 0; *drawn < n && heap[*drawn].pixel != UINT32_MAX; ++*drawn)
        pixel[*drawn] = heap[*drawn].pixel;
    free(heap);
    return 0;
}

/* A set that keeps its distance, in uv. Squared distance of every pixel to the set, and the greatest of each row, so
 * that the farthest pixel is found without looking at all. */
struct spread {
    uint32_t W, H;
    float *far2;        /* (H,W) */
    uint32_t *farthest; /* (H) column of the row's greatest */
    float *line;        /* (W) */
};
static const float FAR = 4; /* farther than any pixel is from another, in uv, squared or not */

static void spread_row(struct spread *s, uint32_t y)
{
    const float *row = s->far2 + (size_t)y * s->W;
    uint32_t best = 0;
    for (uint32_t x = 1; x < s->W; x++)
        if (row[x] > row[best])
            best = x;
    s->farthest[y] = best;
}

static uint32_t spread_farthest(const struct spread *s, float *distance2)
{
    uint32_t at = s->farthest[0];
    for (uint32_t y = 1; y < s->H; y++) {
        uint32_t here = y * s->W + s->farthest[y];
        if (s->far2[here] > s->far2[at])
            at = here;
    }
    *distance2 = s->far2[at];
    return at;
}

static void spread_add(struct spread *s, uint32_t pixel, float reach2)
{
    /* Pixels farther from this one than any is from the set cannot change. */
    uint32_t px = pixel % s->W, py = pixel / s->W;
    for (uint32_t y = 0; y < s->H; y++) {
        float dy = ((float)y - (float)py) / (float)s->H, dy2 = dy * dy;
        if (dy2 > reach2)
            continue;
        float *row = s->far2 + (size_t)y * s->W, half = sqrtf(reach2 - dy2) * (float)s->W + 1;
        uint32_t x0 = (float)px > half ? px - (uint32_t)half : 0;
        uint32_t x1 = (float)px + half < (float)s->W ? px + (uint32_t)half + 1 : s->W;
        for (uint32_t x = x0; x < x1; x++) {
            float dx = ((float)x - (float)px) / (float)s->W, d = dx * dx + dy2;
            if (d < row[x])
                row[x] = d;
        }
        spread_row(s, y);
    }
}

/* far2 of the whole frame from a set: distance to the nearest of the set in the column, then the best of the columns,
 * outwards until no column can be better. */
static void spread_fill(struct spread *s, const uint32_t *pixel, size_t n)
{
    size_t W = s->W, H = s->H, total = W * H;
    for (size_t i = 0; i < total; i++)
        s->far2[i] = FAR;
    for (size_t i = 0; i < n; i++)
        s->far2[pixel[i]] = 0;
    float step = 1 / (float)H;
    for (size_t i = W; i < total; i++)
        s->far2[i] = fminf(s->far2[i], s->far2[i - W] + step);
    for (size_t i = total - W; i-- > 0;)
        s->far2[i] = fminf(s->far2[i], s->far2[i + W] + step);
    for (size_t y = 0; y < H; y++) {
        float *row = s->far2 + y * W;
        for (size_t x = 0; x < W; x++)
            s->line[x] = row[x] * row[x];
        for (size_t x = 0; x < W; x++) {
            float best = s->line[x], dx2 = 0;
            for (size_t k = 1; k < W && (dx2 = (float)(k * k) / ((float)W * (float)W)) < best; k++) {
                if (x >= k)
                    best = fminf(best, s->line[x - k] + dx2);
                if (x + k < W)
                    best = fminf(best, s->line[x + k] + dx2);
            }
            row[x] = best;
        }
        spread_row(s, (uint32_t)y);
    }
}

/* Keeps of the drawn pixels those that are far enough from the ones before, then adds the farthest until there are n. */
static int keep_distance(const struct sample_request *r, const uint32_t *drawn, size_t count, uint32_t *pixel,
                         struct err *e)
{
    static atomic_flag said = ATOMIC_FLAG_INIT;
    struct spread s = {.W = r->W, .H = r->H};
    size_t total = (size_t)r->W * r->H, kept = 0;
    /* Equal to the least is far enough, to float's rounding. */
    float least2 = (float)(r->min_distance * r->min_distance) * (1 - 1e-5f), reach2;
    int rc = mem_alloc(&s.far2, total, sizeof *s.far2, "distances", e);
    if (!rc)
        rc = mem_alloc(&s.farthest, r->H, sizeof *s.farthest, "distances", e);
    if (!rc)
        rc = mem_alloc(&s.line, r->W, sizeof *s.line, "distances", e);
    if (!rc) {
        for (size_t i = 0; i < total; i++)
            s.far2[i] = FAR;
        for (size_t i = 0; i < count; i++) {
            if (s.far2[drawn[i]] < least2)
                continue;
            pixel[kept++] = drawn[i];
            spread_add(&s, drawn[i], least2);
        }
        if (kept < r->n)
            spread_fill(&s, pixel, kept);
        while (kept < r->n) {
            uint32_t at = spread_farthest(&s, &reach2);
            if (reach2 < least2 && !atomic_flag_test_and_set(&said))
                log_warning(
                    "%zu samples do not fit %ux%u pixels at a distance of %g: the distance is relaxed", r->n,
                    r->W, r->H, r->min_distance);
            pixel[kept++] = at;
            spread_add(&s, at, reach2);
        }
    }
    free(s.far2);
    free(s.farthest);
    free(s.line);
    return rc;
}

int pattern_importance(const struct sample_request *r, struct philox *p, double ratio, uint32_t *pixel,
                       struct err *e)
{
    size_t total = (size_t)r->W * r->H, by_map = (size_t)lround(fmin(fmax(ratio, 0), 1) * (double)r->n),
           count = 0, more;
    float *map;
    uint32_t *drawn = NULL;
    uint8_t *taken = NULL;
    int rc = pattern_map(r, &map, e);
    if (!rc)
        rc = mem_alloc(&drawn, r->n, sizeof *drawn, "draws", e);
    if (!rc)
        rc = mem_alloc(&taken, total, 1, "draws", e);
    if (!rc)
        rc = draw_weighted(p, map, taken, total, by_map, drawn, &count, e);
    for (size_t i = 0; !rc && i < count; i++)
        taken[drawn[i]] = 1;
    if (!rc && by_map < r->n) {
        rc = draw_weighted(p, NULL, taken, total, r->n - by_map, drawn + count, &more, e);
        count += rc ? 0 : more;
    }
    if (!rc)
        rc = keep_distance(r, drawn, count, pixel, e);
    free(map);
    free(drawn);
    free(taken);
    return rc;
}

/* Gaussian blur in place, edges repeated. */
static int blur(float *map, uint32_t W, uint32_t H, double sigma, struct err *e)
{
    long reach = (long)ceil(3 * sigma);
    double *tap, sum = 0;
    float *line;
    int rc = mem_alloc(&tap, (size_t)(2 * reach + 1), sizeof *tap, "a blur", e);
    if (rc)
        return rc;
    rc = mem_alloc(&line, W > H ? W : H, sizeof *line, "a blur", e);
    for (long k = -reach; k <= reach; k++)
        sum += tap[k + reach] = exp(-0.5 * (double)(k * k) / (sigma * sigma));
    for (int pass = 0; !rc && pass < 2; pass++) {
        size_t lines = pass ? W : H, step = pass ? W : 1, stride = pass ? 1 : W;
        long length = pass ? H : W;
        for (size_t l = 0; l < lines; l++) {
            float *at = map + l * stride;
            for (long i = 0; i < length; i++)
                line[i] = at[(size_t)i * step];
            for (long i = 0; i < length; i++) {
                double s = 0;
                for (long k = -reach; k <= reach; k++) {
                    long j = i + k < 0 ? 0 : i + k >= length ? length - 1 : i + k;
                    s += tap[k + reach] * line[j];
                }
                at[(size_t)i * step] = (float)(s / sum);
            }
        }
    }
    free(line);
    free(tap);
    return rc;
}

/* density (H,W) of mean 1: `floor` everywhere, the rest by the square root of the blurred map. */
static int adaptive_density(const struct sample_request *r, float **density, struct err *e)
{
    size_t total = (size_t)r->W * r->H;
    double floor_share = fmin(fmax(r->floor, 0.01), 1), sum = 0;
    int rc = pattern_map(r, density, e);
    if (rc || !*density)
        return rc;
    float *d = *density;
    /* Half the mean spacing: finer than that no set of n samples can follow. */
    rc = blur(d, r->W, r->H, fmax(0.5 * sqrt((double)total / (double)r->n), 0.5), e);
    for (size_t i = 0; i < total; i++)
        sum += d[i] = sqrtf(d[i]);
    for (size_t i = 0; i < total; i++)
        d[i] = (float)(floor_share + (1 - floor_share) * d[i] * (double)total / sum);
    return rc;
}

int pattern_adaptive(const struct sample_request *r, struct philox *p, uint32_t *pixel, struct err *e)
{
    size_t total = (size_t)r->W * r->H, m = r->n > total / 4 ? total : 4 * r->n, corners = 0, drawn = 0;
    const uint32_t corner[4] = {0, r->W - 1, (r->H - 1) * r->W, r->H * r->W - 1};
    float *density = NULL;
    uint8_t *taken = NULL;
    uint32_t *candidate = NULL;
    double *at = NULL;
    int rc = adaptive_density(r, &density, e);
    if (!rc)
        rc = mem_alloc(&taken, total, 1, "candidates", e);
    if (!rc)
        rc = mem_alloc(&candidate, m, sizeof *candidate, "candidates", e);
    if (!rc)
        rc = mem_alloc(&at, m, sizeof *at, "candidates", e);
    if (!rc) {
        for (int k = 0; k < 4 && corners < r->n; k++)
            if (!taken[corner[k]])
                taken[candidate[corners++] = corner[k]] = 1;
        rc = draw_weighted(p, density, taken, total, m - corners, candidate + corners, &drawn, e);
    }
    if (!rc) {
        m = corners + drawn;
        for (size_t i = 0; i < m; i++)
            at[i] = density ? density[candidate[i]] : 1;
        rc = eliminate(candidate, m, r->n, corners, density ? at : NULL, r->W, r->H, e);
    }
    if (!rc)
        memcpy(pixel, candidate, r->n * sizeof *pixel);
    free(density);
    free(taken);
    free(candidate);
    free(at);
    return rc;
}
