/* lib/interp, each method against a slow and obvious one. `interp dump METHOD W H N SEED` prints a random
 * case for the comparison with scipy (interp_scipy.t). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/philox.h"
#include "interp/interp.h"
#include "tap.h"

struct scene {
    uint32_t W, H;
    size_t n;
    float *uv, *value, *out, *want, *distance;
    uint32_t *index;
};

static struct scene scene_make(uint32_t W, uint32_t H, size_t n, uint64_t seed, int centres)
{
    size_t pixels = (size_t)W * H;
    struct scene s = {W,
                      H,
                      n,
                      malloc(2 * n * 4),
                      malloc(n * 4),
                      malloc(pixels * 4),
                      malloc(pixels * 4),
                      malloc(pixels * 4),
                      malloc(pixels * 4)};
    struct philox p;
    philox_init(&p, seed, 1);
    for (size_t i = 0; i < n; i++) {
        s.uv[2 * i] = centres ? (philox_below(&p, W) + 0.5f) / (float)W : (float)philox_uniform(&p);
        s.uv[2 * i + 1] = centres ? (philox_below(&p, H) + 0.5f) / (float)H : (float)philox_uniform(&p);
        s.value[i] = (float)philox_uniform(&p);
    }
    return s;
}

static void scene_free(struct scene *s)
{
    free(s->uv);
    free(s->value);
    free(s->out);
    free(s->want);
    free(s->distance);
    free(s->index);
}

static float worst(const float *a, const float *b, size_t n)
{
    float w = 0;
    for (size_t i = 0; i < n; i++)
        w = fmaxf(w, fabsf(a[i] - b[i]));
    return w;
}

static void test_nearest(uint32_t W, uint32_t H, size_t n, int centres)
{
    struct scene s = scene_make(W, H, n, n, centres);
    struct err e;
    int wrong = 0;
    ok(!interp_nearest(s.uv, s.value, n, W, H, s.out, s.distance, s.index, &e), "nearest %ux%u, %zu samples",
       W, H, n);
    for (uint32_t y = 0; y < H; y++) {
        for (uint32_t x = 0; x < W; x++) {
            double best = INFINITY;
            size_t at = 0, i = (size_t)y * W + x;
            for (size_t k = 0; k < n; k++) {
                double dx = (double)s.uv[2 * k] * W - x - 0.5, dy = (double)s.uv[2 * k + 1] * H - y - 0.5;
                double d = sqrt(dx * dx + dy * dy);
                if (d <
                    best - 1e-4) /* nearer than float32 coordinates leave open: the lowest index of a draw */
                    best = d, at = k;
            }
            wrong += fabs(s.distance[i] - best) > 2e-4 || s.out[i] != s.value[s.index[i]];
            if (centres)
                wrong += s.index[i] != at;
        }
    }
    ok(!wrong, "all pixels of %ux%u have the nearest of %zu samples%s", W, H, n,
       centres ? ", draws the first" : "");
    scene_free(&s);
}

/* The value at (x,y) from the triangle whose circumcircle is empty, NAN outside the hull. */
static double delaunay_value(const struct scene *s, double x, double y)
{
    for (size_t a = 0; a < s->n; a++) {
        for (size_t b = a + 1; b < s->n; b++) {
            for (size_t c = b + 1; c < s->n; c++) {
                double ax = (double)s->uv[2 * a] * s->W, ay = (double)s->uv[2 * a + 1] * s->H;
                double bx = (double)s->uv[2 * b] * s->W - ax, by = (double)s->uv[2 * b + 1] * s->H - ay;
                double cx = (double)s->uv[2 * c] * s->W - ax, cy = (double)s->uv[2 * c + 1] * s->H - ay;
                double area = bx * cy - by * cx, px = x - ax, py = y - ay;
                double wb = (px * cy - py * cx) / area, wc = (bx * py - by * px) / area;
                if (area == 0 || wb < 0 || wc < 0 || wb + wc > 1)
                    continue;
                double b2 = bx * bx + by * by, c2 = cx * cx + cy * cy;
                double ux = (cy * b2 - by * c2) / (2 * area), uy = (bx * c2 - cx * b2) / (2 * area);
                int empty = 1;
                for (size_t k = 0; k < s->n && empty; k++) {
                    double dx = (double)s->uv[2 * k] * s->W - ax - ux,
                           dy = (double)s->uv[2 * k + 1] * s->H - ay - uy;
                    empty = k == a || k == b || k == c || dx * dx + dy * dy > ux * ux + uy * uy;
                }
                if (empty)
                    return s->value[a] + wb * (s->value[b] - s->value[a]) + wc * (s->value[c] - s->value[a]);
            }
        }
    }
    return NAN;
}

