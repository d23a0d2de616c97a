/* What sgaps-eval prints: a table, TSV or JSON, and the plot of PSNR against the budget. */
#ifndef SGAPS_EVAL_REPORT_H
#define SGAPS_EVAL_REPORT_H

#include <stdio.h>

#include "base/err.h"
#include "contest.h"

void report_table(const struct contest *c, FILE *f, int tsv);
void report_frames(const struct contest *c, FILE *f, int tsv);
void report_json(const struct contest *c, FILE *f);
/* One line about what could not be computed and what was left out; nothing where there is nothing to say. */
void report_notes(const struct contest *c);
/* ERR_UNAVAILABLE without gnuplot; the numbers are left beside it. */
int report_plot(const struct contest *c, const char *path, struct err *e);

#endif
