/* Named lines of text, folded at 80 columns. */
#ifndef SGAPS_CMD_INFO_LINES_H
#define SGAPS_CMD_INFO_LINES_H

#include <stddef.h>

/* "  name         text"; nothing where text is NULL or empty. Control characters become '?'. */
void print_line(const char *name, const char *text);
void print_formatted(const char *name, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The first of a history's lines, and how many more there are. */
void print_newest(const char *history);

/* "7.8 MB", "42 kB", "320 bytes" */
const char *size_text(double bytes, char out[24]);
/* "4.8 s", "1:17", "2:03:12" */
const char *time_text(double seconds, char out[24]);

#endif
