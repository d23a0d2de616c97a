/* Where to look: N coordinates for a frame of W x H pixels, always exactly N (N <= W*H), never two on one pixel,
 * each at a pixel centre. Deterministic for (seed, session, frame). uv (N,2). Thread-safe. */
#ifndef SGAPS_SAMPLE_SAMPLE_H
#define SGAPS_SAMPLE_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum pattern {
    PATTERN_GRID,
    PATTERN_RANDOM,
    PATTERN_BLUENOISE,
    PATTERN_IMPORTANCE_ONLY,
    PATTERN_HYBRID,
    PATTERN_ADAPTIVE
};

struct sample_request {
    enum pattern pattern;
    uint32_t W, H;
    size_t n;
    uint64_t seed, session,
        frame; /* session and frame are any numbers that tell them apart: sample_session(id) and
                                      the frame_id in the tools */
    /* for the patterns that follow a map: */
    const float *map; /* (h,w) in [0,1]; NULL or flat: uniform */
    uint32_t w, h;
    double hybrid_ratio, min_distance, floor;
};

/* A number for a session's id, so that every tool draws the same set for the same frame of the same session. */
uint64_t sample_session(const char *id);

/* -1 when the name is none of the patterns ("importance" is importance_only). */
int pattern_by_name(const char *name);
const char *pattern_name(enum pattern p);
int pattern_needs_map(enum pattern p);

int sample_draw(const struct sample_request *r, float *uv, struct err *e);

/* Values of an 8-bit frame (H,W) at the coordinates. */
void sample_values(const uint8_t *frame, uint32_t W, uint32_t H, const float *uv, size_t n, uint8_t *value);

#endif
