#include "sample/sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/philox.h"
#include "interp/interp.h"
#include "sample/elimination.h"
#include "sample/pattern.h"

enum { SIDE_LIMIT = 16384, CANDIDATES = 4 };

static const struct {
    const char *name;
    int needs_map;
} patterns[] = {
    [PATTERN_GRID] = {"grid", 0},           [PATTERN_RANDOM] = {"random", 0},
    [PATTERN_BLUENOISE] = {"bluenoise", 0}, [PATTERN_IMPORTANCE_ONLY] = {"importance_only", 1},
    [PATTERN_HYBRID] = {"hybrid", 1},       [PATTERN_ADAPTIVE] = {"adaptive", 1},
};
enum { PATTERNS = sizeof patterns / sizeof *patterns };

int pattern_by_name(const char *name)
{
    if (!strcmp(name, "importance"))
        return PATTERN_IMPORTANCE_ONLY;
    for (int i = 0; i < PATTERNS; i++)
        if (!strcmp(name, patterns[i].name))
            return i;
    return -1;
}

const char *pattern_name(enum pattern p)
{
    return patterns[p].name;
}

int pattern_needs_map(enum pattern p)
{
    return patterns[p].needs_map;
}

uint64_t sample_session(const char *id)
{
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    for (; *id; id++)
        hash = (hash ^ (unsigned char)*id) * 0x100000001b3u;
    return hash;
}

/* Rows of cells, as near to square as may be; n is spread over the rows as evenly as whole numbers go. */
static void pattern_grid(uint32_t W, uint32_t H, size_t n, uint32_t *pixel)
{
    size_t rows = (size_t)lround(sqrt((double)n * H / W)), least = (n + W - 1) / W;
    rows = rows < least ? least : rows > H ? H : rows;
    if (rows > n)
        rows = n;
    for (size_t j = 0; j < rows; j++) {
        size_t from = j * n / rows, columns = (j + 1) * n / rows - from;
        size_t y = (2 * j + 1) * H / (2 * rows);
        for (size_t i = 0; i < columns; i++)
            pixel[from + i] = (uint32_t)(y * W + (2 * i + 1) * W / (2 * columns));
    }
}

int pattern_random(struct philox *p, uint32_t W, uint32_t H, size_t n, uint32_t *pixel, struct err *e)
{
    /* Floyd's algorithm: n draws, whatever the share; a bit a pixel says what is taken. */
    uint32_t total = W * H;
    uint8_t *taken;
    int rc = mem_alloc(&taken, total / 8 + 1, 1, "taken pixels", e);
    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++) {
        uint32_t last = (uint32_t)(total - n + i), t = philox_below(p, last + 1);
        if (taken[t / 8] & 1 << t % 8)
            t = last;
        taken[t / 8] |= (uint8_t)(1 << t % 8);
        pixel[i] = t;
    }
    free(taken);
    return 0;
}

static int pattern_bluenoise(struct philox *p, uint32_t W, uint32_t H, size_t n, uint32_t *pixel,
                             struct err *e)
{
    size_t total = (size_t)W * H, m = n > total / CANDIDATES ? total : CANDIDATES * n;
    uint32_t *candidate;
    int rc = mem_alloc(&candidate, m, sizeof *candidate, "candidates", e);
    if (rc)
        return rc;
    rc = pattern_random(p, W, H, m, candidate, e);
    if (!rc)
        rc = eliminate(candidate, m, n, 0, NULL, W, H, e);
    if (!rc)
        memcpy(pixel, candidate, n * sizeof *pixel);
    free(candidate);
    return rc;
}

int sample_draw(const struct sample_request *r, float *uv, struct err *e)
{
    uint32_t *pixel;
    if (!r->W || !r->H || r->W > SIDE_LIMIT || r->H > SIDE_LIMIT)
        return err_set(e, ERR_DATA, "a frame of %ux%u pixels is outside 1x1..%dx%d", r->W, r->H, SIDE_LIMIT,
                       SIDE_LIMIT);
    if (!r->n || r->n > (size_t)r->W * r->H)
        return err_set(e, ERR_USAGE, "%zu samples do not fit a frame of %ux%u pixels (1..%zu)", r->n, r->W,
                       r->H, (size_t)r->W * r->H);
    int rc = mem_alloc(&pixel, r->n, sizeof *pixel, "samples", e);
    if (rc)
        return rc;
    struct philox p;
    philox_init(&p, r->seed, philox_stream(STREAM_PATTERN, r->session, r->frame));
    switch (r->pattern) {
    case PATTERN_GRID:
        pattern_grid(r->W, r->H, r->n, pixel);
        break;
    case PATTERN_RANDOM:
        rc = pattern_random(&p, r->W, r->H, r->n, pixel, e);
        break;
    case PATTERN_BLUENOISE:
        rc = pattern_bluenoise(&p, r->W, r->H, r->n, pixel, e);
        break;
    case PATTERN_IMPORTANCE_ONLY:
        rc = pattern_importance(r, &p, 1, pixel, e);
        break;
    case PATTERN_HYBRID:
        rc = pattern_importance(r, &p, r->hybrid_ratio, pixel, e);
        break;
    case PATTERN_ADAPTIVE:
        rc = pattern_adaptive(r, &p, pixel, e);
        break;
    }
    for (size_t i = 0; !rc && i < r->n; i++) {
        uv[2 * i] = ((float)(pixel[i] % r->W) + 0.5f) / (float)r->W;
        uv[2 * i + 1] = ((float)(pixel[i] / r->W) + 0.5f) / (float)r->H;
    }
    free(pixel);
    return rc;
}

void sample_values(const uint8_t *frame, uint32_t W, uint32_t H, const float *uv, size_t n, uint8_t *value)
{
    for (size_t i = 0; i < n; i++)
        value[i] = frame[(size_t)interp_pixel(uv[2 * i + 1], H) * W + interp_pixel(uv[2 * i], W)];
}
