/* The pictures of a session's newest frame, kept small, and made into PNG when somebody asks. One thread at a time. */
#ifndef SGAPS_LIVE_LIVE_PICTURE_H
#define SGAPS_LIVE_LIVE_PICTURE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/text.h"
#include "live/engine.h"

struct live_picture {
    uint32_t W, H, map_w, map_h; /* map_w 0: there is no map */
    uint8_t *image;              /* (H,W) */
    uint8_t *map;                /* (map_h,map_w), 255 = most important */
    uint32_t *pixel;             /* (n) y * W + x of the samples */
    uint8_t *value;              /* (n) */
    double mapped;               /* clock_seconds of the frame whose map it is */
    size_t n, image_capacity, map_capacity, pixel_capacity, value_capacity;
};

enum live_picture_kind { PICTURE_RECONSTRUCTION, PICTURE_IMPORTANCE, PICTURE_SAMPLES, PICTURE_KINDS };

/* Overwrites p (zeroed at first), whose memory is used again. */
int live_picture_take(struct live_picture *p, const struct engine_result *r, struct err *e);
int live_picture_copy(struct live_picture *to, const struct live_picture *from, struct err *e);
void live_picture_release(struct live_picture *p);
/* A map is not made for every frame: fresh without one gets old's, where that is younger than five seconds (old's memory goes
 * with it). */
void live_picture_keep_map(struct live_picture *fresh, struct live_picture *old, double now);
/* Appends the PNG: the reconstruction in grey, W x H; the map as heat with the samples on it as cyan dots (ERR_UNAVAILABLE
 * without a map); what the client sent, its values on dark blue. The latter two are twice as large up to 512 pixels a side. */
int live_picture_png(const struct live_picture *p, enum live_picture_kind kind, struct text *out,
                     struct err *e);

#endif