static void test_linear(uint32_t W, uint32_t H, size_t n)
{
    struct scene s = scene_make(W, H, n, 5 + n, 0);
    struct err e;
    interp_nearest(s.uv, s.value, n, W, H, s.want, NULL, NULL, &e);
    for (size_t i = 0; i < (size_t)W * H; i++) {
        double v = delaunay_value(&s, (double)(i % W) + 0.5, (double)(i / W) + 0.5);
        if (!isnan(v))
            s.want[i] = (float)v;
    }
    ok(!interp_linear(s.uv, s.value, n, W, H, s.out, &e) && worst(s.out, s.want, (size_t)W * H) < 1e-5,
       "linear %ux%u, %zu samples: the triangles with empty circles, nearest outside the hull", W, H, n);
    scene_free(&s);
}

static void test_linear_plane(void)
{
    /* Samples on pixel centres: many on one circle, the triangulation is not unique, but a plane is a plane.
     */
    uint32_t W = 40, H = 30;
    size_t n = 80;
    struct scene s = scene_make(W, H, n, 3, 1);
    struct err e;
    static const float corner[4][2] = {{0, 0}, {39, 0}, {0, 29}, {39, 29}};
    for (size_t i = 0; i < n; i++) {
        for (int k = 0; k < 2 && i < 4; k++)
            s.uv[2 * i + (size_t)k] = (corner[i][k] + 0.5f) / (float)(k ? H : W);
        s.value[i] = 0.2f * s.uv[2 * i] * (float)W - 0.3f * s.uv[2 * i + 1] * (float)H + 7;
    }
    for (size_t i = 0; i < (size_t)W * H; i++)
        s.want[i] = 0.2f * ((float)(i % W) + 0.5f) - 0.3f * ((float)(i / W) + 0.5f) + 7;
    ok(!interp_linear(s.uv, s.value, n, W, H, s.out, &e) && worst(s.out, s.want, (size_t)W * H) < 1e-5,
       "linear gives a plane back, up to and on the hull");
    scene_free(&s);
}

static void test_linear_degenerate(void)
{
    uint32_t W = 17, H = 13;
    struct err e;
    static const float few[4][8] = {{0.5f, 0.5f},
                                    {0.2f, 0.2f, 0.8f, 0.7f},
                                    {0.1f, 0.2f, 0.5f, 0.4f, 0.9f, 0.6f},
                                    {.3f, .3f, .3f, .3f, .3f, .3f}};
    static const size_t count[4] = {1, 2, 3, 3};
    static const char *name[4] = {"one sample", "two samples", "three on a line", "three on one place"};
    for (int i = 0; i < 4; i++) {
        struct scene s = scene_make(W, H, count[i], 9, 0);
        memcpy(s.uv, few[i], count[i] * 8);
        interp_nearest(s.uv, s.value, s.n, W, H, s.want, NULL, NULL, &e);
        ok(!interp_linear(s.uv, s.value, s.n, W, H, s.out, &e) && !memcmp(s.out, s.want, (size_t)W * H * 4),
           "linear of %s is nearest", name[i]);
        scene_free(&s);
    }
    /* 4 distinct samples, then the same again with other values: the first count. */
    struct scene s = scene_make(W, H, 8, 11, 0);
    memcpy(s.uv + 8, s.uv, 8 * 4);
    interp_linear(s.uv, s.value, 4, W, H, s.want, &e);
    ok(!interp_linear(s.uv, s.value, 8, W, H, s.out, &e) && !memcmp(s.out, s.want, (size_t)W * H * 4),
       "of samples on one place the first counts");
    ok(interp_linear(s.uv, s.value, 0, W, H, s.out, &e) == ERR_DATA, "no sample at all is refused");
    s.uv[3] = NAN;
    ok(interp_nearest(s.uv, s.value, 8, W, H, s.out, NULL, NULL, &e) == ERR_DATA &&
           strstr(e.text, "sample 1"),
       "a coordinate that is no number is refused by its index");
    scene_free(&s);
}

