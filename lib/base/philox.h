/* Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3, SC 2011).
 * Counter-based: draw k of a stream is a pure function of (seed, stream, k), so results do not depend on threads,
 * order or device, and nothing has to be saved but the counter. The test holds it against the published vectors. */
#ifndef SGAPS_BASE_PHILOX_H
#define SGAPS_BASE_PHILOX_H

#include <stdint.h>

/* The block function: out[4] from counter[4] and key[2]. */
void philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* A stream of draws. seed is the run's; stream tells uses and frames apart (see philox_stream). */
struct philox {
    uint64_t seed, stream, block;
    uint32_t word[4];
    int left;
};
void philox_init(struct philox *p, uint64_t seed, uint64_t stream);
uint32_t philox_u32(struct philox *p);
double philox_uniform(struct philox *p);             /* [0,1), 53 bits */
uint32_t philox_below(struct philox *p, uint32_t n); /* 0..n-1 without bias, n >= 1 */
double philox_normal(struct philox *p);              /* mean 0, variance 1 */
void philox_shuffle(struct philox *p, uint32_t *items, uint32_t n);

/* Streams for (use, a, b), e.g. (STREAM_PATTERN, session, frame): mixed so that they do not meet. */
uint64_t philox_stream(uint32_t use, uint64_t a, uint64_t b);
enum philox_use {
    STREAM_INIT = 1,
    STREAM_PATTERN,
    STREAM_SHUFFLE,
    STREAM_DROPOUT,
    STREAM_SAMPLES,
    STREAM_CLEAN,
    STREAM_AUGMENT,
    STREAM_LIVE
};

#endif
