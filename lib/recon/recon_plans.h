/* Triangulations kept for frames that are sampled at the same coordinates again: a live session stays with a set for several
 * frames. The least recently used go at a limit of bytes. One thread at a time; the plans handed out may be used by many. */
#ifndef SGAPS_RECON_RECON_PLANS_H
#define SGAPS_RECON_RECON_PLANS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "interp/interp.h"

struct recon_plans {
    struct recon_plan *newest, *oldest;
    struct recon_plan **bucket; /* by hash; NULL at first */
    size_t bytes;
};

/* plans[b] for the coordinates uv[b] (counts[b],2) of B frames at W x H, B <= 4096: those that are kept, the others made, in
 * parallel. They live until the next call. */
int recon_plans_get(struct recon_plans *p, const float *const *uv, const size_t *counts, size_t B, uint32_t W,
                    uint32_t H, int distances, const struct interp_plan **plans, struct err *e);
void recon_plans_release(struct recon_plans *p);

#endif
