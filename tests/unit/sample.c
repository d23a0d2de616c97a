/* lib/sample: every pattern gives exactly N different pixel centres, again and again the same, and has its character. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "interp/interp.h"
#include "sample/sample.h"
#include "tap.h"

static struct sample_request request(enum pattern pattern, uint32_t W, uint32_t H, size_t n)
{
    return (struct sample_request){pattern, W, H, n, 42, 7, 3, NULL, 0, 0, 0.7, 0.02, 0.35};
}

static int faults(const struct sample_request *r, const float *uv)
{
    int wrong = 0;
    uint8_t *seen = calloc(r->W, r->H);
    for (size_t i = 0; i < r->n; i++) {
        uint32_t x = interp_pixel(uv[2 * i], r->W), y = interp_pixel(uv[2 * i + 1], r->H);
        wrong +=
            uv[2 * i] != ((float)x + 0.5f) / (float)r->W || uv[2 * i + 1] != ((float)y + 0.5f) / (float)r->H;
        wrong += seen[(size_t)y * r->W + x]++;
    }
    free(seen);
    return wrong;
}

/* Mean and least distance to the nearest other sample, in units of sqrt(1/n). */
static double nearest_mean(const float *uv, size_t n, double *least)
{
    double sum = 0;
    *least = INFINITY;
    for (size_t i = 0; i < n; i++) {
        double best = INFINITY;
        for (size_t j = 0; j < n; j++)
            if (j != i)
                best = fmin(best, hypot(uv[2 * i] - uv[2 * j], uv[2 * i + 1] - uv[2 * j + 1]));
        sum += best;
        *least = fmin(*least, best * sqrt((double)n));
    }
    return sum / (double)n * sqrt((double)n);
}

static void test_all(uint32_t W, uint32_t H, size_t n)
{
    struct err e;
    float *uv = malloc(n * 8), *again = malloc(n * 8), *map = malloc((size_t)W * H * 4);
    for (size_t i = 0; i < (size_t)W * H; i++)
        map[i] = i % W < W / 3 ? 0 : (float)(i % W) / (float)W; /* a third has no importance at all */
    for (int p = 0; p <= PATTERN_ADAPTIVE; p++) {
        for (int with_map = 0; with_map <= pattern_needs_map((enum pattern)p); with_map++) {
            struct sample_request r = request((enum pattern)p, W, H, n);
            if (with_map)
                r.map = map, r.w = W, r.h = H;
            const char *name = pattern_name((enum pattern)p), *how = with_map ? " with a map" : "";
            ok(!sample_draw(&r, uv, &e) && !faults(&r, uv), "%s%s %ux%u: %zu different pixel centres", name,
               how, W, H, n);
            ok(!sample_draw(&r, again, &e) && !memcmp(uv, again, n * 8), "%s%s: the same for the same seed",
               name, how);
            r.frame++;
            sample_draw(&r, again, &e);
            if (p != PATTERN_GRID && n < (size_t)W * H &&
                (p != PATTERN_ADAPTIVE || n > 4)) /* 4: its corners */
                ok(memcmp(uv, again, n * 8), "%s%s: another for another frame", name, how);
        }
    }
    free(uv);
    free(again);
    free(map);
}

static void test_grid(void)
{
    struct sample_request r = request(PATTERN_GRID, 64, 48, 12);
    float uv[24];
    struct err e;
    sample_draw(&r, uv, &e);
    ok(fabs(uv[0] - 0.125) < 0.01 && fabs(uv[1] - 1 / 6.) < 0.011 && fabs(uv[8] - 0.125) < 0.01 &&
           uv[9] > uv[1],
       "grid: 12 on 64x48 are the centres of 4x3 cells");
}

static void test_bluenoise(void)
{
    enum { N = 500 };
    static float uv[2 * N];
    struct err e;
    double least, random_least;
    struct sample_request r = request(PATTERN_RANDOM, 224, 224, N);
    sample_draw(&r, uv, &e);
    double random = nearest_mean(uv, N, &random_least);
    r.pattern = PATTERN_BLUENOISE;
    sample_draw(&r, uv, &e);
    double blue = nearest_mean(uv, N, &least);
    /* A hexagonal lattice has 1.07 for both; random points 0.5 and nearly 0. */
    ok(blue > 0.75 && random < 0.6, "bluenoise: nearest others %.2f spacings away, random %.2f", blue,
       random);
    ok(least > 0.5 && random_least < 0.2, "bluenoise: no two nearer than %.2f, random %.2f", least,
       random_least);
    int quarter[4] = {0};
    for (int i = 0; i < N; i++)
        quarter[(uv[2 * i] > 0.5f) + 2 * (uv[2 * i + 1] > 0.5f)]++;
    int even = 1;
    for (int k = 0; k < 4; k++)
        even &= abs(quarter[k] - N / 4) < 12;
    ok(even, "bluenoise: evenly over the frame (%d %d %d %d)", quarter[0], quarter[1], quarter[2],
       quarter[3]);
}

