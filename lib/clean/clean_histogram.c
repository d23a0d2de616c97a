/* What cleaning found, in numbers for a picture: velocities in bins, clusters by size. */
#include <math.h>
#include <stdlib.h>

#include "clean/clean.h"

void clean_histogram(const struct clean *c, struct clean_histogram *h)
{
    double highest = 0, middle = isnan(c->threshold) ? 1 : fmax(c->threshold, 1e-9);
    *h = (struct clean_histogram){0};
    for (size_t i = 0; i < c->sessions; i++)
        for (size_t t = 0; t < c->session[i].T; t++)
            if (c->session[i].velocity[t] > highest) /* false for NAN */
                highest = c->session[i].velocity[t];
    h->low = middle / 100;
    h->high = fmax(highest, middle * 10) * 1.01;
    for (size_t i = 0; i < c->sessions; i++) {
        const struct clean_session *s = &c->session[i];
        for (size_t t = 0; t < s->T; t++) {
            if (isnan(s->velocity[t]))
                continue;
            double at = CLEAN_BINS * log(fmax(s->velocity[t], h->low) / h->low) / log(h->high / h->low);
            h->count[at < CLEAN_BINS - 1 ? (size_t)at : CLEAN_BINS - 1]++;
        }
    }
}

double clean_histogram_edge(const struct clean_histogram *h, int bin)
{
    return h->low * pow(h->high / h->low, (double)bin / CLEAN_BINS);
}

static int larger_first(const void *a, const void *b, void *user)
{
    const struct clean *c = user;
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return c->before[x] != c->before[y] ? (c->before[x] < c->before[y]) - (c->before[x] > c->before[y])
                                        : (x > y) - (x < y);
}

void clean_order_clusters(const struct clean *c, size_t *order)
{
    for (size_t k = 0; k < c->clusters; k++)
        order[k] = k;
    if (c->clusters)
        qsort_r(order, c->clusters, sizeof *order, larger_first, (void *)(uintptr_t)c);
}
