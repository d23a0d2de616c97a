/* Frames from scattered samples without a model: the baselines, and the planes that prefill a network.
 *
 * Samples are (u,v) in [0,1] with v down and a value; pixel (x,y) has its centre at ((x+.5)/W, (y+.5)/H), distances are
 * measured in pixels (u*W, v*H). value and out are float in any unit. n >= 1. All deterministic. Thread-safe. */
#ifndef SGAPS_INTERP_INTERP_H
#define SGAPS_INTERP_INTERP_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* The value of the nearest sample (the lowest index where several are equally near); distance (H,W) in pixels or NULL;
 * index (H,W) of that sample or NULL. */
int interp_nearest(const float *uv, const float *value, size_t n, uint32_t W, uint32_t H, float *out,
                   float *distance, uint32_t *index, struct err *e);
/* Linear on the Delaunay triangulation (qhull), nearest outside the hull and for fewer than three or collinear samples.
 * Samples on one place: the first counts. */
int interp_linear(const float *uv, const float *value, size_t n, uint32_t W, uint32_t H, float *out,
                  struct err *e);
/* Discrete Sibson (Park et al. 2006). */
int interp_natural(const float *uv, const float *value, size_t n, uint32_t W, uint32_t H, float *out,
                   struct err *e);
/* The k x k area average of the frame, k*k <= n, enlarged by bicubic interpolation (Keys, a = -0.5, edges repeated):
 * what n values buy without any model. out: white = 1. */
int interp_thumbnail(const uint8_t *frame, size_t n, uint32_t W, uint32_t H, float *out, struct err *e);

/* prefill (2,Hp,Wp): plane 0 the linear interpolation, plane 1 the distance to the nearest sample over sqrt(H*W/n).
 * Computed at W x H, the last row and column repeated up to Wp x Hp. */
int interp_prefill(const float *uv, const float *value, size_t n, uint32_t W, uint32_t H, uint32_t Wp,
                   uint32_t Hp, float *out, struct err *e);

/* What interp_linear and interp_prefill have to find out about where the samples lie, for frames sampled at the same
 * coordinates: the triangulation and who is nearest, most of the work. The results are the same bits. Never changes
 * once made: any thread may use it. distances: for interp_plan_prefill too. */
struct interp_plan;
int interp_plan_make(struct interp_plan **p, const float *uv, size_t n, uint32_t W, uint32_t H, int distances,
                     struct err *e);
void interp_plan_free(struct interp_plan *p);
size_t interp_plan_bytes(const struct interp_plan *p);
void interp_plan_linear(const struct interp_plan *p, const float *value, float *out);
int interp_plan_prefill(const struct interp_plan *p, const float *value, uint32_t Wp, uint32_t Hp, float *out,
                        struct err *e);

/* Area average of an 8-bit frame to w x h (w <= W, h <= H exact box weights; enlarging repeats nearest). */
void interp_resize(const uint8_t *frame, uint32_t W, uint32_t H, uint8_t *out, uint32_t w, uint32_t h);
/* A map (h,w) enlarged to W x H, bilinear between cell centres. */
void interp_enlarge(const float *map, uint32_t w, uint32_t h, float *out, uint32_t W, uint32_t H);

/* Which pixel a coordinate falls on: min(floor(u*W), W-1), in float32. */
static inline uint32_t interp_pixel(float u, uint32_t size)
{
    float at = u * (float)size;
    uint32_t x = at > 0 ? (uint32_t)at : 0;
    return x < size ? x : size - 1;
}

#endif
