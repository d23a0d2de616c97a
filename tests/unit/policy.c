/* lib/live/policy: what is drawn when, what is withheld, what a frame is worth. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "live/policy.h"
#include "tap.h"

enum { W = 48, H = 32, N = 60 };

static struct config config;
static struct err e;

static struct policy fresh(const char *session)
{
    struct policy p;
    if (policy_init(&p, &config, session, W, H, N, &e))
        tap_diag("%s", e.text);
    return p;
}

static void set(const char *assignment)
{
    ok(!config_set(&config, assignment, &e), "--set %s", assignment);
}

static void drawing(void)
{
    float uv[2 * N], same[2 * N], map[W * H];
    int64_t number = -1, second = -1;
    int due = 0;
    for (int i = 0; i < W * H; i++)
        map[i] = i % W < W / 2 ? 1.0f : 0.0f;
    set("sampling.strategy=importance_only");
    set("sampling.importance=residual");
    set("mask_update.fixed_interval=2");
    struct policy p = fresh("one");
    ok(policy_needs_map(&p) && !policy_needs_frame(&p),
       "a map is wanted, but not of the first of two frames");
    ok(!policy_first(&p, uv, &number, &e) && number == 0, "the first set is number 0");
    struct sample_request q = p.request;
    q.pattern = PATTERN_BLUENOISE;
    ok(!sample_draw(&q, same, &e) && !memcmp(uv, same, sizeof uv), "and blue noise of frame 0");
    ok(!policy_frame(&p, 70, NAN, map, W, H, uv, &second, &due, &e) && !due && second == -1,
       "nothing is due after one frame");
    ok(policy_needs_frame(&p), "the next frame's map is wanted");
    ok(!policy_frame(&p, 71, NAN, map, W, H, uv, &second, &due, &e) && due && second == 1, "a set after two");
    q.pattern = PATTERN_IMPORTANCE_ONLY;
    q.frame = 71;
    q.map = map;
    q.w = W;
    q.h = H;
    ok(!sample_draw(&q, same, &e) && !memcmp(uv, same, sizeof uv),
       "drawn for the frame it was computed from");
    int left = 0;
    for (int i = 0; i < N; i++)
        left += uv[2 * i] < 0.5f;
    ok(left > N * 3 / 4, "where the map is high: %d of %d", left, N);
    policy_skipped(&p);
    ok(!policy_frame(&p, 80, NAN, NULL, 0, 0, uv, &second, &due, &e) && due && second == 2,
       "a frame that was skipped counts for the schedule");
    set("sampling.importance=none");
    p = fresh("one");
    ok(!policy_needs_map(&p) && !policy_frame(&p, 1, NAN, map, W, H, uv, &second, &due, &e) &&
           !policy_frame(&p, 71, NAN, map, W, H, uv, &second, &due, &e) && due,
       "importance none: no map is wanted");
    q.map = NULL;
    ok(!sample_draw(&q, same, &e) && !memcmp(uv, same, sizeof uv), "and none is followed");
    map[5] = NAN;
    set("sampling.importance=residual");
    p = fresh("one");
    p.schedule.since = 10;
    ok(policy_frame(&p, 1, NAN, map, W, H, uv, &second, &due, &e) == ERR_DATA,
       "a map with NaN is an error: %s", e.text);
    set("mask_update.mode=quality_based");
    p = fresh("one");
    ok(policy_needs_frame(&p), "a schedule that asks for quality wants every frame");
    set("mask_update.mode=fixed");
    ok(policy_init(&p, &config, "x", 8, 8, 65, &e) == ERR_CONFIG, "65 samples in 64 pixels: %s", e.text);
}

static void withholding(void)
{
    enum { MANY = 4000 };
    uint8_t a[N], b[N];
    unsigned often[N] = {0}, least = MANY, most = 0;
    set("sampling.holdout=0.1");
    struct policy p = fresh("one"), other = fresh("two");
    size_t k = policy_holdout(&p, N, a), kept = 0;
    for (int i = 0; i < N; i++)
        kept += !a[i];
    ok(k == 6 && kept == N - 6, "a tenth of %d is withheld: %zu", N, k);
    ok(policy_holdout(&p, N, b) == 6 && !memcmp(a, b, N), "the same for every frame of a set");
    p.sets++;
    policy_holdout(&p, N, b);
    ok(memcmp(a, b, N) != 0, "others for the next set");
    policy_holdout(&other, N, b);
    ok(memcmp(a, b, N) != 0, "others for another session");
    for (int i = 0; i < MANY; i++, p.sets++) {
        policy_holdout(&p, N, a);
        for (int s = 0; s < N; s++)
            often[s] += a[s];
    }
    for (int s = 0; s < N; s++) {
        least = often[s] < least ? often[s] : least;
        most = often[s] > most ? often[s] : most;
    }
    /* 400 expected, standard deviation 19: five of them each way */
    ok(least > 305 && most < 495, "every sample equally often: %u to %u of %d", least, most, MANY);
    p.holdout = 0.9;
    ok(policy_holdout(&p, 1, a) == 0 && !a[0], "the only sample stays");
    ok(policy_holdout(&p, 2, a) == 1 && a[0] + a[1] == 1, "one of two stays");
    ok(policy_holdout(&p, 0, a) == 0, "of nothing nothing is withheld");
    p.holdout = 0;
    ok(policy_holdout(&p, N, a) == 0, "holdout 0 withholds nothing");
}

