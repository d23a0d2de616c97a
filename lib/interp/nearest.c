/* Nearest sample of every pixel, exactly, a tile of pixels at a time: if the tile's centre is d from its
 * nearest sample and no pixel is farther than r from the centre, then no pixel's nearest sample is farther
 * than d + 2r from the centre. Those few are held against every pixel of the tile. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "interp/interp.h"
#include "interp/points.h"

enum { TILE = 6 };

struct candidate {
    double x, y;
    uint32_t index;
};

static size_t gather(const struct points *p, double x, double y, double radius, struct candidate *out)
{
    struct points_range r = points_around(p, x, y, radius);
    size_t n = 0;
    for (uint32_t by = r.y0; by <= r.y1; by++) {
        for (uint32_t bx = r.x0; bx <= r.x1; bx++) {
            size_t b = (size_t)by * p->cols + bx;
            for (uint32_t k = p->start[b]; k < p->start[b + 1]; k++) {
                uint32_t i = p->item[k];
                if (points_distance2(p, i, x, y) <= radius * radius)
                    out[n++] = (struct candidate){p->xy[2 * i], p->xy[2 * i + 1], i};
            }
        }
    }
    return n;
}

static void fill_tile(const struct candidate *c, size_t n, uint32_t x0, uint32_t y0, uint32_t x1, uint32_t y1,
                      uint32_t W, uint32_t *index, float *distance)
{
    for (uint32_t y = y0; y < y1; y++) {
        for (uint32_t x = x0; x < x1; x++) {
            double best = INFINITY;
            uint32_t at = 0;
            for (size_t k = 0; k < n; k++) {
                double dx = c[k].x - (x + 0.5), dy = c[k].y - (y + 0.5), d = dx * dx + dy * dy;
                if (d < best || (d == best && c[k].index < at)) {
                    best = d;
                    at = c[k].index;
                }
            }
            index[(size_t)y * W + x] = at;
            if (distance)
                distance[(size_t)y * W + x] = (float)sqrt(best);
        }
    }
}

static int all_done(const uint8_t *done, uint32_t x0, uint32_t y0, uint32_t x1, uint32_t y1, uint32_t W)
{
    for (uint32_t y = y0; y < y1; y++)
        for (uint32_t x = x0; x < x1; x++)
            if (!done[(size_t)y * W + x])
                return 0;
    return 1;
}

int points_nearest_map(const struct points *p, uint32_t W, uint32_t H, const uint8_t *done, uint32_t *index,
                       float *distance, struct err *e)
{
    struct candidate *c;
    int rc = mem_alloc(&c, p->n, sizeof *c, "nearest samples", e);
    if (rc)
        return rc;
    for (uint32_t y0 = 0; y0 < H; y0 += TILE) {
        for (uint32_t x0 = 0; x0 < W; x0 += TILE) {
            uint32_t x1 = x0 + TILE < W ? x0 + TILE : W, y1 = y0 + TILE < H ? y0 + TILE : H;
            if (done && all_done(done, x0, y0, x1, y1, W))
                continue;
            double cx = 0.5 * (x0 + x1), cy = 0.5 * (y0 + y1);
            double r = 0.5 * hypot(x1 - x0 - 1, y1 - y0 - 1);
            double reach = sqrt(points_nearest2(p, cx, cy)) + 2 * r + 1e-6;
            size_t n = gather(p, cx, cy, reach, c);
            fill_tile(c, n, x0, y0, x1, y1, W, index, distance);
        }
    }
    free(c);
    return 0;
}

int interp_nearest(const float *uv, const float *value, size_t n, uint32_t W, uint32_t H, float *out,
                   float *distance, uint32_t *index, struct err *e)
{
    struct points p;
    uint32_t *own = NULL;
    int rc = points_from_uv(&p, uv, n, W, H, e);
    if (rc)
        return rc;
    if (!index)
        rc = mem_alloc(&own, (size_t)W * H, sizeof *own, "nearest samples", e);
    uint32_t *at = index ? index : own;
    if (!rc)
        rc = points_nearest_map(&p, W, H, NULL, at, distance, e);
    for (size_t i = 0; !rc && i < (size_t)W * H; i++)
        out[i] = value[at[i]];
    free(own);
    points_release(&p);
    return rc;
}
