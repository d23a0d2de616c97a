/* sgaps-info: what is in a recording, a checkpoint or a journal. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/mem.h"
#include "cli/option.h"
#include "info.h"
#include "io/spool.h"
#include "recon/recon.h"

static int want_check, want_history, want_all;
static const char *want_row; /* --show */

static const struct option_row options[] = {
    {OPTION_FLAG, 0, "check", &want_check, NULL,
     "read everything, list all faults; exit 1 when there are any", 0, 0},
    {OPTION_FLAG, 0, "history", &want_history, NULL, "print the history, newest first", 0, 0},
    {OPTION_OPTIONAL_TEXT, 0, "show", &want_row, "[SESSION/]N",
     "also draw a frame in the terminal: row N, counted through all sessions or in one; default: a middle "
     "one",
     0, 0},
    {OPTION_END, 0, NULL, NULL, NULL, NULL, 0, 0},
};

static const struct tool tool = {
    .name = "sgaps-info",
    .purpose = "show what is in a recording, a checkpoint or a journal",
    .synopsis = "[--json | --check | --history | --show[=[SESSION/]N]] FILE...",
    .options = options,
    .common = COMMON_THREADS | COMMON_JSON,
    .epilogue = "A directory means every *.h5 below it; - is standard input.",
};

void add_fault(void *user, const char *text)
{
    struct faults *f = user;
    if (!mem_grow(&f->text, &f->capacity, f->n + 1, sizeof *f->text, "the list of faults", NULL) &&
        !mem_string(&f->text[f->n], text, NULL))
        f->n++;
}

static void add_note(void *user, const char *text)
{
    struct faults *f = user;
    if (!mem_grow(&f->note, &f->note_capacity, f->notes + 1, sizeof *f->note, "the list of notes", NULL) &&
        !mem_string(&f->note[f->notes], text, NULL))
        f->notes++;
}

void faults_release(struct faults *f)
{
    for (size_t i = 0; i < f->n; i++)
        free(f->text[i]);
    for (size_t i = 0; i < f->notes; i++)
        free(f->note[i]);
    free(f->text);
    free(f->note);
    *f = (struct faults){0};
}

static void content_close(struct content *c)
{
    recording_close(c->recording);
    if (c->checkpoint)
        checkpoint_release(c->checkpoint);
    free(c->checkpoint);
}

/* Opens what the file says it is. With --check a file that is not sound is a fault, not an error. */
static int content_open(struct content *c, const char *path, struct err *e)
{
    struct stat st;
    *c = (struct content){.name = path};
    if (!stat(path, &st))
        c->bytes = (uint64_t)st.st_size;
    if (!checkpoint_probe(path))
        return want_check ? recording_open_any(&c->recording, path, e)
                          : recording_open(&c->recording, path, e);
    int r = mem_alloc(&c->checkpoint, 1, sizeof *c->checkpoint, "a checkpoint", e);
    r = r ? r : checkpoint_read(c->checkpoint, path, 1, e);
    if (r) {
        free(c->checkpoint);
        c->checkpoint = NULL;
    }
    return r;
}

/* A checkpoint is sound when a network can be made of it. */
static int check_checkpoint(const char *path, struct faults *f)
{
    struct err e;
    struct recon *r = NULL;
    int code = recon_open_model(&r, path, "ref", 1, OP_FP32, &e);
    recon_close(r);
    if (code)
        add_fault(f, e.text);
    return 0;
}

static int check(const struct content *c, const char *path, struct faults *f, struct err *e)
{
    f->checked = 1;
    if (c->checkpoint)
        return check_checkpoint(path, f);
    return recording_check(c->recording, add_fault, add_note, f, e) < 0 ? e->code : 0;
}

static void print_history(const struct content *c)
{
    const char *text = c->recording ? recording_attribute(c->recording, "history") : c->checkpoint->history;
    while (text && *text) {
        size_t n = strcspn(text, "\n");
        print_plain(text, n);
        putchar('\n');
        text += n + (text[n] == '\n');
    }
}

