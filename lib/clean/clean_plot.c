/* The plot: what the velocities are and where the threshold lies; what balancing does to the clusters. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "clean/clean.h"

enum { BINS = 60 };

/* Equal steps of the logarithm from a hundredth of the threshold up; what is slower is in the first bin. */
struct histogram {
    double low, high;
    size_t count[BINS];
};

static void count_velocities(const struct clean *c, struct histogram *h)
{
    double highest = 0, middle = isnan(c->threshold) ? 1 : fmax(c->threshold, 1e-9);
    *h = (struct histogram){0};
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
            double at = BINS * log(fmax(s->velocity[t], h->low) / h->low) / log(h->high / h->low);
            h->count[at < BINS - 1 ? (size_t)at : BINS - 1]++;
        }
    }
}

static double bin_edge(const struct histogram *h, int i)
{
    return h->low * pow(h->high / h->low, (double)i / BINS);
}

struct cluster_size {
    size_t cluster, before, after;
};

static int larger_first(const void *a, const void *b)
{
    const struct cluster_size *x = a, *y = b;
    return x->before != y->before ? (x->before < y->before) - (x->before > y->before)
                                  : (x->cluster > y->cluster) - (x->cluster < y->cluster);
}

static int sorted_clusters(const struct clean *c, struct cluster_size **out, struct err *e)
{
    int r = mem_alloc(out, c->clusters, sizeof **out, "the clusters", e);
    for (size_t k = 0; k < c->clusters && !r; k++)
        (*out)[k] = (struct cluster_size){k, c->before[k], c->after[k]};
    if (!r && c->clusters)
        qsort(*out, c->clusters, sizeof **out, larger_first);
    return r;
}

int clean_plot_data(const struct clean *c, FILE *f, struct err *e)
{
    struct histogram h;
    struct cluster_size *size;
    int r = sorted_clusters(c, &size, e);
    if (r)
        return r;
    count_velocities(c, &h);
    fputs("series\tx\ty\tz\n", f);
    for (int i = 0; i < BINS; i++)
        fprintf(f, "velocity\t%.6g\t%.6g\t%zu\n", bin_edge(&h, i), bin_edge(&h, i + 1), h.count[i]);
    if (!isnan(c->threshold))
        fprintf(f, "threshold\t%.6g\t-\t-\n", c->threshold);
    for (size_t k = 0; k < c->clusters; k++)
        fprintf(f, "cluster\t%zu\t%zu\t%zu\n", size[k].cluster, size[k].before, size[k].after);
    free(size);
    return 0;
}

/* The commands never change: only the numbers in the data blocks do. */
static const char *const commands =
    "set multiplot layout 1,2\n"
    "set style fill solid 0.7 noborder\n"
    "set grid ytics linecolor 'gray85'\n"
    "set border 3\n"
    "set tics nomirror\n"
    "set title 'Velocity of the state'\n"
    "set ylabel 'frames'\n"
    "set logscale x\n"
    "set format x '%g'\n"
    "set yrange [0:*]\n"
    "plot $velocity using 1:2 with fillsteps linecolor '#4477aa' title 'frames', \\\n"
    "     $threshold using 1:2 with lines linewidth 2 linecolor '#cc3311' title 'threshold'\n"
    "unset logscale x\n"
    "set title 'Clusters, the largest first'\n"
    "set xlabel 'cluster'\n"
    "plot $cluster using 0:1 with boxes linecolor 'gray70' title 'before', \\\n"
    "     $cluster using 0:2 with boxes linecolor '#228833' title 'after'\n"
    "unset multiplot\n";

int clean_plot_script(const struct clean *c, FILE *f, struct err *e)
{
    struct histogram h;
    struct cluster_size *size;
    int r = sorted_clusters(c, &size, e);
    if (r)
        return r;
    count_velocities(c, &h);
    size_t highest = 1;
    fputs("$velocity << end\n", f);
    for (int i = 0; i < BINS; i++) {
        fprintf(f, "%.6g %zu\n", bin_edge(&h, i), h.count[i]);
        highest = h.count[i] > highest ? h.count[i] : highest;
    }
    fprintf(f, "%.6g 0\nend\n$threshold << end\n", bin_edge(&h, BINS));
    if (isnan(c->threshold))
        fputs("NaN NaN\n", f);
    else
        fprintf(f, "%.6g 0\n%.6g %zu\n", c->threshold, c->threshold, highest);
    fputs("end\n$cluster << end\n", f);
    for (size_t k = 0; k < c->clusters; k++)
        fprintf(f, "%zu %zu\n", size[k].before, size[k].after);
    if (!c->clusters)
        fputs("0 0\n", f); /* gnuplot refuses an empty block */
    fprintf(f, "end\nset xlabel '%s'\n%s",
            c->raw_velocity ? "raw units a frame" : "standard deviations a second", commands);
    free(size);
    return 0;
}
