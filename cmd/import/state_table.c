/* CSV: one row a frame, comma-separated numbers, a header line with names where there is one. The columns frame_id and
 * timestamp are what they say; an empty field is a missing value. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/parse.h"
#include "import.h"

enum { COLUMNS = 65535 };

struct reader {
    FILE *f;
    const char *path;
    char *line;
    size_t room, number; /* of the line, from 1 */
    char **field;
    size_t fields, field_room;
    size_t columns;           /* of the file */
    long frame_id, timestamp; /* which columns, -1: none */
    size_t value_room, id_room, time_room;
    float sentinel;
};

/* Cuts the line into fields; quotes around a field are taken off. */
static int split(struct reader *r, struct err *e)
{
    char *p = r->line;
    p[strcspn(p, "\r\n")] = 0;
    for (r->fields = 0;; r->fields++) {
        int bad = r->fields >= COLUMNS + 2
                      ? err_set(e, ERR_DATA, "%s: line %zu: more than %d fields", r->path, r->number, COLUMNS)
                      : mem_grow(&r->field, &r->field_room, r->fields + 1, sizeof *r->field, "fields", e);
        if (bad)
            return bad;
        p += strspn(p, " \t");
        char *comma = strchr(p, ','), *end = comma ? comma : p + strlen(p);
        char *last = end;
        while (last > p && strchr(" \t", last[-1]))
            last--;
        if (last - p >= 2 && *p == '"' && last[-1] == '"') {
            p++;
            last--;
        }
        *last = 0;
        r->field[r->fields] = p;
        if (!comma) {
            r->fields++;
            return 0;
        }
        p = comma + 1;
    }
}

static int next_line(struct reader *r)
{
    do {
        r->number++;
        if (getline(&r->line, &r->room, r->f) < 0)
            return 0;
    } while (!r->line[strspn(r->line, " \t\r\n")]);
    return 1;
}

static int is_number(const char *text)
{
    double x;
    return !*text || !parse_f64(text, -HUGE_VAL, HUGE_VAL, "", &x, ERR_DATA, NULL);
}

static int is_header(const struct reader *r)
{
    for (size_t i = 0; i < r->fields; i++)
        if (!is_number(r->field[i]) && strcasecmp(r->field[i], "nan"))
            return 1;
    return 0;
}

static int take_header(struct reader *r, struct state_table *t, struct err *e)
{
    int bad = mem_alloc(&t->names, r->fields, sizeof *t->names, "names of the state", e);
    for (size_t i = 0; i < r->fields && !bad; i++) {
        if (!strcmp(r->field[i], "frame_id") && r->frame_id < 0)
            r->frame_id = (long)i;
        else if (!strcmp(r->field[i], "timestamp") && r->timestamp < 0)
            r->timestamp = (long)i;
        else if (!(bad = mem_string(&t->names[t->columns], r->field[i], e)))
            t->columns++;
    }
    return bad;
}

static int number(struct reader *r, size_t i, double low, double high, double missing, double *out,
                  struct err *e)
{
    char name[48];
    *out = missing;
    if (!*r->field[i] || !strcasecmp(r->field[i], "nan"))
        return 0;
    snprintf(name, sizeof name, "field %zu", i + 1);
    return parse_f64(r->field[i], low, high, name, out, ERR_DATA, e)
               ? err_prefix(e, "%s: line %zu: ", r->path, r->number)
               : 0;
}

static int take_row(struct reader *r, struct state_table *t, struct err *e)
{
    if (r->fields != r->columns)
        return err_set(e, ERR_DATA, "%s: line %zu: has %zu fields, expected %zu", r->path, r->number,
                       r->fields, r->columns);
    size_t n = t->rows + 1;
    int bad = mem_grow(&t->value, &r->value_room, n * t->columns, sizeof *t->value, "the state", e);
    if (!bad && r->frame_id >= 0)
        bad = mem_grow(&t->frame_id, &r->id_room, n, sizeof *t->frame_id, "the state", e);
    if (!bad && r->timestamp >= 0)
        bad = mem_grow(&t->timestamp, &r->time_room, n, sizeof *t->timestamp, "the state", e);
    float *row = bad ? NULL : t->value + t->rows * t->columns;
    for (size_t i = 0; i < r->fields && !bad; i++) {
        double x;
        if ((long)i == r->frame_id)
            bad = number(r, i, 0, 0x1p53, (double)t->rows, &t->frame_id[t->rows], e);
        else if ((long)i == r->timestamp)
            bad = number(r, i, -1e300, 1e300, (double)t->rows, &t->timestamp[t->rows], e);
        else if (!(bad = number(r, i, -3.4e38, 3.4e38, r->sentinel, &x, e)))
            *row++ = (float)x;
    }
    t->rows = n;
    return bad;
}

static int read_rows(struct reader *r, struct state_table *t, struct err *e)
{
    int bad = 0;
    for (int first = 1; !bad && next_line(r); first = 0) {
        bad = split(r, e);
        if (!bad && first) {
            r->columns = r->fields;
            if (is_header(r)) {
                bad = take_header(r, t, e);
                continue;
            }
            t->columns = r->fields;
        }
        bad = bad ? bad : take_row(r, t, e);
    }
    if (!bad && ferror(r->f))
        bad = err_set(e, ERR_IO, "%s: read failed: %s", r->path, strerror(errno));
    if (!bad && !t->rows)
        bad = err_set(e, ERR_DATA, "%s: has no rows of numbers", r->path);
    if (!bad && t->columns > COLUMNS)
        bad = err_set(e, ERR_DATA, "%s: has %zu columns, at most %d", r->path, t->columns, COLUMNS);
    return bad;
}

int state_table_read(struct state_table *t, const char *path, float sentinel, struct err *e)
{
    struct reader r = {.path = path, .frame_id = -1, .timestamp = -1, .sentinel = sentinel};
    *t = (struct state_table){.path = path};
    r.f = fopen(path, "r");
    if (!r.f)
        return err_set(e, ERR_NOINPUT, "%s: cannot open: %s", path, strerror(errno));
    int bad = read_rows(&r, t, e);
    fclose(r.f);
    free(r.line);
    free(r.field);
    if (bad)
        state_table_release(t);
    return bad;
}

void state_table_release(struct state_table *t)
{
    for (size_t i = 0; t->names && i < t->columns; i++)
        free(t->names[i]);
    free(t->names);
    free(t->value);
    free(t->frame_id);
    free(t->timestamp);
    *t = (struct state_table){0};
}
