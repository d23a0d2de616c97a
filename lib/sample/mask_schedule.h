/* When to send a new set of coordinates. One struct for each session; mask_schedule_frame once for every frame, after it has
 * been rebuilt. The first set is sent before the first frame and is not counted here. */
#ifndef SGAPS_SAMPLE_MASK_SCHEDULE_H
#define SGAPS_SAMPLE_MASK_SCHEDULE_H

#include <stdint.h>

/* fixed: every fixed_interval frames.
 * adaptive: at once when the quality is below threshold; else after an interval that starts at min_interval and doubles
 * up to max_interval each time it is reached with the quality holding (equal bounds: the seed's rule).
 * quality_based: at once below low, every 10 frames above high, else every 5. */
enum mask_schedule_mode { MASK_FIXED, MASK_ADAPTIVE, MASK_QUALITY_BASED };

struct mask_schedule {
    enum mask_schedule_mode mode;
    int64_t fixed_interval, min_interval, max_interval;
    double threshold, low, high;
    int64_t since, interval; /* its own: frames since the last set, adaptive's interval now; 0 at first */
};

/* -1 when there is none of that name. */
int mask_schedule_by_name(const char *name);
/* Does the mode look at the quality? Without, NAN may be passed. */
int mask_schedule_needs_quality(const struct mask_schedule *s);
/* quality in [0,1] of the frame just rebuilt, below 0 counts as 0; NAN where it is not known, which counts as holding. 1: a new set is due. */
int mask_schedule_frame(struct mask_schedule *s, double quality);

#endif
