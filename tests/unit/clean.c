/* lib/clean: K-means at its edges, percentiles. The rules themselves are held against numpy in tests/cli/clean_rules.t. */
#include <math.h>
#include <string.h>

#include "base/philox.h"
#include "clean/clean.h"
#include "clean/kmeans.h"
#include "tap.h"

enum { N = 200, D = 3 };

static double x[N * D];
static int32_t cluster[N];

static int used(size_t K)
{
    int n = 0;
    for (size_t k = 0; k < K; k++) {
        int there = 0;
        for (int i = 0; i < N; i++)
            there |= cluster[i] == (int32_t)k;
        n += there;
    }
    return n;
}

/* Five heaps, far from each other: point i belongs to heap i % 5. */
static void heaps(void)
{
    struct philox p;
    philox_init(&p, 1, 0);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < D; j++)
            x[i * D + j] = 100.0 * (i % 5) * (j + 1) + philox_normal(&p);
}

/* Do clusters and heaps agree? */
static int heaps_found(void)
{
    for (int i = 0; i < N; i++)
        for (int j = 0; j < i; j++)
            if ((cluster[i] == cluster[j]) != (i % 5 == j % 5))
                return 0;
    return 1;
}

static void test_kmeans(void)
{
    struct err e;
    int iterations, found = 0, spread = 0;
    heaps();
    for (uint64_t seed = 0; seed < 20; seed++) {
        ok(!kmeans(x, N, D, 5, 1, seed, cluster, &iterations, NULL, NULL, &e), "k-means++, seed %d",
           (int)seed);
        found += heaps_found();
    }
    ok(found >= 19, "k-means++ finds separate heaps (%d of 20)", found);
    for (uint64_t seed = 0; seed < 20; seed++)
        spread += !kmeans(x, N, D, 40, 0, seed, cluster, &iterations, NULL, NULL, &e) && used(40) == 40;
    ok(spread == 20, "no cluster is left empty while points differ");
    ok(!kmeans(x, N, D, N, 0, 1, cluster, &iterations, NULL, NULL, &e) && used(N) == N,
       "as many clusters as points");
    ok(!kmeans(x, N, D, 1, 0, 1, cluster, &iterations, NULL, NULL, &e) && used(1) == 1 && iterations == 2,
       "one cluster");
    ok(kmeans(x, N, D, N + 1, 0, 1, cluster, &iterations, NULL, NULL, &e) == ERR_INTERNAL,
       "more clusters than points: %s", e.text);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < D; j++)
            x[i * D + j] = i < 100 ? 1 : i < 150 ? 2 : 3;
    ok(!kmeans(x, N, D, 10, 0, 5, cluster, &iterations, NULL, NULL, &e) && used(10) == 3,
       "three different points fill three of ten clusters");
    ok(!kmeans(x, N, D, 10, 1, 5, cluster, &iterations, NULL, NULL, &e) && used(10) == 3,
       "with k-means++ as well");
}

static void test_percentile(void)
{
    double y[] = {5, 1, 4, 2, 3};
    clean_sort(y, 5);
    ok(y[0] == 1 && y[4] == 5, "sorted");
    ok(clean_percentile(y, 5, 50) == 3 && clean_percentile(y, 4, 50) == 2.5, "medians");
    ok(fabs(clean_percentile(y, 5, 80) - 4.2) < 1e-12 && clean_percentile(y, 5, 100) == 5,
       "between two values");
    ok(clean_percentile(y, 1, 80) == 1 && isnan(clean_percentile(y, 0, 50)), "of one, of none");
}

int main(void)
{
    test_kmeans();
    test_percentile();
    int named = 0;
    for (int i = 0; i < CLEAN_REASONS; i++)
        named += strcmp(clean_reason_name(i), "unknown") != 0;
    ok(named == CLEAN_REASONS && !strcmp(clean_reason_name(CLEAN_REASONS), "unknown"),
       "every reason has a name");
    return tap_done();
}
