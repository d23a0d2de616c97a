#include "train/validate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "interp/interp.h"
#include "metric/metric.h"
#include "sample/sample.h"

/* Of the samples of a recording without frames, when the loss itself hides none. */
static const double withheld = 0.25;

static int choose(struct validation *v, const struct rows *rows, size_t frames, struct err *e)
{
    size_t n = rows->n < frames ? rows->n : frames;
    int code = 0;
    for (size_t i = 0; i < n && !code; i++) /* the middles of n equal parts */
        code = rows_append(&v->rows, rows->items[(2 * i + 1) * rows->n / (2 * n)], e);
    return code;
}

static void plan_like(struct validation *v, const struct example_plan *like, struct dataset *data)
{
    v->plan = *like;
    v->plan.data = data;
    v->plan.rows = &v->rows;
    v->plan.share[0] = v->plan.share[1] = sqrt(like->share[0] * like->share[1]);
    memset(v->plan.patterns, 0, sizeof v->plan.patterns);
    v->plan.patterns[PATTERN_BLUENOISE] = 1;
    v->plan.drop = v->plan.state_dropout = 0;
    v->plan.flip = v->plan.brightness = v->plan.shuffle = 0;
    v->plan.fixed = 1;
    if (!v->plan.target && v->plan.hide <= 0) {
        v->plan.hide = withheld;
        v->plan.samples = 1;
    }
    if (v->plan.batch_size > v->rows.n)
        v->plan.batch_size = v->rows.n;
}

/* Sum and count of squared errors over samples the model was not given. */
static double withheld_psnr(const struct example_batch *b, size_t at, const uint8_t *predicted)
{
    double sum = 0, n = 0;
    for (size_t i = at * b->M; i < (at + 1) * b->M; i++) {
        if (!b->select[i] || !b->hidden[i])
            continue;
        double d = predicted[b->index[i]] - 255.0 * b->value[i];
        sum += d * d;
        n++;
    }
    return n > 0 ? metric_psnr_of_mse(sum / n) : NAN;
}

struct score {
    struct metric_stat psnr, ssim;
};

static void score_frame(struct validation *v, const struct example_batch *b, size_t at, const float *frame,
                        struct score *s)
{
    size_t n = (size_t)v->plan.W * v->plan.H;
    metric_quantise(frame, v->predicted, n);
    if (!v->plan.target) {
        metric_stat_add(&s->psnr, withheld_psnr(b, at, v->predicted));
        return;
    }
    metric_quantise(b->target + at * n, v->truth, n);
    metric_stat_add(&s->psnr, metric_psnr(v->truth, v->predicted, n));
    metric_stat_add(&s->ssim, metric_ssim(v->truth, v->predicted, v->plan.W, v->plan.H));
}

static double mean_of(const struct metric_stat *s)
{
    return s->n ? s->mean : s->identical ? INFINITY : NAN;
}

/* What linear interpolation makes of frame `at`'s samples. */
int validation_linear(const struct example_batch *b, size_t at, float *out, struct err *e)
{
    const struct recon_batch_sizes *s = &b->arrays.sizes;
    size_t n = (size_t)b->arrays.counts[at];
    const float *pixels = b->arrays.pixels + at * s->N * 3;
    float *uv;
    int code = mem_alloc(&uv, 3 * n, sizeof *uv, "samples", e);
    if (code)
        return code;
    for (size_t i = 0; i < n; i++) {
        uv[2 * i] = pixels[3 * i];
        uv[2 * i + 1] = pixels[3 * i + 1];
        uv[2 * n + i] = pixels[3 * i + 2];
    }
    code = interp_linear(uv, uv + 2 * n, n, s->W, s->H, out, e);
    free(uv);
    return code;
}

static int measure_linear(struct validation *v, struct err *e)
{
    struct score s = {0};
    int code = 0;
    for (size_t k = 0; k < v->count; k++)
        for (size_t b = 0; b < v->batches[k].arrays.sizes.B && !code; b++) {
            code = validation_linear(&v->batches[k], b, v->output, e);
            if (!code)
                score_frame(v, &v->batches[k], b, v->output, &s);
        }
    v->linear_psnr = mean_of(&s.psnr);
    v->linear_ssim = mean_of(&s.ssim);
    return code;
}

static int make_batches(struct validation *v, struct err *e)
{
    struct example_maker maker;
    size_t count = example_steps(&v->plan);
    int code = example_maker_init(&maker, &v->plan, e);
    if (code)
        return code;
    code = mem_alloc(&v->batches, count, sizeof *v->batches, "the validation set", e);
    for (size_t k = 0; k < count && !code; k++) {
        v->count = k + 1;
        code = example_make(&maker, (int64_t)k, &v->batches[k], e);
    }
    example_maker_release(&maker);
    return code;
}

int validation_make(struct validation *v, const struct example_plan *like, struct dataset *data,
                    const struct rows *rows, size_t frames, int error_head, struct err *e)
{
    *v = (struct validation){0};
    size_t size = (size_t)like->W * like->H;
    int code = choose(v, rows, frames, e);
    if (!code) {
        plan_like(v, like, data);
        code = make_batches(v, e);
    }
    if (!code)
        code = mem_alloc(&v->output, v->plan.batch_size * size, sizeof *v->output, "validation outputs", e);
    if (!code && error_head && v->plan.target)
        code = mem_alloc(&v->scale, v->plan.batch_size * size, sizeof *v->scale, "validation outputs", e);
    if (!code)
        code = mem_alloc(&v->predicted, size, 1, "a validation frame", e);
    if (!code)
        code = mem_alloc(&v->truth, size, 1, "a validation frame", e);
    if (!code)
        code = measure_linear(v, e);
    if (code)
        validation_release(v);
    return code;
}

void validation_release(struct validation *v)
{
    for (size_t k = 0; k < v->count; k++)
        example_release(&v->batches[k]);
    free(v->batches);
    free(v->output);
    free(v->scale);
    free(v->predicted);
    free(v->truth);
    rows_release(&v->rows);
    *v = (struct validation){0};
}

int validation_forward(struct spt *m, const struct example_batch *b, struct err *e)
{
    struct spt_options options = {.importance = -1, .scale = spt_config(m)->error_head};
    struct spt_batch batch = recon_arrays_batch(&b->arrays);
    return spt_forward(m, &batch, &options, e);
}

int validation_run(struct validation *v, struct spt *m, struct losses *losses, const struct loss_plan *plan,
                   struct validation_result *result, struct err *e)
{
    struct score s = {0};
    struct metric_scale scale = {0};
    double sum = 0, frames = 0;
    size_t size = (size_t)v->plan.W * v->plan.H;
    for (size_t k = 0; k < v->count; k++) {
        const struct example_batch *b = &v->batches[k];
        double loss;
        int code = validation_forward(m, b, e);
        if (!code)
            code = losses_evaluate(losses, plan, b, m, 0, &loss, e);
        if (code)
            return code;
        size_t B = b->arrays.sizes.B;
        sum += loss * (double)B;
        frames += (double)B;
        code = spt_download_output(m, v->output, e);
        if (!code && v->scale)
            code = spt_download_scale(m, v->scale, e);
        if (code)
            return code;
        for (size_t i = 0; i < B; i++) {
            score_frame(v, b, i, v->output + i * size, &s);
            if (v->scale) /* beside the truth that score_frame leaves */
                metric_scale_add(&scale, v->truth, v->output + i * size, v->scale + i * size, size);
        }
    }
    *result = (struct validation_result){
        .loss = sum / frames, .psnr = mean_of(&s.psnr), .ssim = mean_of(&s.ssim), .scale = scale};
    return 0;
}
