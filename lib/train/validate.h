/* The validation set: a few fixed frames with fixed samples, spread evenly over the held-out rows, measured again and
 * again beside linear interpolation of the same samples. With full frames PSNR and SSIM of the whole frame, else PSNR at
 * samples withheld from the model. */
#ifndef SGAPS_TRAIN_VALIDATE_H
#define SGAPS_TRAIN_VALIDATE_H

#include "base/err.h"
#include "metric/metric.h"
#include "spt/spt.h"
#include "train/example.h"
#include "train/losses.h"

struct validation {
    struct rows rows; /* the chosen ones */
    struct example_plan plan;
    struct example_batch *batches;
    size_t count;
    double linear_psnr, linear_ssim; /* NAN: cannot be computed */
    float *output;                   /* host copy of a batch's output */
    uint8_t *predicted, *truth;      /* one frame each */
    float *scale; /* as output, of a network with an error head and full frames; else NULL */
};

struct validation_result {
    double loss, psnr, ssim;
    struct metric_scale scale; /* n 0: no error head, or no full frames */
};

/* Takes at most `frames` of rows. like: the training plan, from which drops, dropouts and the mix of patterns are left
 * out: blue noise, and the middle (geometric mean) of its sample range. */
int validation_make(struct validation *v, const struct example_plan *like, struct dataset *data,
                    const struct rows *rows, size_t frames, int error_head, struct err *e);
void validation_release(struct validation *v);
int validation_run(struct validation *v, struct spt *m, struct losses *losses, const struct loss_plan *plan,
                   struct validation_result *result, struct err *e);
/* One batch through the network in evaluation mode, and what linear interpolation makes of frame `at` of a batch. */
int validation_forward(struct spt *m, const struct example_batch *b, struct err *e);
int validation_linear(const struct example_batch *b, size_t at, float *out, struct err *e);
/* The first few frames side by side, one a row: truth, samples, linear, model, and with an error head its error and the
 * scale of it. Writes a PNG. */
int validation_picture(struct validation *v, struct spt *m, const char *path, struct err *e);

#endif
