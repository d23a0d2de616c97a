#include "live/policy.h"

#include <math.h>
#include <string.h>

#include "base/philox.h"
#include "interp/interp.h"
#include "metric/metric.h"

int policy_init(struct policy *p, const struct config *c, const char *session_id, uint32_t W, uint32_t H,
                size_t n, struct err *e)
{
    const struct sampling_config *s = &c->sampling;
    const struct mask_update_config *m = &c->mask_update;
    int initial = pattern_by_name(s->initial), pattern = pattern_by_name(s->strategy);
    int importance = recon_importance_by_name(s->importance), mode = mask_schedule_by_name(m->mode);
    if (initial < 0 || pattern < 0 || importance < 0 || mode < 0)
        return err_set(e, ERR_CONFIG, "sampling.%s: no such name",
                       initial < 0   ? "initial"
                       : pattern < 0 ? "strategy"
                                     : "importance or mask_update.mode");
    if (!n)
        n = (size_t)s->default_sample_count;
    if (n > (size_t)W * H)
        return err_set(e, ERR_CONFIG, "%zu samples are more than the %ux%u pixels of a frame", n, W, H);
    *p = (struct policy){
        .initial = (enum pattern)initial,
        .pattern = (enum pattern)pattern,
        .importance = (enum recon_importance)importance,
        .schedule = {.mode = (enum mask_schedule_mode)mode,
                     .fixed_interval = m->fixed_interval,
                     .min_interval = m->min_interval,
                     .max_interval = m->max_interval,
                     .threshold = m->quality_threshold,
                     .low = m->low_quality_threshold,
                     .high = m->high_quality_threshold},
        .request = {.W = W,
                    .H = H,
                    .n = n,
                    .seed = POLICY_SEED,
                    .session = sample_session(session_id),
                    .hybrid_ratio = s->hybrid_ratio,
                    .min_distance = s->min_distance,
                    .floor = s->floor},
        .holdout = s->holdout,
    };
    return 0;
}

int policy_needs_map(const struct policy *p)
{
    return pattern_needs_map(p->pattern) && p->importance != RECON_IMPORTANCE_NONE;
}

int policy_needs_frame(const struct policy *p)
{
    struct mask_schedule next = p->schedule;
    return mask_schedule_needs_quality(&next) || (policy_needs_map(p) && mask_schedule_frame(&next, NAN));
}

static int draw(struct policy *p, enum pattern pattern, uint64_t frame, const float *map, uint32_t w,
                uint32_t h, float *uv, int64_t *set, struct err *e)
{
    struct sample_request q = p->request;
    q.pattern = pattern;
    q.frame = frame;
    q.map = map;
    q.w = w;
    q.h = h;
    int r = sample_draw(&q, uv, e);
    if (!r)
        *set = p->sets++;
    return r;
}

int policy_first(struct policy *p, float *uv, int64_t *set, struct err *e)
{
    return draw(p, p->initial, 0, NULL, 0, 0, uv, set, e);
}

void policy_skipped(struct policy *p)
{
    p->schedule.since++;
}

int policy_frame(struct policy *p, int64_t frame_id, double quality, const float *map, uint32_t w, uint32_t h,
                 float *uv, int64_t *set, int *due, struct err *e)
{
    *due = mask_schedule_frame(&p->schedule, quality);
    if (!*due)
        return 0;
    return draw(p, p->pattern, (uint64_t)frame_id, policy_needs_map(p) ? map : NULL, w, h, uv, set, e);
}

double policy_true_quality(const float *predicted, const uint8_t *truth, uint32_t W, uint32_t H,
                           uint8_t *rounded)
{
    metric_quantise(predicted, rounded, (size_t)W * H);
    return metric_ssim(truth, rounded, W, H);
}

size_t policy_holdout(const struct policy *p, size_t n, uint8_t *held)
{
    size_t k = (size_t)llround(p->holdout * (double)n);
    struct philox draws;
    memset(held, 0, n);
    if (k >= n)
        k = n ? n - 1 : 0;
    philox_init(&draws, p->request.seed, philox_stream(STREAM_LIVE, p->request.session, (uint64_t)p->sets));
    /* Selection sampling (Knuth, Algorithm S): one pass, no memory, every subset equally likely. */
    for (size_t i = 0, left = k; i < n && left; i++) {
        held[i] = philox_below(&draws, (uint32_t)(n - i)) < left;
        left -= held[i];
    }
    return k;
}

double policy_heldout_quality(const float *predicted, uint32_t W, uint32_t H, const float *uv,
                              const uint8_t *value, const uint8_t *held, size_t n, double *psnr)
{
    double error = 0, sum = 0, squares = 0;
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        if (!held[i])
            continue;
        size_t at = (size_t)interp_pixel(uv[2 * i + 1], H) * W + interp_pixel(uv[2 * i], W);
        double said = fmin(fmax(255.0 * (double)predicted[at], 0), 255), is = value[i];
        error += (said - is) * (said - is);
        sum += is;
        squares += is * is;
        k++;
    }
    if (psnr)
        *psnr = k ? metric_psnr_of_mse(error / (double)k) : NAN;
    double variance = k ? squares / (double)k - sum / (double)k * (sum / (double)k) : 0;
    if (k < 2 || !(variance > 1e-9))
        return NAN;
    return fmax(1 - error / (double)k / variance, 0);
}
