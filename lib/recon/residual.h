/* Importance without a model: how badly each sample is foretold by the others, spread over the frame. */
#ifndef SGAPS_RECON_RESIDUAL_H
#define SGAPS_RECON_RESIDUAL_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Leave-one-out error at the samples: |value - mean of its nearest 6 fellows weighted by 1/distance^2|, in the unit of
 * value / 255, linearly interpolated to map (H,W), not scaled. n >= 1; a lone sample gives 0 everywhere. plan: of uv at W x H. */
struct interp_plan;
int recon_residual(const struct interp_plan *plan, const float *uv, const uint8_t *value, size_t n,
                   uint32_t W, uint32_t H, float *map, struct err *e);

#endif
