/* --plot: how the time grows with the size. */
#include <string.h>

#include "bench.h"
#include "view/plot.h"

/* The name without the sizes behind it: "recording read, 1000 frames of 112x112". */
static int same_work(const struct result *a, const struct result *b)
{
    size_t n = strcspn(a->name, ",");
    return !strcmp(a->bench, b->bench) && n == strcspn(b->name, ",") && !strncmp(a->name, b->name, n);
}

static void add_curve(const struct bench *b, size_t first, struct plot *p)
{
    const struct result *r = &b->results[first];
    char name[160];
    snprintf(name, sizeof name, "%s: %.*s", r->bench, (int)strcspn(r->name, ","), r->name);
    plot_series(p, name, PLOT_LINE);
    for (size_t i = first; i < b->count; i++)
        if (b->results[i].size && same_work(r, &b->results[i]))
            plot_point(p, (double)b->results[i].size, b->results[i].median * 1e3);
}

/* The curves of two parts. */
static void add_panel(const struct bench *b, const char *title, const char *axis, const char *const parts[2],
                      struct plot *p)
{
    plot_panel(p, title, axis, "median, ms", PLOT_LOG_X | PLOT_LOG_Y);
    for (size_t i = 0; i < b->count; i++) {
        const struct result *r = &b->results[i];
        int before = 0;
        for (size_t k = 0; k < i; k++)
            before |= b->results[k].size && same_work(&b->results[k], r);
        if (r->size && !before && (!strcmp(r->bench, parts[0]) || !strcmp(r->bench, parts[1])))
            add_curve(b, i, p);
    }
}

int bench_plot(const struct bench *b, const char *path, struct err *e)
{
    struct plot p = {0};
    add_panel(b, "Time of a batch", "samples a frame", (const char *const[]){"infer", "train"}, &p);
    add_panel(b, "Time of a recording", "frames", (const char *const[]){"clean", "io"}, &p);
    int code = plot_draw(&p, path, e);
    plot_release(&p);
    return code;
}
