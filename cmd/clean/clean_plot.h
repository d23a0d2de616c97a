/* --plot: what the velocities are and where the threshold lies; what balancing does to the clusters. */
#ifndef SGAPS_CMD_CLEAN_PLOT_H
#define SGAPS_CMD_CLEAN_PLOT_H

#include "clean/clean.h"

/* As plot_draw. */
int clean_plot(const struct clean *c, const char *path, struct err *e);

#endif
