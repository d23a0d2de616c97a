/* Plots through gnuplot, found at run time. The script is commands and data blocks ($data << EOD ... EOD) written by the
 * caller; texts from outside go through plot_quote, so that nothing in a file name is ever run. */
#ifndef SGAPS_VIEW_PLOT_H
#define SGAPS_VIEW_PLOT_H

#include <stdio.h>

#include "base/err.h"

/* Draws to path (.svg or .png by its name), whole or not at all. The terminal is set here, without enhanced text.
 * ERR_USAGE: another ending; ERR_UNAVAILABLE: gnuplot is not there (a tool says so and goes on: its numbers are printed
 * anyway); ERR_CANTCREATE, ERR_IO; ERR_INTERNAL: gnuplot refused the script, with its words. */
int plot_run(const char *script, const char *path, struct err *e);
/* Is the ending one that can be drawn? For a check before the work. */
int plot_check(const char *path, struct err *e);

/* text as a gnuplot string in single quotes; control characters become spaces. */
void plot_quote(FILE *script, const char *text);

#endif
