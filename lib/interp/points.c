#include "interp/points.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { SIDE_LIMIT = 16384 };

int points_take(struct points *p, size_t n, uint32_t W, uint32_t H, struct err *e)
{
    memset(p, 0, sizeof *p);
    if (!n)
        return err_set(e, ERR_DATA, "a frame without samples cannot be interpolated");
    if (!W || !H || W > SIDE_LIMIT || H > SIDE_LIMIT)
        return err_set(e, ERR_DATA, "a frame of %ux%u pixels is outside 1x1..%dx%d", W, H, SIDE_LIMIT,
                       SIDE_LIMIT);
    if (n > UINT32_MAX / 2)
        return err_set(e, ERR_DATA, "%zu samples in one frame are too many", n);
    p->n = n;
    p->side = sqrt((double)W * H / (double)n);
    if (p->side < 1)
        p->side = 1;
    p->cols = (uint32_t)ceil(W / p->side);
    p->rows = (uint32_t)ceil(H / p->side);
    int rc = mem_alloc(&p->xy, n, 2 * sizeof *p->xy, "points", e);
    if (!rc)
        rc = mem_alloc(&p->start, (size_t)p->cols * p->rows + 1, sizeof *p->start, "buckets", e);
    if (!rc)
        rc = mem_alloc(&p->item, n, sizeof *p->item, "buckets", e);
    if (rc)
        points_release(p);
    return rc;
}

static size_t bucket_of(const struct points *p, size_t i)
{
    return (size_t)points_cell(p->xy[2 * i + 1], p->side, p->rows) * p->cols +
           points_cell(p->xy[2 * i], p->side, p->cols);
}

void points_index(struct points *p)
{
    /* A counting sort: counts, running sums, then backwards so that each bucket stays in order. */
    size_t buckets = (size_t)p->cols * p->rows;
    memset(p->start, 0, (buckets + 1) * sizeof *p->start);
    for (size_t i = 0; i < p->n; i++)
        p->start[bucket_of(p, i)]++;
    for (size_t b = 1; b <= buckets; b++)
        p->start[b] += p->start[b - 1];
    for (size_t i = p->n; i-- > 0;)
        p->item[--p->start[bucket_of(p, i)]] = (uint32_t)i;
}

static double to_pixels(float u, uint32_t size)
{
    double at = (double)u * size, centre = floor(at) + 0.5;
    return fabs(at - centre) <= size * 0x1p-23 ? centre : at;
}

int points_from_uv(struct points *p, const float *uv, size_t n, uint32_t W, uint32_t H, struct err *e)
{
    int rc = points_take(p, n, W, H, e);
    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(uv[2 * i]) || !isfinite(uv[2 * i + 1])) {
            points_release(p);
            return err_set(e, ERR_DATA, "the coordinates of sample %zu are not finite", i);
        }
        p->xy[2 * i] = to_pixels(uv[2 * i], W);
        p->xy[2 * i + 1] = to_pixels(uv[2 * i + 1], H);
    }
    points_index(p);
    return 0;
}

void points_release(struct points *p)
{
    free(p->xy);
    free(p->start);
    free(p->item);
    memset(p, 0, sizeof *p);
}

double points_nearest2(const struct points *p, double x, double y)
{
    /* Squares of buckets around the one of (x,y), until the next square cannot hold anything nearer. */
    double best = INFINITY, px = x, py = y;
    long cx = points_cell(x, p->side, p->cols), cy = points_cell(y, p->side, p->rows);
    long last = p->cols > p->rows ? p->cols : p->rows;
    for (long ring = 0; ring <= last; ring++) {
        for (long by = cy - ring; by <= cy + ring; by++) {
            if (by < 0 || by >= (long)p->rows)
                continue;
            long step = by == cy - ring || by == cy + ring || !ring ? 1 : 2 * ring;
            for (long bx = cx - ring; bx <= cx + ring; bx += step) {
                if (bx < 0 || bx >= (long)p->cols)
                    continue;
                size_t b = (size_t)by * p->cols + (size_t)bx;
                for (uint32_t k = p->start[b]; k < p->start[b + 1]; k++) {
                    double d = points_distance2(p, p->item[k], px, py);
                    if (d < best)
                        best = d;
                }
            }
        }
        /* How far (x,y) is from the border of what has been looked at. */
        double left = x - (double)(cx - ring) * p->side, right = (double)(cx + ring + 1) * p->side - x;
        double up = y - (double)(cy - ring) * p->side, down = (double)(cy + ring + 1) * p->side - y;
        double margin = fmin(fmin(left, right), fmin(up, down));
        if (margin > 0 && best <= margin * margin)
            break;
    }
    return best;
}
