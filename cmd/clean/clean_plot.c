#include "clean_plot.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "view/plot.h"

static void add_velocities(const struct clean *c, struct plot *p)
{
    struct clean_histogram h;
    size_t highest = 1, all = 0;
    clean_histogram(c, &h);
    for (int i = 0; i < CLEAN_BINS; i++) {
        highest = h.count[i] > highest ? h.count[i] : highest;
        all += h.count[i];
    }
    if (!all)
        return;
    plot_panel(p, "Velocity of the state",
               c->raw_velocity ? "raw units a frame" : "standard deviations a second", "frames",
               PLOT_LOG_X | PLOT_FROM_ZERO);
    plot_series(p, "frames", PLOT_STEPS);
    for (int i = 0; i < CLEAN_BINS; i++)
        plot_point(p, clean_histogram_edge(&h, i), (double)h.count[i]);
    plot_point(p, h.high, 0);
    plot_series(p, "threshold: slower stands still", PLOT_DASHED);
    plot_point(p, c->threshold, 0);
    plot_point(p, c->threshold, (double)highest);
}

static int add_clusters(const struct clean *c, struct plot *p, struct err *e)
{
    size_t *order;
    int r = mem_alloc(&order, c->clusters, sizeof *order, "the clusters", e);
    if (r)
        return r;
    clean_order_clusters(c, order);
    plot_panel(p, "Alike frames, before and after balancing", "cluster, the largest first", "frames",
               PLOT_FROM_ZERO);
    plot_series(p, "left out", PLOT_BARS);
    for (size_t k = 0; k < c->clusters; k++)
        plot_point(p, (double)order[k], (double)c->before[order[k]]);
    plot_series(p, "kept", PLOT_BARS);
    for (size_t k = 0; k < c->clusters; k++)
        plot_point(p, (double)order[k], (double)c->after[order[k]]);
    free(order);
    return 0;
}

int clean_plot(const struct clean *c, const char *path, struct err *e)
{
    struct plot p = {0};
    add_velocities(c, &p);
    int r = add_clusters(c, &p, e);
    r = r ? r : plot_draw(&p, path, e);
    plot_release(&p);
    return r;
}
