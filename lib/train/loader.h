/* Makes batches ahead of the training loop on threads of its own, into a ring of a few slots: memory is bounded by the
 * ring, and the data set is never held. Batches come in the order of their steps whatever the threads do. */
#ifndef SGAPS_TRAIN_LOADER_H
#define SGAPS_TRAIN_LOADER_H

#include "base/err.h"
#include "train/example.h"

struct loader;

/* The plan must outlive the loader. The first batch given is step first_step. */
int loader_start(struct loader **l, const struct example_plan *plan, int64_t first_step, int threads,
                 int depth, struct err *e);
/* The next batch, the loader's own: valid until the next call. */
int loader_next(struct loader *l, const struct example_batch **b, struct err *e);
/* Seconds loader_next has waited so far: where the loader is the bottleneck. */
double loader_waited(const struct loader *l);
void loader_stop(struct loader *l);

#endif
