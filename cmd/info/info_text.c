/* A recording as text, in 80 columns: what one asks first, then its sessions, then its state. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "info.h"
#include "lines.h"
#include "overview.h"

enum { WIDTH = 80, FEW_SESSIONS = 24, FEW_COLUMNS = 40, CELL = 33, LONG = 190 };

void print_plain(const char *text, size_t n)
{
    for (; n-- && *text; text++)
        putchar((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text);
}

/* --- the table of sessions: columns in which all agree are left to the lines above it --- */

enum field { ID, ROWS, TIME, SAMPLES, FULL, GAPS, SIZE, STATE, FPS, CLOSED, MADE, KEY, FIELDS };
static const char *const headings[FIELDS] = {"session", "frames", "time", "samples", "full", "gaps",
                                             "size",    "state",  "fps",  "closed",  "made", "key"};

/* What of a survey the table needs. */
struct row {
    double seconds;
    size_t gaps;
};

static void cut(char out[CELL], const char *text)
{
    size_t n = 0;
    for (; text[n] && n < CELL - 1; n++)
        out[n] = (unsigned char)text[n] < 0x20 || text[n] == 0x7f ? '?' : text[n];
    if (text[n])
        memcpy(out + n - 2, "..", 2);
    out[n] = 0;
    if (!n)
        strcpy(out, "-");
}

static void field_text(enum field f, const struct session_info *s, const struct row *row, char out[CELL])
{
    char time[24];
    switch (f) {
    case ID:
        cut(out, s->id);
        break;
    case KEY:
        cut(out, s->checkpoint_key);
        break;
    case ROWS:
        snprintf(out, CELL, "%zu", s->T);
        break;
    case TIME:
        snprintf(out, CELL, "%s", s->T ? time_text(row->seconds, time) : "-");
        break;
    case SAMPLES:
        if (s->has_samples && s->T)
            snprintf(out, CELL, "%.1f", (double)s->M / (double)s->T);
        else
            strcpy(out, "-");
        break;
    case FULL:
        snprintf(out, CELL, "%zu", s->K);
        break;
    case GAPS:
        snprintf(out, CELL, "%zu", row->gaps);
        break;
    case SIZE:
        snprintf(out, CELL, "%ux%u", s->W, s->H);
        break;
    case STATE:
        snprintf(out, CELL, "%zu", s->S);
        break;
    case FPS:
        snprintf(out, CELL, s->fps > 0 ? "%g" : "-", s->fps);
        break;
    case CLOSED:
        strcpy(out, s->closed < 0 ? "-" : s->closed ? "yes" : "no");
        break;
    case MADE:
        strcpy(out, s->has_reconstruction && s->has_importance ? "frames,map"
                    : s->has_reconstruction                    ? "frames"
                    : s->has_importance                        ? "map"
                                                               : "-");
        break;
    case FIELDS:
        break;
    }
}

/* shown (FIELDS): those that tell sessions apart, as many as 80 columns hold. */
static void choose_fields(const struct recording *r, const struct row *rows, size_t listed, int all,
                          int shown[FIELDS])
{
    size_t width = 0;
    for (int f = 0; f < FIELDS; f++) {
        char first[CELL], text[CELL];
        size_t widest = strlen(headings[f]);
        int differ = f <= TIME;
        field_text((enum field)f, recording_session(r, 0), &rows[0], first);
        for (size_t i = 0; i < recording_sessions(r); i++) {
            field_text((enum field)f, recording_session(r, i), &rows[i], text);
            differ |= strcmp(text, first) != 0;
            if (i < listed && strlen(text) > widest)
                widest = strlen(text);
        }
        shown[f] = differ && (all || width + widest <= WIDTH);
        width += shown[f] ? widest + 2 : 0;
    }
}

static void print_sessions(const struct recording *r, const struct row *rows, int all)
{
    size_t n = recording_sessions(r), listed = all || n <= FEW_SESSIONS ? n : FEW_SESSIONS - 4, columns = 0;
    const char *names[FIELDS];
    int shown[FIELDS];
    struct table t;
    choose_fields(r, rows, listed, all, shown);
    for (int f = 0; f < FIELDS; f++)
        if (shown[f])
            names[columns++] = headings[f];
    table_begin(&t, columns, names);
    for (size_t i = 0; i < listed; i++)
        for (int f = 0; f < FIELDS; f++) {
            char text[CELL];
            field_text((enum field)f, recording_session(r, i), &rows[i], text);
            if (shown[f])
                table_cell(&t, "%s", text);
        }
    table_print(&t, stdout, 0);
    table_release(&t);
    if (listed < n)
        printf("... and %zu sessions more (-v lists all)\n", n - listed);
}

