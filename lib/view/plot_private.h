/* Inside of struct plot. Private to lib/view. */
#ifndef SGAPS_VIEW_PLOT_PRIVATE_H
#define SGAPS_VIEW_PLOT_PRIVATE_H

#include "view/plot.h"

struct plot_point {
    double x, y;
};

struct plot_series {
    char *name;
    enum plot_style style;
    size_t first, n; /* points */
};

struct plot_panel {
    char *title, *x, *y;
    int flags;
    size_t first, n; /* series */
};

int plot_panel_empty(const struct plot *p, const struct plot_panel *panel);
size_t plot_panels_drawn(const struct plot *p);

/* The script that draws all panels: together on one page, or one below the other as characters. */
int plot_script(const struct plot *p, int characters, FILE *f, struct err *e);

/* Runs gnuplot on two pieces of script; its output goes to the descriptor out. */
int gnuplot_run(const char *terminal, const char *script, int out, struct err *e);

#endif
