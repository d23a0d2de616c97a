#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "info.h"

void print_plain(const char *text, size_t n)
{
    for (; n-- && *text; text++)
        putchar((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text);
}

static void line(const char *name, const char *value)
{
    if (!value || !*value)
        return;
    printf("  %-12s ", name);
    print_plain(value, strlen(value));
    putchar('\n');
}

static void plain_cell(struct table *t, const char *text)
{
    char cell[256];
    size_t n = 0;
    for (; text[n] && n < sizeof cell - 1; n++)
        cell[n] = (unsigned char)text[n] < 0x20 || text[n] == 0x7f ? '?' : text[n];
    cell[n] = 0;
    table_cell(t, "%s", n ? cell : "-");
}

/* The first line of a history, and how many more there are. */
static void print_newest(const char *history)
{
    if (!history || !*history)
        return;
    int more = 0;
    for (const char *p = history; (p = strchr(p, '\n')) && p[1]; p++)
        more++;
    printf("  %-12s ", "history");
    print_plain(history, strcspn(history, "\n"));
    if (more)
        printf(" (and %d more: --history)", more);
    putchar('\n');
}

static void print_sessions(const struct recording *r)
{
    static const char *const headings[] = {"session", "frames", "full",   "samples", "state",
                                           "size",    "fps",    "closed", "made",    "key"};
    struct table t;
    table_begin(&t, sizeof headings / sizeof *headings, headings);
    for (size_t i = 0; i < recording_sessions(r); i++) {
        const struct session_info *s = recording_session(r, i);
        plain_cell(&t, s->id);
        table_cell(&t, "%zu", s->T);
        table_cell(&t, "%zu", s->K);
        table_number(&t, s->has_samples && s->T ? (double)s->M / (double)s->T : NAN, 1);
        table_cell(&t, s->S ? "%zu" : "-", s->S);
        table_cell(&t, "%ux%u", s->W, s->H);
        table_cell(&t, s->fps > 0 ? "%g" : "-", s->fps);
        table_cell(&t, "%s", s->closed < 0 ? "-" : s->closed ? "yes" : "no");
        table_cell(&t, "%s",
                   s->has_reconstruction && s->has_importance ? "frames,map"
                   : s->has_reconstruction                    ? "frames"
                   : s->has_importance                        ? "map"
                                                              : "-");
        plain_cell(&t, s->checkpoint_key);
    }
    table_print(&t, stdout, 0);
    table_release(&t);
}

/* Names of the state's columns, once for all sessions that agree. */
static void print_state_names(const struct recording *r)
{
    const struct session_info *s = recording_session(r, 0);
    if (!s->state_names)
        return;
    printf("state:");
    for (size_t i = 0; i < s->state_name_count; i++) {
        putchar(' ');
        print_plain(s->state_names[i], strlen(s->state_names[i]));
    }
    putchar('\n');
}

/* A flat JSON object as "name value, name value". */
static void print_flat(const char *name, const char *json)
{
    if (!json)
        return;
    printf("  %-12s ", name);
    for (const char *p = json; *p; p++)
        if (!strchr("{}\":", *p))
            print_plain(p, 1);
    putchar('\n');
}

static void print_clean(struct recording *r)
{
    char *counts = recording_clean_text(r, "counts"), *notes = recording_clean_text(r, "notes");
    print_flat("cleaned", counts);
    line("notes", notes);
    free(counts);
    free(notes);
}

void print_recording(struct recording *r, const char *name)
{
    size_t frames = 0, n = recording_sessions(r);
    for (size_t i = 0; i < n; i++)
        frames += recording_session(r, i)->T;
    int older = n && recording_session(r, 0)->older;
    if (n)
        printf("%s: %s, %zu session%s, %zu frames\n", name, older ? "older per-frame recording" : "recording",
               n, n == 1 ? "" : "s", frames);
    else
        printf("%s: selection of sgaps-clean, to be named beside its source\n", name);
    line("created", recording_attribute(r, "created_at"));
    line("creator", recording_attribute(r, "creator"));
    line("uuid", recording_attribute(r, "uuid"));
    const char *config = recording_attribute(r, "config");
    line("config", config && strcmp(config, "{}") ? config : NULL);
    print_clean(r);
    print_newest(recording_attribute(r, "history"));
    if (!n)
        return;
    print_sessions(r);
    print_state_names(r);
}

size_t checkpoint_parameters(const struct checkpoint *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->tensor_count; i++) {
        const char *name = c->tensors[i].name;
        if (!strstr(name, "running_") && strcmp(name, "pos_encoder.freqs"))
            n += c->tensors[i].count;
    }
    return n;
}

static void print_key(void *user, const char *key, const char *type, const char *value, const char *help)
{
    const char *json = user; /* groups that the file says nothing about are left out */
    char group[64];
    (void)type;
    (void)help;
    snprintf(group, sizeof group, "\"%.*s\"", (int)strcspn(key, "."), key);
    if (strstr(json, group))
        printf("    %s = %s\n", key, value);
}

static void print_config(char *json)
{
    struct config c;
    config_init(&c);
    if (!config_from_json(&c, json, NULL)) {
        puts("  configuration:");
        config_each_key(&c, print_key, json);
    } else if (*json) {
        line("config", json);
    }
    config_release(&c);
}

void print_checkpoint(const struct checkpoint *c, const char *name)
{
    printf("%s: checkpoint, %zu parameters in %zu tensors\n", name, checkpoint_parameters(c),
           c->tensor_count);
    line("created", c->created_at);
    line("creator", c->creator);
    line("key", c->checkpoint_key);
    printf("  %-12s epoch %" PRId64 ", step %" PRId64 ", seed %" PRIu64 "\n", "trained", c->epoch, c->step,
           c->seed);
    if (!isnan(c->score) && *c->metric && strcmp(c->metric, "none"))
        printf("  %-12s %s %.6g\n", "score", c->metric, c->score);
    line("data", c->data_uuid);
    if (c->exp_avg)
        printf("  %-12s step %" PRId64 ", lr %g: can be resumed\n", "optimizer", c->optimizer_step, c->lr);
    if (c->state_n)
        printf("  %-12s mean and deviation of %zu state columns\n", "state", c->state_n);
    print_newest(c->history);
    print_config(c->config);
}
