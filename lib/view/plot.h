/* Plots: panels of series of numbers, drawn by gnuplot, found at run time.
 *
 *     struct plot p = {0};
 *     plot_panel(&p, "Validation", "step", "PSNR, dB", 0);
 *     plot_series(&p, "model", PLOT_LINE);
 *     plot_point(&p, 100, 21.3); ...
 *     plot_draw(&p, "curves.svg", &e);
 *     plot_release(&p);
 *
 * Building never fails at once: a lack of memory is told by plot_draw. gnuplot runs a constant script: numbers come in data
 * blocks, texts in single quotes, so that nothing in a name is ever run. */
#ifndef SGAPS_VIEW_PLOT_H
#define SGAPS_VIEW_PLOT_H

#include <stddef.h>
#include <stdio.h>

#include "base/err.h"

enum plot_style {
    PLOT_LINE,   /* points, joined */
    PLOT_CURVE,  /* a line without marks, for many points */
    PLOT_FAINT,  /* the same, thin, for what lies behind the others */
    PLOT_DASHED, /* a straight line: a baseline, a threshold */
    PLOT_BARS,   /* at 0, 1, 2 ..., side by side; the x of a point is not drawn */
    PLOT_STEPS   /* a histogram: x is a bin's left edge, and the last point the right edge of all */
};
enum {
    PLOT_LOG_X = 1,
    PLOT_LOG_Y = 2,
    PLOT_FROM_ZERO = 4 /* y begins at 0 */
};

struct plot {
    struct plot_panel *panels;
    struct plot_series *series;
    struct plot_point *points;
    size_t panel_count, panel_capacity, series_count, series_capacity, point_count, point_capacity;
    int failed;
};

/* Texts are copied. A series called as its y axis is not named again. Series belong to the panel before them, points to the series. */
void plot_panel(struct plot *p, const char *title, const char *x, const char *y, int flags);
void plot_series(struct plot *p, const char *name, enum plot_style style);
/* A point that is not finite is left out. */
void plot_point(struct plot *p, double x, double y);
void plot_release(struct plot *p);

/* Draws to path: a .svg or a .png by its name, whole or not at all; "-" is standard output, where a terminal with sixels
 * gets a picture, and any other place characters. Panels and series without points are left out.
 * ERR_UNAVAILABLE: gnuplot is not there; then the numbers are left as a table (panel, series, x, y), in path.tsv or on
 * standard output, and the text says so. ERR_DATA: there are no points; ERR_USAGE: another ending; ERR_CANTCREATE, ERR_IO;
 * ERR_INTERNAL: gnuplot refused the script, with its words. */
int plot_draw(const struct plot *p, const char *path, struct err *e);
/* Can this be drawn, by its name? For a check before the work. */
int plot_check(const char *path, struct err *e);

/* The table that is left without gnuplot. */
void plot_table(const struct plot *p, FILE *f);

#endif
