#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/output.h"
#include "replay.h"

void tally_add(struct tally *t, const char *name)
{
    size_t i = 0;
    while (i < t->n && strcmp(t->row[i].name, name))
        i++;
    if (i == t->n) {
        if (t->n == TALLIES)
            return;
        snprintf(t->row[t->n++].name, sizeof t->row->name, "%s", name);
    }
    t->row[i].count++;
}

/* Without memory a duration is lost; the counts beside it stay right. */
void durations_add(struct durations *d, double seconds)
{
    if (!mem_grow(&d->at, &d->capacity, d->n + 1, sizeof *d->at, "latencies", NULL))
        d->at[d->n++] = (float)seconds;
}

static int by_size(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The smallest value that at least the share p lies at or below; sorted before. NAN of none. */
static double percentile(const struct durations *d, double p)
{
    if (!d->n)
        return NAN;
    double rank = ceil(p * (double)d->n);
    return d->at[rank > 0 ? (size_t)rank - 1 : 0];
}

static void sort(struct durations *d)
{
    if (d->n)
        qsort(d->at, d->n, sizeof *d->at, by_size);
}

static double share(size_t part, size_t whole)
{
    return whole ? (double)part / (double)whole : NAN;
}

static const struct {
    const char *name;
    double p;
} percentiles[] = {{"p50", 0.5}, {"p95", 0.95}, {"p99", 0.99}, {"max", 1}};

static void row_count(struct table *t, const char *name, size_t n)
{
    table_cell(t, "%s", name);
    table_cell(t, "%zu", n);
}

static void row_number(struct table *t, const char *name, double x, int decimals)
{
    table_cell(t, "%s", name);
    table_number(t, x, decimals);
}

static void row_tally(struct table *t, const char *what, const struct tally *tally)
{
    for (size_t i = 0; i < tally->n; i++) {
        table_cell(t, "%s %s", what, tally->row[i].name);
        table_cell(t, "%zu", tally->row[i].count);
    }
}

void figures_text(struct figures *f, FILE *out)
{
    static const char *const headings[] = {"figure", "value"};
    struct table t;
    char name[64];
    sort(&f->latency);
    sort(&f->late);
    table_begin(&t, 2, headings);
    row_count(&t, "sessions", f->sessions);
    row_count(&t, "sessions failed", f->failed);
    row_count(&t, "sessions refused", f->refused);
    row_number(&t, "seconds", f->ended - f->begun, 1);
    row_number(&t, "frames/s of a session", f->fps, 1);
    row_count(&t, "frames sent", f->frames);
    row_count(&t, "frames not sent", f->unsent);
    row_count(&t, "coordinates received", f->coordinates);
    row_number(&t, "of those within a frame time, %", 100 * share(f->within, f->coordinates), 2);
    for (size_t i = 0; i < sizeof percentiles / sizeof *percentiles; i++) {
        snprintf(name, sizeof name, "frame to coordinates %s, ms", percentiles[i].name);
        row_number(&t, name, 1e3 * percentile(&f->latency, percentiles[i].p), 2);
    }
    row_number(&t, "sent late p99, ms", 1e3 * percentile(&f->late, 0.99), 2);
    row_number(&t, "bytes up, a frame", share(f->bytes_up, f->frames), 0);
    row_number(&t, "bytes down, a set", share(f->bytes_down, f->coordinates + f->acknowledged), 0);
    row_tally(&t, "model", &f->models);
    row_tally(&t, "error", &f->errors);
    row_tally(&t, "closed", &f->closes);
    table_print(&t, out, 0);
    table_release(&t);
}

static void json_durations(struct json *j, const char *key, const struct durations *d)
{
    json_key(j, key);
    json_object(j);
    json_key_integer(j, "count", (int64_t)d->n);
    for (size_t i = 0; i < sizeof percentiles / sizeof *percentiles; i++)
        json_key_number(j, percentiles[i].name, 1e3 * percentile(d, percentiles[i].p));
    json_close(j);
}

static void json_tally(struct json *j, const char *key, const struct tally *t)
{
    json_key(j, key);
    json_object(j);
    for (size_t i = 0; i < t->n; i++)
        json_key_integer(j, t->row[i].name, (int64_t)t->row[i].count);
    json_close(j);
}

void figures_json(struct figures *f, FILE *out)
{
    struct json j;
    sort(&f->latency);
    sort(&f->late);
    json_begin(&j, out, 2);
    json_object(&j);
    json_key_integer(&j, "sessions", (int64_t)f->sessions);
    json_key_integer(&j, "sessions_failed", (int64_t)f->failed);
    json_key_integer(&j, "sessions_refused", (int64_t)f->refused);
    json_key_number(&j, "seconds", f->ended - f->begun);
    json_key_number(&j, "fps", f->fps);
    json_key_integer(&j, "frames_sent", (int64_t)f->frames);
    json_key_integer(&j, "frames_not_sent", (int64_t)f->unsent);
    json_key_integer(&j, "coordinates_received", (int64_t)f->coordinates);
    json_key_number(&j, "within_frame_time", share(f->within, f->coordinates));
    json_durations(&j, "latency_ms", &f->latency);
    json_durations(&j, "sent_late_ms", &f->late);
    json_key_number(&j, "bytes_up_per_frame", share(f->bytes_up, f->frames));
    json_key_number(&j, "bytes_down_per_set", share(f->bytes_down, f->coordinates + f->acknowledged));
    json_tally(&j, "models", &f->models);
    json_tally(&j, "errors", &f->errors);
    json_tally(&j, "closed", &f->closes);
    json_close(&j);
    json_end(&j);
}

void figures_release(struct figures *f)
{
    free(f->latency.at);
    free(f->late.at);
}
