/* Points in the plane of a frame with a grid of buckets over them: who is near whom. In pixels: x in [0,W], y
 * in [0,H].
 *
 * Use: points_take, fill xy, points_index; or points_from_uv for samples. A bucket holds about one point, its
 * points in ascending order, so everything that walks buckets is deterministic. */
#ifndef SGAPS_INTERP_POINTS_H
#define SGAPS_INTERP_POINTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct points {
    size_t n;
    double *xy;          /* (n,2) */
    double side;         /* of a bucket */
    uint32_t cols, rows; /* of buckets */
    uint32_t *start;     /* (cols*rows + 1) */
    uint32_t *item;      /* (n) the points of bucket b are item[start[b]] .. item[start[b+1] - 1] */
};

int points_take(struct points *p, size_t n, uint32_t W, uint32_t H, struct err *e);
void points_index(struct points *p);
/* float32 cannot say every pixel centre exactly: what lies within its rounding of one is taken to lie on it,
 * so that edges between samples on centres pass through the centres between them. */
int points_from_uv(struct points *p, const float *uv, size_t n, uint32_t W, uint32_t H, struct err *e);
void points_release(struct points *p);

static inline uint32_t points_cell(double at, double side, uint32_t cells)
{
    double c = at / side;
    return c <= 0 ? 0 : c >= cells ? cells - 1 : (uint32_t)c;
}

/* The rectangle of buckets that a disc touches. */
struct points_range {
    uint32_t x0, y0, x1, y1; /* inclusive */
};
static inline struct points_range points_around(const struct points *p, double x, double y, double radius)
{
    return (struct points_range){
        points_cell(x - radius, p->side, p->cols), points_cell(y - radius, p->side, p->rows),
        points_cell(x + radius, p->side, p->cols), points_cell(y + radius, p->side, p->rows)};
}

static inline double points_distance2(const struct points *p, uint32_t i, double x, double y)
{
    double dx = p->xy[2 * i] - x, dy = p->xy[2 * i + 1] - y;
    return dx * dx + dy * dy;
}

/* Squared distance from (x,y) to the nearest point. */
double points_nearest2(const struct points *p, double x, double y);

/* Nearest sample of every pixel: index (H,W), distance (H,W) or NULL. The lowest index wins a draw. done (H,W) or NULL: pixels
 * where it is not 0 may be left out. */
int points_nearest_map(const struct points *p, uint32_t W, uint32_t H, const uint8_t *done, uint32_t *index,
                       float *distance, struct err *e);

#endif
