/* What was done, for people and programs: the TSV report. */
#include <math.h>

#include "clean/clean.h"

void clean_notes(const struct clean *c, void (*say)(void *user, const char *text, int usual), void *user)
{
    char text[160];
    if (c->without_samples) {
        snprintf(text, sizeof text,
                 "the sample rules are skipped for %zu of %zu sessions: they have no samples",
                 c->without_samples, c->sessions);
        say(user, text, 1);
    }
    if (c->without_state) {
        snprintf(text, sizeof text,
                 "stationarity and balancing are skipped for %zu of %zu sessions: they have no state",
                 c->without_state, c->sessions);
        say(user, text, 0);
    }
    if (isnan(c->threshold) && c->without_state < c->sessions)
        say(user, "stationarity is skipped: no two neighbouring frames have a state", 0);
    if (c->not_balanced && c->without_state < c->sessions) {
        snprintf(text, sizeof text, "balancing is skipped: %s", c->not_balanced);
        say(user, text, 0);
    }
}

static void report_note(void *user, const char *text, int usual)
{
    (void)usual;
    fprintf(user, "# note\t%s\n", text);
}

static void put_number(FILE *f, double x)
{
    if (isnan(x))
        fputs("-", f);
    else
        fprintf(f, "%.6g", x);
}

/* A session's name, without what would break the table. */
static void put_name(FILE *f, const char *name)
{
    for (; *name; name++)
        putc((unsigned char)*name < 0x20 ? ' ' : *name, f);
}

static void session_row(const struct clean_session *s, FILE *f)
{
    size_t count[CLEAN_REASONS] = {0};
    for (size_t t = 0; t < s->T; t++)
        count[s->reason[t]]++;
    put_name(f, s->id);
    fprintf(f, "\t%zu", s->T);
    for (int i = 0; i < CLEAN_REASONS; i++)
        fprintf(f, "\t%zu", count[i]);
    putc('\t', f);
    put_number(f, s->median);
    putc('\n', f);
}

void clean_report(const struct clean *c, const struct clean_params *p, FILE *f)
{
    static const char *const stationarity[] = {"frame", "session", "none"};
    fprintf(f, "# min_pixels\t%zu\n# stationarity\t%s\n# raw_velocity\t%d\n", p->min_pixels,
            stationarity[p->stationarity], p->raw_velocity);
    fprintf(f, "# ratio\t%.6g\n# noise_floor\t%.6g\n# keep_every\t%zu\n", p->ratio, p->noise_floor,
            p->keep_every);
    fprintf(f, "# clusters\t%zu\n# cap\t%s\n# init\t%s\n# seed\t%llu\n", p->clusters, p->cap,
            p->plus_plus ? "kmeans++" : "random", (unsigned long long)p->seed);
    fputs("# velocity_median\t", f);
    put_number(f, c->median);
    fputs("\n# velocity_threshold\t", f);
    put_number(f, c->threshold);
    fprintf(f, "\n# state_columns\t%zu\n", c->columns);
    if (c->clusters)
        fprintf(f, "# cluster_cap\t%zu\n# iterations\t%d\n", c->cap, c->iterations);
    clean_notes(c, report_note, f);
    fputs("session\tframes", f);
    for (int i = 0; i < CLEAN_REASONS; i++)
        fprintf(f, "\t%s", clean_reason_name(i));
    fputs("\tvelocity_median\n", f);
    for (size_t i = 0; i < c->sessions; i++)
        session_row(&c->session[i], f);
    fprintf(f, "total\t%zu", c->n);
    for (int i = 0; i < CLEAN_REASONS; i++)
        fprintf(f, "\t%zu", c->count[i]);
    putc('\t', f);
    put_number(f, c->median);
    putc('\n', f);
}
