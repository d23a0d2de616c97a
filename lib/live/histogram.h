/* Durations counted in fixed classes, as Prometheus wants them. */
#ifndef SGAPS_LIVE_HISTOGRAM_H
#define SGAPS_LIVE_HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_BOUNDS = 17 };
extern const double histogram_bound[HISTOGRAM_BOUNDS]; /* seconds, rising; above the last: the rest */

struct histogram {
    uint64_t count[HISTOGRAM_BOUNDS + 1]; /* of each class alone */
    uint64_t n;
    double sum;
};
/* What is negative or no number counts as 0. */
void histogram_add(struct histogram *h, double seconds);

#endif
