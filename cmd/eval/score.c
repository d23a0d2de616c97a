#include "score.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

const char *const score_names[SCORE_METRICS] = {"psnr", "ssim", "ssim_7u", "ms_ssim",
                                                "mae",  "peak", "tpsnr",   "psnr_off_samples"};

void score_frame(struct frame_score *f, const uint8_t *a, const uint8_t *b, const uint8_t *a_before,
                 const uint8_t *b_before, const uint8_t *given, uint32_t W, uint32_t H)
{
    size_t n = (size_t)W * H;
    f->pixels = n;
    f->mse = metric_mse(a, b, n);
    f->value[SCORE_PSNR] = metric_psnr_of_mse(f->mse);
    f->value[SCORE_SSIM] = metric_ssim(a, b, W, H);
    f->value[SCORE_SSIM_7U] = metric_ssim_7u(a, b, W, H);
    f->value[SCORE_MS_SSIM] = metric_ms_ssim(a, b, W, H);
    f->value[SCORE_MAE] = metric_mae(a, b, n);
    f->value[SCORE_PEAK] = metric_peak(a, b, n);
    f->value[SCORE_TPSNR] = a_before ? metric_tpsnr(a, a_before, b, b_before, n) : NAN;
    f->value[SCORE_PSNR_OFF] = given ? metric_psnr_off(a, b, given, n) : NAN;
}

int score_add(struct score *s, const struct frame_score *f, struct err *e)
{
    if (s->keep) {
        int r = mem_grow(&s->each, &s->each_capacity, s->frames + 1, sizeof *s->each,
                         "the figures of each frame", e);
        if (r)
            return r;
        s->each[s->frames] = *f;
    }
    for (int m = 0; m < SCORE_METRICS; m++)
        metric_stat_add(&s->stat[m], f->value[m]);
    s->frames++;
    s->identical += f->mse == 0;
    s->squares += f->mse * (double)f->pixels;
    s->pixels += (double)f->pixels;
    s->samples += (double)f->samples;
    return 0;
}

void score_release(struct score *s)
{
    free(s->each);
    *s = (struct score){0};
}

double score_psnr_pooled(const struct score *s)
{
    return s->pixels > 0 ? metric_psnr_of_mse(s->squares / s->pixels) : NAN;
}

double score_mean(const struct score *s, enum score_metric m)
{
    return s->stat[m].n ? s->stat[m].mean : s->stat[m].identical ? INFINITY : NAN;
}