static void test_importance(void)
{
    enum { N = 400, SIDE = 112 };
    static float uv[2 * N], map[4] = {1, 0.25f, 1, 0.25f}, half[4] = {1, 0, 1, 0};
    struct err e;
    double least;
    struct sample_request r = request(PATTERN_IMPORTANCE_ONLY, SIDE, SIDE, N);
    r.map = map, r.w = 2, r.h = 2, r.min_distance = 0;
    int left = 0, rounds = 20;
    for (int k = 0; k < rounds; k++) {
        r.frame = (uint64_t)k;
        sample_draw(&r, uv, &e);
        for (int i = 0; i < N; i++)
            left += uv[2 * i] < 0.25f;
    }
    /* Enlarged, the map is 1 up to u=.25, falls to .25 at .75: mean .625; a quarter of the width has .25 / .625. */
    double share = left / (double)(N * rounds);
    ok(fabs(share - 0.4) < 0.02, "importance_only: proportional to the map (%.3f, wanted .4)", share);
    r.min_distance = 0.02;
    sample_draw(&r, uv, &e);
    nearest_mean(uv, N, &least);
    ok(least / sqrt(N) >= 0.02 * (1 - 1e-4), "importance_only: min_distance is kept (%.4f)", least / sqrt(N));
    r.min_distance = 0.2;
    ok(!sample_draw(&r, uv, &e) && !faults(&r, uv),
       "a distance that cannot be kept is relaxed, the number is not");

    r = request(PATTERN_HYBRID, SIDE, SIDE, N);
    r.map = half, r.w = 2, r.h = 2, r.min_distance = 0;
    left = 0;
    for (int k = 0; k < rounds; k++) {
        r.frame = (uint64_t)k;
        sample_draw(&r, uv, &e);
        for (int i = 0; i < N; i++)
            left += uv[2 * i] > 0.75f;
    }
    share = left / (double)(N * rounds);
    ok(fabs(share - 0.3 * 0.25) < 0.015, "hybrid: 30 %% fall anywhere (%.3f where the map is 0, wanted .075)",
       share);

    r = request(PATTERN_ADAPTIVE, SIDE, SIDE, N);
    r.map = half, r.w = 2, r.h = 2;
    sample_draw(&r, uv, &e);
    left = 0;
    int corners = 0, right = 0;
    for (int i = 0; i < N; i++) {
        left += uv[2 * i] < 0.25f;
        right += uv[2 * i] > 0.75f;
        corners +=
            (uv[2 * i] < 0.01f || uv[2 * i] > 0.99f) && (uv[2 * i + 1] < 0.01f || uv[2 * i + 1] > 0.99f);
    }
    ok(corners == 4, "adaptive: the corners are in (%d)", corners);
    ok(left > 2 * right && right > N / 20, "adaptive: more where it matters (%d), a floor elsewhere (%d)",
       left, right);
    nearest_mean(uv, N, &least);
    ok(least > 0.25, "adaptive: no crowds (%.2f)", least);
}

static void test_refused(void)
{
    float uv[64], map[4] = {0, 1, NAN, 1};
    struct err e;
    struct sample_request r = request(PATTERN_RANDOM, 4, 4, 17);
    ok(sample_draw(&r, uv, &e) == ERR_USAGE && strstr(e.text, "1..16"), "more samples than pixels: %s",
       e.text);
    r.n = 0;
    ok(sample_draw(&r, uv, &e) == ERR_USAGE, "no samples");
    r = request(PATTERN_ADAPTIVE, 4, 4, 3);
    r.map = map, r.w = 2, r.h = 2;
    ok(sample_draw(&r, uv, &e) == ERR_DATA, "a map with NaN: %s", e.text);
    ok(pattern_by_name("importance") == PATTERN_IMPORTANCE_ONLY && pattern_by_name("blue") == -1, "names");
}

static void test_values(void)
{
    static const uint8_t frame[6] = {1, 2, 3, 4, 5, 6};
    static const float uv[8] = {0, 0, 1, 1, 0.5f, 0.75f, 0.34f, 0.2f};
    uint8_t value[4];
    sample_values(frame, 3, 2, uv, 4, value);
    ok(value[0] == 1 && value[1] == 6 && value[2] == 5 && value[3] == 2,
       "values are those of the pixel a sample is on");
}

int main(void)
{
    test_all(112, 112, 125);
    test_all(64, 40, 500);
    test_all(9, 7, 63);
    test_all(5, 90, 1);
    test_all(1, 1, 1);
    test_grid();
    test_bluenoise();
    test_importance();
    test_refused();
    test_values();
    return tap_done();
}
