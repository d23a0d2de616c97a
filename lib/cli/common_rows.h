/* The tool's own rows and those that every tool has, as one table; private to lib/cli. */
#ifndef SGAPS_CLI_COMMON_ROWS_H
#define SGAPS_CLI_COMMON_ROWS_H

#include "cli/option.h"

enum { ROWS_LIMIT = 96 };

/* What the rows without a tool's variable set. */
struct wishes {
    int help, version, list;
};

/* Fills rows (ended by OPTION_END) and returns their number. */
int all_rows(const struct tool *tool, struct common_options *c, struct wishes *w,
             struct option_row rows[ROWS_LIMIT]);

void print_help(const struct tool *tool, const struct option_row *rows);
void print_version(const struct tool *tool);
void print_options(const struct option_row *rows);

/* "--name", or "-x" where there is no name. */
const char *row_name(const struct option_row *row, char out[64]);
int row_takes_argument(const struct option_row *row);

#endif
