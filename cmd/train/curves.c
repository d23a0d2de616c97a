#include "curves.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "train/metrics_log.h"
#include "view/plot.h"

/* The keys of the log that are drawn, panel by panel. */
static const struct curve {
    const char *title, *label; /* a new panel, or NULL */
    int flags;                 /* PLOT_LOG_Y: if the values of its first curve differ by a factor of WIDE */
    const char *key, *name;
    enum plot_style style;
} curves[] = {
    {"Loss", "loss", PLOT_LOG_Y, "Train/loss_step", "training, a step", PLOT_FAINT},
    {NULL, NULL, 0, "Train/loss_epoch", "training, an epoch", PLOT_CURVE},
    {NULL, NULL, 0, "Val/loss", "validation", PLOT_LINE},
    {"Validation: PSNR", "PSNR, dB", 0, "Val/PSNR", "model", PLOT_LINE},
    {NULL, NULL, 0, "Val/linear_PSNR", "linear interpolation", PLOT_DASHED},
    {"Validation: SSIM", "SSIM", 0, "Val/SSIM", "model", PLOT_LINE},
    {NULL, NULL, 0, "Val/linear_SSIM", "linear interpolation", PLOT_DASHED},
    {"Learning rate", "learning rate", PLOT_FROM_ZERO, "Train/lr", "learning rate", PLOT_CURVE},
};
enum { CURVES = sizeof curves / sizeof *curves, MOST = 400, WIDE = 30 };

struct point {
    double x, y;
};

struct log {
    struct point *points[CURVES];
    size_t n[CURVES], capacity[CURVES];
    int failed;
};

static void take(void *user, int64_t step, const char *key, double value)
{
    struct log *l = user;
    for (int i = 0; i < CURVES; i++) {
        if (strcmp(curves[i].key, key))
            continue;
        l->failed |= mem_grow(&l->points[i], &l->capacity[i], l->n[i] + 1, sizeof **l->points, "the curves",
                              NULL) != 0;
        if (!l->failed)
            l->points[i][l->n[i]++] = (struct point){(double)step, value};
    }
}

/* A long curve by means over equal shares of its points. */
static void add_points(struct plot *p, const struct point *points, size_t n)
{
    size_t shares = n < MOST ? n : MOST;
    for (size_t k = 0; k < shares; k++) {
        size_t from = k * n / shares, to = (k + 1) * n / shares;
        double x = 0, y = 0;
        for (size_t i = from; i < to; i++) {
            x += points[i].x;
            y += points[i].y;
        }
        plot_point(p, x / (double)(to - from), y / (double)(to - from));
    }
}

static int is_wide(const struct point *points, size_t n)
{
    double low = INFINITY, high = 0;
    for (size_t i = 0; i < n; i++) {
        low = fmin(low, points[i].y);
        high = fmax(high, points[i].y);
    }
    return low > 0 && high > WIDE * low; /* a likelihood may be negative */
}

int curves_draw(const char *directory, const char *path, struct err *e)
{
    struct log log = {0};
    struct plot p = {0};
    char *name = NULL;
    if (asprintf(&name, "%s/metrics.jsonl", directory) < 0)
        return err_memory(e, "a file name", 0);
    int r = metrics_log_read(name, take, &log, e);
    if (!r && log.failed)
        r = err_memory(e, "the curves", 0);
    for (int i = 0; i < CURVES && !r; i++) {
        int narrow = !is_wide(log.points[i], log.n[i]);
        if (curves[i].title)
            plot_panel(&p, curves[i].title, "step", curves[i].label,
                       curves[i].flags & ~(narrow ? PLOT_LOG_Y : 0));
        plot_series(&p, curves[i].name, curves[i].style);
        add_points(&p, log.points[i], log.n[i]);
    }
    r = r ? r : plot_draw(&p, path, e);
    if (r == ERR_DATA)
        err_prefix(e, "%s: ", name);
    for (int i = 0; i < CURVES; i++)
        free(log.points[i]);
    plot_release(&p);
    free(name);
    return r;
}
