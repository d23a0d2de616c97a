#include "sample/mask_schedule.h"

#include <string.h>

enum { QUALITY_INTERVAL = 5, GOOD_QUALITY_INTERVAL = 10 }; /* the seed's */

int mask_schedule_by_name(const char *name)
{
    static const char *const names[] = {"fixed", "adaptive", "quality_based"};
    for (int i = 0; i < 3; i++)
        if (!strcmp(name, names[i]))
            return i;
    return -1;
}

int mask_schedule_needs_quality(const struct mask_schedule *s)
{
    return s->mode != MASK_FIXED;
}

static int adaptive_due(struct mask_schedule *s, double quality)
{
    if (!s->interval)
        s->interval = s->min_interval;
    if (quality < s->threshold) {
        s->interval = s->min_interval;
        return 1;
    }
    if (s->since < s->interval)
        return 0;
    s->interval = 2 * s->interval < s->max_interval ? 2 * s->interval : s->max_interval;
    return 1;
}

static int quality_due(const struct mask_schedule *s, double quality)
{
    return quality < s->low || s->since >= (quality > s->high ? GOOD_QUALITY_INTERVAL : QUALITY_INTERVAL);
}

int mask_schedule_frame(struct mask_schedule *s, double quality)
{
    int due = 0;
    if (quality < 0) /* SSIM goes there where two pictures have nothing in common */
        quality = 0;
    s->since++;
    switch (s->mode) {
    case MASK_FIXED:
        due = s->since >= s->fixed_interval;
        break;
    case MASK_ADAPTIVE:
        due = adaptive_due(s, quality);
        break;
    case MASK_QUALITY_BASED:
        due = quality_due(s, quality);
        break;
    }
    if (due)
        s->since = 0;
    return due;
}