static void worth(void)
{
    float predicted[W * H], uv[2 * 4];
    uint8_t value[4] = {10, 20, 30, 40}, held[4] = {1, 1, 1, 1}, truth[W * H], rounded[W * H];
    double psnr;
    for (int i = 0; i < W * H; i++)
        predicted[i] = 0.5f;
    for (int i = 0; i < 4; i++) {
        uv[2 * i] = ((float)(3 * i) + 0.5f) / W;
        uv[2 * i + 1] = ((float)(5 * i) + 0.5f) / H;
        predicted[5 * i * W + 3 * i] = (float)value[i] / 255.0f;
    }
    double q = policy_heldout_quality(predicted, W, H, uv, value, held, 4, &psnr);
    ok(q > 1 - 1e-9 && psnr > 100, "foretold exactly: %g, %g dB", q, psnr);
    for (int i = 0; i < 4; i++)
        predicted[5 * i * W + 3 * i] = 25.0f / 255.0f;
    q = policy_heldout_quality(predicted, W, H, uv, value, held, 4, &psnr);
    ok(fabs(q) < 1e-6 && fabs(psnr - 10 * log10(255.0 * 255.0 / 125)) < 1e-5,
       "the mean everywhere: %g, %g dB", q, psnr);
    predicted[0] = -3; /* clipped to 0: an error of 10, squares 100 + 25 + 25 + 225 over variance 125 */
    q = policy_heldout_quality(predicted, W, H, uv, value, held, 4, NULL);
    ok(fabs(q - (1 - 375.0 / 4 / 125)) < 1e-6, "predictions are clipped: %g", q);
    predicted[0] = 1;
    ok(policy_heldout_quality(predicted, W, H, uv, value, held, 4, NULL) == 0, "worse than the mean is 0");
    held[0] = held[1] = held[2] = 0;
    ok(isnan(policy_heldout_quality(predicted, W, H, uv, value, held, 4, NULL)), "one sample says nothing");
    held[3] = 0;
    ok(isnan(policy_heldout_quality(predicted, W, H, uv, value, held, 4, &psnr)) && isnan(psnr),
       "none: nothing");
    memset(held, 1, 4);
    memset(value, 9, 4);
    ok(isnan(policy_heldout_quality(predicted, W, H, uv, value, held, 4, NULL)), "equal values: no variance");
    for (int i = 0; i < W * H; i++) {
        truth[i] = (uint8_t)(i * 7);
        predicted[i] = (float)truth[i] / 255.0f;
    }
    ok(policy_true_quality(predicted, truth, W, H, rounded) > 1 - 1e-12 &&
           !memcmp(truth, rounded, sizeof truth),
       "a frame as it is has SSIM 1");
    ok(isnan(policy_true_quality(predicted, truth, 10, 10, rounded)), "too small for SSIM: not known");
}

int main(void)
{
    config_init(&config);
    drawing();
    withholding();
    worth();
    config_release(&config);
    return tap_done();
}
