#include "clean_summary.h"

#include "cli/output.h"

static void put_counts(struct json *j, const size_t count[CLEAN_REASONS])
{
    for (int i = 0; i < CLEAN_REASONS; i++)
        json_key_integer(j, clean_reason_name(i), (int64_t)count[i]);
}

static void put_session(struct json *j, const struct clean_session *s)
{
    size_t count[CLEAN_REASONS] = {0};
    for (size_t t = 0; t < s->T; t++)
        count[s->reason[t]]++;
    json_object(j);
    json_key_text(j, "session", s->id);
    json_key_integer(j, "frames", (int64_t)s->T);
    put_counts(j, count);
    json_key_number(j, "velocity_median", s->median);
    json_close(j);
}

static void put_note(void *user, const char *text, int usual)
{
    (void)usual;
    json_text(user, text);
}

void clean_summary_json(const struct clean *c, FILE *f)
{
    struct json j;
    json_begin(&j, f, 2);
    json_object(&j);
    json_key_integer(&j, "frames", (int64_t)c->n);
    put_counts(&j, c->count);
    json_key_number(&j, "velocity_median", c->median);
    json_key_number(&j, "velocity_threshold", c->threshold);
    json_key_integer(&j, "state_columns", (int64_t)c->columns);
    json_key_integer(&j, "cluster_cap", (int64_t)c->cap);
    json_key_integer(&j, "iterations", c->iterations);
    json_key(&j, "clusters");
    json_array(&j);
    for (size_t k = 0; k < c->clusters; k++) {
        json_object(&j);
        json_key_integer(&j, "before", (int64_t)c->before[k]);
        json_key_integer(&j, "after", (int64_t)c->after[k]);
        json_close(&j);
    }
    json_close(&j);
    json_key(&j, "sessions");
    json_array(&j);
    for (size_t i = 0; i < c->sessions; i++)
        put_session(&j, &c->session[i]);
    json_close(&j);
    json_key(&j, "notes");
    json_array(&j);
    clean_notes(c, put_note, &j);
    json_end(&j);
}

void clean_summary_table(const struct clean *c, FILE *f)
{
    static const char *const headings[] = {"reason", "frames", "share"};
    struct table t;
    table_begin(&t, 3, headings);
    for (int i = 0; i < CLEAN_REASONS; i++) {
        if (!c->count[i])
            continue;
        table_cell(&t, "%s", clean_reason_name(i));
        table_cell(&t, "%zu", c->count[i]);
        table_cell(&t, "%.1f%%", 100.0 * (double)c->count[i] / (double)c->n);
    }
    table_cell(&t, "all");
    table_cell(&t, "%zu", c->n);
    table_cell(&t, "100.0%%");
    table_print(&t, f, 0);
    table_release(&t);
}