/* --- the table of the state's columns --- */

static void print_columns(const struct overview *o, int all)
{
    static const char *const titles[] = {"state", "from", "to", "missing"};
    size_t listed = 0, held = 0;
    struct table t;
    table_begin(&t, 4, titles);
    for (size_t i = 0; i < o->columns; i++) {
        const struct overview_column *c = &o->column[i];
        char name[CELL];
        held += c->values.valid > 0;
        if (!c->values.valid || (!all && listed >= FEW_COLUMNS))
            continue;
        listed++;
        if (c->name)
            cut(name, c->name);
        else
            snprintf(name, sizeof name, "%zu", i);
        table_cell(&t, "%s", name);
        table_cell(&t, "%.6g", c->values.low);
        table_cell(&t, "%.6g", c->values.high);
        if (c->values.valid < c->rows)
            table_cell(&t, "%.1f%%", 100 * (double)(c->rows - c->values.valid) / (double)c->rows);
        else
            table_cell(&t, "-");
    }
    if (listed) {
        putchar('\n');
        table_print(&t, stdout, 0);
    }
    table_release(&t);
    if (listed < held)
        printf("... and %zu columns more (-v lists all)\n", held - listed);
}

/* --- the lines above them --- */

/* A flat JSON object as "name value, name value". */
static void print_flat(const char *name, char *json)
{
    char *to = json;
    for (const char *p = json; p && *p; p++)
        if (!strchr("{}\":", *p))
            *to++ = *p;
    if (json)
        *to = 0;
    print_line(name, json);
}

static void print_clean(struct recording *r)
{
    char *counts = recording_clean_text(r, "counts"), *notes = recording_clean_text(r, "notes");
    print_flat("cleaned", counts);
    char *rest = NULL; /* a note a line */
    for (char *note = notes ? strtok_r(notes, "\n", &rest) : NULL; note; note = strtok_r(NULL, "\n", &rest))
        print_line(note == notes ? "notes" : "", note);
    free(counts);
    free(notes);
}

/* What the recording was made with may be long; here its beginning is enough. */
static void print_config(const char *json, int all)
{
    if (json && !all && strlen(json) > LONG)
        print_formatted("config", "%.*s ... (-v or --json has all of it)", LONG - 40, json);
    else
        print_line("config", json);
}

static int agree(const struct recording *r, enum field f)
{
    const struct row none = {0};
    char first[CELL], text[CELL];
    field_text(f, recording_session(r, 0), &none, first);
    for (size_t i = 1; i < recording_sessions(r); i++) {
        field_text(f, recording_session(r, i), &none, text);
        if (strcmp(first, text))
            return 0;
    }
    return 1;
}

static void print_time(const struct recording *r, const struct overview *o)
{
    const struct session_info *s = recording_session(r, 0);
    char all[24], gaps[24], longest[24], rate[48] = "";
    if (agree(r, FPS) && s->fps > 0)
        snprintf(rate, sizeof rate, " at %g frames a second", s->fps);
    if (!(o->seconds > 0)) {
        print_line("time", "not recorded");
        return;
    }
    time_text(o->seconds, all);
    if (o->gaps)
        print_formatted("time", "%s%s; %zu gap%s of %s together, the longest %s after row %zu of %s", all,
                        rate, o->gaps, o->gaps == 1 ? "" : "s", time_text(o->gap_seconds, gaps),
                        time_text(o->longest, longest), o->longest_after,
                        recording_session(r, o->longest_session)->id);
    else
        print_formatted("time", "%s%s, no gaps", all, rate);
    if (o->backwards)
        print_formatted("", "runs backwards in %zu place%s (--check says where)", o->backwards,
                        o->backwards == 1 ? "" : "s");
}

static void print_frames(const struct recording *r, const struct overview *o)
{
    const struct session_info *s = recording_session(r, 0);
    char size[32] = "";
    if (agree(r, SIZE))
        snprintf(size, sizeof size, ", %ux%u", s->W, s->H);
    if (o->full == o->frames)
        print_formatted("full frames", "of all rows%s", size);
    else if (o->full)
        print_formatted("full frames", "of %zu of %zu rows%s", o->full, o->frames, size);
    else
        print_formatted("full frames", "none%s%s", *size ? "; size" : "", *size ? size + 1 : "");
}

