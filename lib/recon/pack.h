/* Frames with their samples and state, packed into the host arrays that spt_forward reads. Shared by reconstruction
 * and training: one place decides what a valid state entry is and how rows are padded. */
#ifndef SGAPS_RECON_PACK_H
#define SGAPS_RECON_PACK_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "spt/spt.h"

struct recon_batch_sizes {
    size_t B, N, S;        /* N: row length */
    uint32_t H, W, Hp, Wp; /* output size, and the padded size of the prefill planes */
    int prefill;
};

/* Arrays for sizes no larger than those they were last grown for; reused from batch to batch. */
struct recon_arrays {
    struct recon_batch_sizes sizes;
    int32_t *counts; /* (B) */
    float *pixels;   /* (B,N,3) */
    float *state;    /* (B,S) */
    float *mask;     /* (B,S) */
    float *prefill;  /* (B,2,Hp,Wp), NULL without */
    float *scratch;  /* (B,N) sample values for the interpolation */
    size_t capacity[6];
};
int recon_arrays_size(struct recon_arrays *a, const struct recon_batch_sizes *sizes, struct err *e);
void recon_arrays_release(struct recon_arrays *a);
size_t recon_arrays_bytes(const struct recon_batch_sizes *sizes);

/* Samples of frame b: uv (n,2), value (n), n in 1..N; computes its prefill planes, with the plan of these coordinates where the
 * caller has one, else NULL. Different frames may be filled by different threads. */
struct interp_plan;
int recon_arrays_samples(struct recon_arrays *a, size_t b, const float *uv, const uint8_t *value, size_t n,
                         const struct interp_plan *plan, struct err *e);
/* State of frame b: entries equal to the sentinel or NaN are masked, state NULL masks all. Trailing masked entries do
 * not count as length; a longer state than S is ERR_DATA, an infinite entry too. */
int recon_arrays_state(struct recon_arrays *a, size_t b, const float *state, size_t n, float sentinel,
                       struct err *e);

/* The view of it that spt_forward takes. */
struct spt_batch recon_arrays_batch(const struct recon_arrays *a);

#endif
