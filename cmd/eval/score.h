/* The figures of one reconstruction against the truth, frame by frame and over all frames. */
#ifndef SGAPS_EVAL_SCORE_H
#define SGAPS_EVAL_SCORE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "metric/metric.h"

enum score_metric {
    SCORE_PSNR,
    SCORE_SSIM,
    SCORE_SSIM_7U,
    SCORE_MS_SSIM,
    SCORE_MAE,
    SCORE_PEAK,
    SCORE_TPSNR,
    SCORE_PSNR_OFF,
    SCORE_METRICS
};
extern const char *const score_names[SCORE_METRICS]; /* the JSON keys */

struct frame_score {
    const char *session; /* not owned */
    int64_t frame_id;
    double value[SCORE_METRICS], mse;
    size_t pixels, samples;
};

/* given: mask of the pixels that were hints, or NULL; the *_before frames are NULL for the first of a session. */
void score_frame(struct frame_score *f, const uint8_t *a, const uint8_t *b, const uint8_t *a_before,
                 const uint8_t *b_before, const uint8_t *given, uint32_t W, uint32_t H);

struct score {
    size_t frames, identical;
    double squares, pixels, samples; /* sums over frames */
    struct metric_stat stat[SCORE_METRICS];
    struct metric_scale scale; /* of a model with an error head, else n 0 */
    struct frame_score *each;  /* with keep */
    size_t each_capacity;
    int keep;
};
int score_add(struct score *s, const struct frame_score *f, struct err *e);
void score_release(struct score *s);
double score_psnr_pooled(const struct score *s);
/* The mean for people: inf where every frame is identical, NAN where there is none. */
double score_mean(const struct score *s, enum score_metric m);

#endif
