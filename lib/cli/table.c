#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "cli/output.h"

/* A table is a few kilobytes at the end of a job: running out of memory there is the end. */
static void out_of_memory(void)
{
    log_error("out of memory for a table");
    exit(ERR_INTERNAL);
}

static void add_cell(struct table *t, char *text)
{
    if (!text || mem_grow(&t->cell, &t->capacity, t->cells + 1, sizeof *t->cell, "a table", NULL))
        out_of_memory();
    for (char *s = text; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            *s = ' ';
    t->cell[t->cells++] = text;
}

void table_begin(struct table *t, size_t columns, const char *const *headings)
{
    *t = (struct table){.columns = columns};
    for (size_t i = 0; i < columns; i++)
        add_cell(t, strdup(headings[i]));
}

void table_cell(struct table *t, const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        text = NULL;
    va_end(ap);
    add_cell(t, text);
}

void table_number(struct table *t, double x, int decimals)
{
    if (isnan(x))
        table_cell(t, "-");
    else if (isinf(x))
        table_cell(t, x > 0 ? "inf" : "-inf");
    else
        table_cell(t, "%.*f", decimals, x);
}

/* Columns on the screen: code points, near enough for names. */
static size_t width_of(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static int is_number(const char *text)
{
    char *end;
    if (!strcmp(text, "-") || !*text)
        return 1;
    strtod(text, &end);
    return end != text && (!*end || !strcmp(end, "%"));
}

static void print_padding(FILE *f, size_t n)
{
    fprintf(f, "%*s", (int)n, "");
}

void table_print(struct table *t, FILE *f, int tsv)
{
    size_t *width = calloc(t->columns, sizeof *width);
    char *left = calloc(t->columns, 1);
    if (!width || !left)
        out_of_memory();
    for (size_t i = 0; i < t->cells; i++) {
        size_t c = i % t->columns, w = width_of(t->cell[i]);
        if (w > width[c])
            width[c] = w;
        if (i >= t->columns && !is_number(t->cell[i]))
            left[c] = 1;
    }
    for (size_t i = 0; i < t->cells; i++) {
        size_t c = i % t->columns, pad = width[c] - width_of(t->cell[i]);
        int last = c == t->columns - 1 || i == t->cells - 1;
        if (!tsv && !left[c])
            print_padding(f, pad);
        fputs(t->cell[i], f);
        if (!tsv && left[c] && !last)
            print_padding(f, pad);
        fputs(last ? "\n" : tsv ? "\t" : "  ", f);
    }
    free(width);
    free(left);
}

void table_release(struct table *t)
{
    for (size_t i = 0; i < t->cells; i++)
        free(t->cell[i]);
    free(t->cell);
    *t = (struct table){0};
}