void print_faults(const struct faults *f, const char *name)
{
    for (size_t i = 0; i < f->n; i++) {
        print_plain(f->text[i], strlen(f->text[i]));
        putchar('\n');
    }
    for (size_t i = 0; i < f->notes; i++) {
        print_plain(f->note[i], strlen(f->note[i]));
        printf(" (no fault)\n");
    }
    if (f->checked && !f->n)
        printf("%s: sound\n", name);
}

static int show_picture(const struct content *c, struct err *e)
{
    if (c->recording && recording_sessions(c->recording))
        return show_row(c->recording, want_row, e);
    log_warning("%s: has no frame to show%s", c->name,
                c->checkpoint ? " (sgaps-reconstruct -f sixel shows what a model makes of samples)" : "");
    return 0;
}

static int print_text(const struct content *c, const struct faults *f, int first, struct err *e)
{
    int r = want_row && c->recording && recording_sessions(c->recording)
                ? show_check(c->recording, want_row, e)
                : 0;
    if (r)
        return r;
    if (f->checked) {
        print_faults(f, c->name);
    } else if (want_history) {
        print_history(c);
    } else {
        if (!first)
            putchar('\n');
        if (c->recording)
            r = print_recording(c, want_all, e);
        else
            print_checkpoint(c);
        if (!r && want_row)
            r = show_picture(c, e);
    }
    return r;
}

static int show(const char *path, struct spool *spool, int first, struct json *j, struct err *e)
{
    struct content c;
    struct faults f = {0};
    if (journal_probe(path))
        return show_journal(path, spool ? "standard input" : path, first, want_check, j, e);
    int r = content_open(&c, path, e);
    if (spool)
        c.name = "standard input";
    if (r == ERR_DATA && want_check) {
        add_fault(&f, e->text);
        f.checked = 1;
        r = 0;
    } else if (!r && want_check) {
        r = check(&c, path, &f, e);
    }
    for (size_t i = 0; i < f.n && spool; i++)
        spool_rename(spool, c.name, f.text[i]);
    for (size_t i = 0; i < f.notes && spool; i++)
        spool_rename(spool, c.name, f.note[i]);
    if (r && spool)
        spool_rename(spool, c.name, e->text);
    if (spool) /* what is open stays; whoever reads our output may go away and end us */
        spool_release(spool);
    if (!r)
        r = j ? json_content(j, &c, &f, e) : print_text(&c, &f, first, e);
    if (!r && f.n)
        r = ERR_NO;
    content_close(&c);
    faults_release(&f);
    return r;
}

/* A pipe is read twice (what is it? what is in it?), so it is kept in a file. */
static int show_stream(const char *path, int first, struct json *j, struct err *e)
{
    struct spool s;
    int r = spool_input(&s, path, e);
    if (r)
        return r;
    r = show(s.path, &s, first, j, e);
    spool_release(&s);
    return r;
}

static int check_options(const struct parsed *p, struct err *e)
{
    if (want_row && (p->common.json || want_check || want_history))
        return err_set(e, ERR_USAGE,
                       "--show draws beside the text: it goes with none of --json, --check, --history");
    return 0;
}

int main(int argc, char **argv)
{
    struct parsed p;
    struct err e;
    struct json j;
    tool_parse(&tool, &p, argc, argv, 1);
    want_all = p.common.verbose > 0;
    if (check_options(&p, &e) || parsed_expand_directories(&p, &e)) {
        tool_fail(&e);
        parsed_release(&p);
        return tool_finish(e.code);
    }
    int json = p.common.json, worst = 0;
    json_begin(&j, stdout, 2);
    if (json && p.file_count > 1)
        json_array(&j);
    for (size_t i = 0; i < p.file_count; i++) { /* a file that cannot be read does not hide the others */
        int r = spool_needed(p.files[i]) ? show_stream(p.files[i], i == 0, json ? &j : NULL, &e)
                                         : show(p.files[i], NULL, i == 0, json ? &j : NULL, &e);
        if (r && r != ERR_NO)
            tool_fail(&e);
        worst = !worst || worst == ERR_NO ? (r ? r : worst) : worst;
    }
    if (json && (p.file_count > 1 || !worst || worst == ERR_NO))
        json_end(&j);
    parsed_release(&p);
    return tool_finish(worst);
}