static void test_natural(uint32_t W, uint32_t H, size_t n)
{
    struct scene s = scene_make(W, H, n, 21 + n, 1);
    struct err e;
    size_t pixels = (size_t)W * H;
    interp_nearest(s.uv, s.value, n, W, H, s.out, s.distance, NULL, &e);
    for (size_t p = 0; p < pixels; p++) {
        double sum = 0;
        int count = 0;
        for (size_t q = 0; q < pixels; q++) {
            double dx = (double)(p % W) - (double)(q % W), dy = (double)(p / W) - (double)(q / W);
            if (sqrt(dx * dx + dy * dy) <= s.distance[q] * (1 + 1e-7) + 1e-7) {
                sum += s.out[q];
                count++;
            }
        }
        s.want[p] = s.distance[p] > 0 ? (float)(sum / count) : s.out[p];
    }
    ok(!interp_natural(s.uv, s.value, n, W, H, s.out, &e) && worst(s.out, s.want, pixels) < 1e-6,
       "natural %ux%u, %zu samples: the mean over all discs that hold a pixel", W, H, n);
    int wrong = 0;
    interp_nearest(s.uv, s.value, n, W, H, s.want, s.distance, NULL, &e);
    for (size_t p = 0; p < pixels; p++)
        wrong += s.distance[p] < 1e-3f && fabsf(s.out[p] - s.want[p]) > 1e-6f;
    ok(!wrong, "natural keeps the samples");
    scene_free(&s);
}

static void test_thumbnail(void)
{
    enum { W = 30, H = 20 };
    uint8_t frame[W * H];
    float out[W * H];
    struct err e;
    int wrong = 0;
    for (int i = 0; i < W * H; i++)
        frame[i] = (uint8_t)(4 * (i % W) + 3 * (i / W));
    ok(!interp_thumbnail(frame, 35, W, H, out, &e), "a thumbnail of 5x5");
    for (int y = 6; y < H - 6; y++)
        for (int x = 9; x < W - 9; x++)
            wrong += fabsf(out[y * W + x] * 255 - frame[y * W + x]) > 1e-4f;
    ok(!wrong, "bicubic of box averages gives a ramp back, away from the edges");
    ok(!interp_thumbnail(frame, 3, W, H, out, &e) && fabsf(out[0] * 255 - 86.5f) < 1e-4f &&
           out[0] == out[W * H - 1],
       "one value is the mean of the frame");
    for (int i = 0; i < W * H; i++)
        frame[i] = 200;
    interp_thumbnail(frame, 49, W, H, out, &e);
    for (int i = 0; i < W * H; i++)
        wrong += fabsf(out[i] * 255 - 200) > 1e-4f;
    ok(!wrong, "a constant stays constant");
}

