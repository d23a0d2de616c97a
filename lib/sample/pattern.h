/* Inside lib/sample: the patterns as sets of pixels (index y*W + x, all different). */
#ifndef SGAPS_SAMPLE_PATTERN_H
#define SGAPS_SAMPLE_PATTERN_H

#include "base/err.h"
#include "base/philox.h"
#include "sample/sample.h"

/* n pixels uniformly without replacement. */
int pattern_random(struct philox *p, uint32_t W, uint32_t H, size_t n, uint32_t *pixel, struct err *e);

/* r->map enlarged to (H,W); NULL stays NULL, and so does a flat map. */
int pattern_map(const struct sample_request *r, float **map, struct err *e);

int pattern_importance(const struct sample_request *r, struct philox *p, double ratio, uint32_t *pixel,
                       struct err *e);
int pattern_adaptive(const struct sample_request *r, struct philox *p, uint32_t *pixel, struct err *e);

#endif