static void print_samples(const struct overview *o)
{
    char range[64] = "", without[64] = "";
    if (!o->samples) {
        print_line("samples", "none");
        return;
    }
    if (o->samples_least != o->samples_most)
        snprintf(range, sizeof range, " (%zu to %zu)", o->samples_least, o->samples_most);
    if (o->rows_without)
        snprintf(without, sizeof without, "; %zu rows have none", o->rows_without);
    print_formatted("samples", "%.4g a frame%s, %.3g %% of the pixels%s",
                    (double)o->samples / (double)o->sampled_rows, range, 100 * overview_coverage(o), without);
}

static void print_state(const struct overview *o)
{
    size_t held = 0;
    for (size_t i = 0; i < o->columns; i++)
        held += o->column[i].values.valid > 0;
    if (!o->columns)
        print_line("state", "none");
    else if (held == o->columns)
        print_formatted("state", "%zu column%s", held, held == 1 ? "" : "s");
    else
        print_formatted("state", "%zu of %zu columns hold values", held, o->columns);
}

static void print_shared(const struct recording *r, const struct overview *o)
{
    const struct session_info *s = recording_session(r, 0);
    char made[CELL];
    field_text(MADE, s, &(struct row){0}, made);
    if (agree(r, MADE) && strcmp(made, "-"))
        print_line("made", !strcmp(made, "map")      ? "importance maps"
                           : !strcmp(made, "frames") ? "reconstructions"
                                                     : "reconstructions and importance maps");
    if (agree(r, KEY) && *s->checkpoint_key)
        print_line("key", s->checkpoint_key);
    print_line("client", s->client_name);
    if (o->not_closed)
        print_formatted("not closed", "%zu of %zu sessions: their writer was cut short", o->not_closed,
                        o->sessions);
}

static void print_bytes(const struct content *c, const struct overview *o)
{
    char *text = NULL, one[24];
    size_t size;
    uint64_t told = 0;
    FILE *f = open_memstream(&text, &size);
    for (int k = 0; k < RECORDING_PARTS && f; k++) {
        told += o->bytes[k];
        if (o->bytes[k])
            fprintf(f, "%s %s, ", recording_part_names[k], size_text((double)o->bytes[k], one));
    }
    if (f && told)
        fprintf(f, "the rest %s", size_text((double)(c->bytes > told ? c->bytes - told : 0), one));
    if (f)
        fclose(f);
    print_line("bytes", text);
    free(text);
}

static int survey_all(struct recording *r, struct overview *o, struct row *rows, struct err *e)
{
    int code = 0;
    for (size_t i = 0; i < recording_sessions(r) && !code; i++) {
        struct session_survey s;
        code = overview_add(o, r, i, &s, e);
        rows[i] = (struct row){survey_seconds(&s), s.gaps};
        session_survey_release(&s);
    }
    return code;
}

static void print_headline(const struct content *c, const struct overview *o)
{
    const struct recording *r = c->recording;
    size_t n = recording_sessions(r);
    char size[24], time[24];
    print_plain(c->name, strlen(c->name));
    if (!n) {
        puts(": selection of sgaps-clean, to be named beside its source");
        return;
    }
    printf(": %s, %zu session%s, %zu frame%s, ",
           recording_session(r, 0)->older ? "older per-frame recording" : "recording", n, n == 1 ? "" : "s",
           o->frames, o->frames == 1 ? "" : "s");
    if (o->seconds > 0)
        printf("%s, ", time_text(o->seconds, time));
    puts(size_text((double)c->bytes, size));
}

int print_recording(const struct content *c, int all, struct err *e)
{
    struct recording *r = c->recording;
    struct overview o = {0};
    struct row *rows;
    const char *config = recording_attribute(r, "config");
    size_t n = recording_sessions(r);
    int code = mem_alloc(&rows, n, sizeof *rows, "the sessions", e);
    code = code ? code : survey_all(r, &o, rows, e);
    print_headline(c, &o);
    print_line("created", recording_attribute(r, "created_at"));
    print_line("creator", recording_attribute(r, "creator"));
    print_line("uuid", recording_attribute(r, "uuid"));
    print_clean(r);
    print_newest(recording_attribute(r, "history"));
    print_config(config && strcmp(config, "{}") ? config : NULL, all);
    if (n && !code) {
        print_time(r, &o);
        print_frames(r, &o);
        print_samples(&o);
        print_state(&o);
        print_shared(r, &o);
        print_bytes(c, &o);
        putchar('\n');
        print_sessions(r, rows, all);
        print_columns(&o, all);
    }
    overview_release(&o);
    free(rows);
    return code;
}