static void test_resize(void)
{
    static const uint8_t frame[12] = {0, 10, 20, 30, 100, 110, 120, 130, 200, 210, 220, 230};
    uint8_t out[48];
    interp_resize(frame, 4, 3, out, 2, 1);
    ok(out[0] == 105 && out[1] == 125, "4x3 to 2x1 averages");
    interp_resize(frame, 4, 3, out, 3, 2);
    /* First cell: columns 0 and a third of 1, rows 0 and half of 1. */
    double first = ((0 + 10 / 3.) + 0.5 * (100 + 110 / 3.)) / (4 / 3. * 1.5);
    ok(out[0] == lround(first), "4x3 to 3x2 weights by the share of a pixel");
    interp_resize(frame, 4, 3, out, 4, 3);
    ok(!memcmp(out, frame, 12), "the same size is a copy");
    interp_resize(frame, 4, 3, out, 8, 6);
    ok(out[0] == 0 && out[1] == 0 && out[2] == 10 && out[8] == 0 && out[47] == 230, "enlarging repeats");
    static const float map[4] = {0, 1, 2, 3};
    float big[16];
    interp_enlarge(map, 2, 2, big, 4, 4);
    ok(big[0] == 0 && fabsf(big[1] - 0.25f) < 1e-6f && fabsf(big[5] - 0.75f) < 1e-6f && big[15] == 3,
       "a map is enlarged between cell centres");
}

static void test_prefill(void)
{
    uint32_t W = 30, H = 21, Wp = 32, Hp = 24;
    struct scene s = scene_make(W, H, 20, 77, 1);
    struct err e;
    float *out = malloc((size_t)2 * Wp * Hp * 4);
    int wrong = 0;
    ok(!interp_prefill(s.uv, s.value, 20, W, H, Wp, Hp, out, &e), "prefill planes");
    interp_linear(s.uv, s.value, 20, W, H, s.want, &e);
    interp_nearest(s.uv, s.value, 20, W, H, s.out, s.distance, NULL, &e);
    for (uint32_t y = 0; y < Hp; y++) {
        for (uint32_t x = 0; x < Wp; x++) {
            size_t from = (size_t)(y < H ? y : H - 1) * W + (x < W ? x : W - 1), to = (size_t)y * Wp + x;
            wrong += out[to] != s.want[from];
            wrong += fabs(out[(size_t)Wp * Hp + to] - s.distance[from] / sqrt(W * H / 20.)) > 1e-6;
        }
    }
    ok(!wrong, "linear and scaled distance, the last row and column repeated");
    ok(interp_prefill(s.uv, s.value, 20, W, H, W - 1, Hp, out, &e) == ERR_INTERNAL,
       "planes smaller than the frame");
    free(out);
    scene_free(&s);
}

static int dump(char **argv)
{
    uint32_t W = (uint32_t)atoi(argv[3]), H = (uint32_t)atoi(argv[4]);
    size_t n = (size_t)atoi(argv[5]);
    struct scene s = scene_make(W, H, n, (uint64_t)atoi(argv[6]), 0);
    struct err e;
    int rc = !strcmp(argv[2], "linear") ? interp_linear(s.uv, s.value, n, W, H, s.out, &e)
                                        : interp_nearest(s.uv, s.value, n, W, H, s.out, NULL, NULL, &e);
    for (size_t i = 0; i < n; i++)
        printf("%.9g %.9g %.9g\n", s.uv[2 * i], s.uv[2 * i + 1], s.value[i]);
    for (size_t i = 0; i < (size_t)W * H; i++)
        printf("%.9g\n", s.out[i]);
    scene_free(&s);
    return rc;
}

int main(int argc, char **argv)
{
    if (argc == 7 && !strcmp(argv[1], "dump"))
        return dump(argv);
    test_nearest(31, 17, 1, 0);
    test_nearest(31, 17, 2, 1);
    test_nearest(50, 70, 60, 0);
    test_nearest(64, 64, 500, 1);
    test_nearest(9, 5, 200, 1);
    test_nearest(1, 1, 3, 0);
    test_linear(20, 30, 3);
    test_linear(30, 20, 7);
    test_linear(33, 21, 30);
    test_linear_plane();
    test_linear_degenerate();
    test_natural(24, 18, 1);
    test_natural(30, 20, 25);
    test_thumbnail();
    test_resize();
    test_prefill();
    return tap_done();
}
