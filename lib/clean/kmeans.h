/* Lloyd's K-means in double. The result depends on the data and the seed alone, not on threads. */
#ifndef SGAPS_CLEAN_KMEANS_H
#define SGAPS_CLEAN_KMEANS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { KMEANS_ITERATIONS = 100 };
#define KMEANS_TOLERANCE 1e-4

/* x (n,d), 1 <= K <= n. Initial centroids: the first K of a random permutation, or k-means++ (plus_plus). At most
 * KMEANS_ITERATIONS, until no centroid moves by KMEANS_TOLERANCE. A cluster that becomes empty takes the point
 * farthest from its centroid. cluster (n) gets the last assignment. progress may be NULL. */
int kmeans(const double *x, size_t n, size_t d, size_t K, int plus_plus, uint64_t seed, int32_t *cluster,
           int *iterations, void (*progress)(void *user, size_t iteration), void *user, struct err *e);

#endif
