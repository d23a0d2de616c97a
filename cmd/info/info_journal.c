/* A segment of a journal: which sessions have records in it, and what of it cannot be read. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "info.h"
#include "io/journal.h"
#include "io/stream.h"

struct part {
    uint64_t number, frames, full, sets, reconstructions, gaps, samples;
    int opened, closed;
    char *id, *key, *client;
};

struct summary {
    const char *name;
    char journal[JOURNAL_NAME_SIZE];
    struct part *part;
    size_t parts, capacity;
    uint64_t records, first, last; /* sequence numbers */
    double begun, ended;           /* Unix seconds */
    struct faults *faults;
};

int journal_probe(const char *path)
{
    struct peek_file p;
    const char *dot = strrchr(path, '.');
    if (peek_open(&p, path, NULL))
        return 0;
    enum stream_format format = peek_format(&p);
    peek_close(&p);
    return format == STREAM_JOURNAL || (format == STREAM_UNKNOWN && dot && !strcmp(dot, ".sgj"));
}

static void on_damage(void *user, const struct journal_damage *d)
{
    struct summary *s = user;
    char text[1024];
    snprintf(text, sizeof text, "%s: offset %llu: %s: %llu bytes are passed over", s->name,
             (unsigned long long)d->offset, d->reason, (unsigned long long)d->bytes);
    add_fault(s->faults, text);
}

static int part_of(struct summary *s, uint64_t number, struct part **out, struct err *e)
{
    for (size_t i = s->parts; i-- > 0;)
        if (s->part[i].number == number) {
            *out = &s->part[i];
            return 0;
        }
    int bad = mem_grow(&s->part, &s->capacity, s->parts + 1, sizeof *s->part, "sessions", e);
    if (bad)
        return bad;
    *out = &s->part[s->parts++];
    **out = (struct part){.number = number};
    return 0;
}

static int take(struct summary *s, const struct journal_record *r, struct err *e)
{
    struct part *p;
    if (!s->records++) {
        s->first = r->sequence;
        s->begun = r->unix_time;
        snprintf(s->journal, sizeof s->journal, "%s", r->journal);
    }
    s->last = r->sequence;
    s->ended = r->unix_time;
    if (!r->session)
        return 0;
    int bad = part_of(s, r->session, &p, e);
    if (bad)
        return bad;
    switch (r->type) {
    case JOURNAL_OPEN:
        if (p->opened++)
            break;
        bad = mem_string(&p->id, r->id, e);
        bad = bad ? bad : mem_string(&p->key, r->checkpoint_key, e);
        bad = bad ? bad : mem_string(&p->client, r->client_name, e);
        break;
    case JOURNAL_FRAME:
        p->frames++;
        p->samples += r->n;
        p->full += r->image != NULL;
        break;
    case JOURNAL_SET:
        p->sets++;
        break;
    case JOURNAL_RECONSTRUCTION:
        p->reconstructions++;
        break;
    case JOURNAL_CLOSE:
        p->closed = 1;
        break;
    case JOURNAL_GAP:
        p->gaps += r->count;
        break;
    }
    return bad;
}

static int read_summary(struct summary *s, const char *path, struct err *e)
{
    struct journal_reader *r;
    struct journal_record record;
    int more = 0, bad = journal_open(&r, path, on_damage, s, e);
    if (bad)
        return bad;
    while (!bad && (more = journal_next(r, &record, e)) > 0)
        bad = take(s, &record, e);
    journal_reader_close(r);
    return more < 0 ? e->code : bad;
}

static void text_cell(struct table *t, const char *text)
{
    char cell[128];
    size_t n = 0;
    for (; text && text[n] && n < sizeof cell - 1; n++)
        cell[n] = (unsigned char)text[n] < 0x20 || text[n] == 0x7f ? '?' : text[n];
    cell[n] = 0;
    table_cell(t, "%s", n ? cell : "-");
}

static void print_summary(const struct summary *s)
{
    static const char *const headings[] = {"session", "id",   "frames", "full",   "samples",
                                           "missing", "sets", "made",   "closed", "key"};
    struct table t;
    uint64_t frames = 0;
    for (size_t i = 0; i < s->parts; i++)
        frames += s->part[i].frames;
    printf("%s: journal ", s->name);
    print_plain(s->journal, strlen(s->journal));
    printf(", records %llu to %llu, %zu sessions, %llu frames, %.1f s\n", (unsigned long long)s->first,
           (unsigned long long)s->last, s->parts, (unsigned long long)frames, s->ended - s->begun);
    table_begin(&t, sizeof headings / sizeof *headings, headings);
    for (size_t i = 0; i < s->parts; i++) {
        const struct part *p = &s->part[i];
        table_cell(&t, "%llu", (unsigned long long)p->number);
        text_cell(&t, p->id);
        table_cell(&t, "%llu", (unsigned long long)p->frames);
        table_cell(&t, "%llu", (unsigned long long)p->full);
        table_number(&t, p->frames ? (double)p->samples / (double)p->frames : 0, 1);
        table_cell(&t, "%llu", (unsigned long long)p->gaps);
        table_cell(&t, "%llu", (unsigned long long)p->sets);
        table_cell(&t, "%llu", (unsigned long long)p->reconstructions);
        table_cell(&t, "%s", p->closed ? "yes" : "no");
        text_cell(&t, p->key);
    }
    table_print(&t, stdout, 0);
    table_release(&t);
}

static void json_summary(struct json *j, const struct summary *s)
{
    json_key_text(j, "type", "journal");
    json_key_text(j, "journal", s->journal);
    json_key_integer(j, "records", (int64_t)s->records);
    json_key_integer(j, "first_sequence", (int64_t)s->first);
    json_key_integer(j, "last_sequence", (int64_t)s->last);
    json_key_number(j, "begun", s->begun);
    json_key_number(j, "ended", s->ended);
    json_key(j, "sessions");
    json_array(j);
    for (size_t i = 0; i < s->parts; i++) {
        const struct part *p = &s->part[i];
        json_object(j);
        json_key_integer(j, "number", (int64_t)p->number);
        json_key_text(j, "id", p->id ? p->id : "");
        json_key_text(j, "checkpoint_key", p->key ? p->key : "");
        json_key_text(j, "client_name", p->client ? p->client : "");
        json_key_integer(j, "frames", (int64_t)p->frames);
        json_key_integer(j, "full_frames", (int64_t)p->full);
        json_key_integer(j, "samples", (int64_t)p->samples);
        json_key_integer(j, "missing", (int64_t)p->gaps);
        json_key_integer(j, "sets", (int64_t)p->sets);
        json_key_integer(j, "reconstructions", (int64_t)p->reconstructions);
        json_key_bool(j, "closed", p->closed);
        json_close(j);
    }
    json_close(j);
}

int show_journal(const char *path, const char *name, int first, int check, struct json *j, struct err *e)
{
    struct faults faults = {.checked = check};
    struct summary s = {.name = name, .faults = &faults};
    int bad = read_summary(&s, path, e);
    if (!bad && j) {
        json_object(j);
        json_key_text(j, "file", name);
        json_summary(j, &s);
        json_faults(j, &faults);
        json_close(j);
    } else if (!bad) {
        if (!check) {
            if (!first)
                putchar('\n');
            print_summary(&s);
        }
        print_faults(&faults, name);
    }
    for (size_t i = 0; i < s.parts; i++) {
        free(s.part[i].id);
        free(s.part[i].key);
        free(s.part[i].client);
    }
    free(s.part);
    int found = faults.n > 0;
    faults_release(&faults);
    return bad ? bad : check && found ? ERR_NO : 0;
}
