/* Data on stdout: JSON, TSV and aligned tables. JSON numbers are written with the shortest text that reads back the
 * same; NAN and infinity are null. Keys and strings are escaped. */
#ifndef SGAPS_CLI_OUTPUT_H
#define SGAPS_CLI_OUTPUT_H

#include <stdint.h>
#include <stdio.h>

/* A streaming JSON writer; nesting is tracked, so misuse asserts. indent 0: one line. */
struct json {
    FILE *f;
    int indent, depth, first, after_key;
    char kind[64];
};
void json_begin(struct json *j, FILE *f, int indent);
void json_object(struct json *j);
void json_array(struct json *j);
void json_close(struct json *j); /* the innermost object or array */
void json_key(struct json *j, const char *key);
void json_text(struct json *j, const char *text);
void json_number(struct json *j, double x);
void json_integer(struct json *j, int64_t x);
void json_bool(struct json *j, int x);
void json_null(struct json *j);
/* key and value in one */
void json_key_text(struct json *j, const char *key, const char *text);
void json_key_number(struct json *j, const char *key, double x);
void json_key_integer(struct json *j, const char *key, int64_t x);
void json_key_bool(struct json *j, const char *key, int x);
void json_end(struct json *j); /* closes all, writes the line end */

/* A table collected cell by cell, row after row, then printed aligned (for people) or as TSV (for programs). Cells are
 * text; a tab or line end in one is printed as a space. Running out of memory ends the tool with ERR_INTERNAL. */
struct table {
    char **cell; /* the headings are the first row */
    size_t cells, columns, capacity;
};
void table_begin(struct table *t, size_t columns, const char *const *headings);
void table_cell(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void table_number(struct table *t, double x, int decimals); /* "-" for NAN, "inf" */
void table_print(struct table *t, FILE *f, int tsv);        /* numbers right-aligned */
void table_release(struct table *t);

#endif
