/* Weighted sample elimination (Yuksel: Sample elimination for generating Poisson disk sample sets, Eurographics 2015). */
#ifndef SGAPS_SAMPLE_ELIMINATION_H
#define SGAPS_SAMPLE_ELIMINATION_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Keeps n of the m candidate pixels (index y*W+x, all different) so that they lie far from each other; pixel is
 * compacted in place, in order. density (m) is relative: where it is d times another's, d times as many stay on an area;
 * NULL is even. The first `fixed` candidates stay in any case (fixed <= n). */
int eliminate(uint32_t *pixel, size_t m, size_t n, size_t fixed, const double *density, uint32_t W,
              uint32_t H, struct err *e);

#endif
