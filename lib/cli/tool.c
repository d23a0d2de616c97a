/* What every main() shares after its options: errors, outputs, history, directories. */
#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/option.h"
#include "cli/output.h"

int tool_fail(const struct err *e)
{
    log_error("%s", e->text);
    return e->code;
}

int tool_finish(int code)
{
    errno = 0;
    int failed = ferror(stdout) | fflush(stdout);
    int why = errno;
    /* Closing tells what a network file system held back; a stdout that was closed from the start is no
     * fault. */
    if (!failed && fclose(stdout) && errno != EBADF) {
        failed = 1;
        why = errno;
    }
    if (!failed || code > ERR_NO) /* one line an error: the first has been told */
        return code;
    log_error("standard output: write failed: %s", why ? strerror(why) : "the stream reports an error");
    return ERR_IO;
}

/* Appends word, in single quotes where the shell would take it apart. */
static void put_quoted(FILE *f, const char *word)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+./:,%@";
    if (*word && strspn(word, safe) == strlen(word)) {
        fputs(word, f);
        return;
    }
    putc('\'', f);
    for (; *word; word++) {
        if (*word == '\'')
            fputs("'\\''", f);
        else
            putc(*word == '\n' ? ' ' : *word, f); /* one entry is one line */
    }
    putc('\'', f);
}

char *tool_history(const struct tool *tool, const struct parsed *p, const char *before)
{
    if (p->common.no_history)
        return NULL;
    char *text = NULL, now[21];
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (!f)
        return NULL;
    clock_iso8601(now);
    fprintf(f, "%s %s %s: %s", now, tool->name, SGAPS_VERSION, tool->name);
    for (int i = 1; i < p->argc; i++) {
        putc(' ', f);
        put_quoted(f, p->argv[i]);
    }
    if (before && *before)
        fprintf(f, "\n%s", before);
    fclose(f);
    return text;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static int is_recording_name(const FTSENT *f)
{
    size_t n = strlen(f->fts_name);
    return n > 3 && f->fts_name[0] != '.' && !strcmp(f->fts_name + n - 3, ".h5");
}

/* Writes every *.h5 below the directory to names, each ended by a NUL. */
static int list_directory(FILE *names, const char *path, size_t *count, struct err *e)
{
    char *roots[] = {(char *)(uintptr_t)path, NULL};
    FTS *walk = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, by_name);
    if (!walk)
        return err_set(e, ERR_NOINPUT, "%s: %s", path, strerror(errno));
    size_t before = *count;
    int r = 0;
    for (FTSENT *f; !r && (f = fts_read(walk));) {
        if (f->fts_info == FTS_F && is_recording_name(f)) {
            fprintf(names, "%s%c", f->fts_path, 0);
            ++*count;
        } else if (f->fts_info == FTS_DNR || f->fts_info == FTS_ERR) {
            r = err_set(e, ERR_NOINPUT, "%s: %s", f->fts_path, strerror(f->fts_errno));
        }
    }
    fts_close(walk);
    if (!r && *count == before)
        r = err_set(e, ERR_NOINPUT, "%s: no *.h5 file below this directory", path);
    return r;
}

int parsed_expand_directories(struct parsed *p, struct err *e)
{
    char *names = NULL;
    const char **files = NULL;
    size_t size, count = 0;
    FILE *f = open_memstream(&names, &size);
    if (!f)
        return err_memory(e, "the file names", 0);
    int r = 0;
    for (size_t i = 0; i < p->file_count && !r; i++) {
        struct stat st;
        if (!stat(p->files[i], &st) && S_ISDIR(st.st_mode)) {
            r = list_directory(f, p->files[i], &count, e);
        } else {
            fprintf(f, "%s%c", p->files[i], 0);
            count++;
        }
    }
    if (fclose(f) && !r)
        r = err_memory(e, "the file names", size);
    if (!r)
        r = mem_alloc(&files, count + 1, sizeof *files, "the file names", e);
    if (r) {
        free(names);
        return r;
    }
    const char *name = names;
    for (size_t i = 0; i < count; i++, name += strlen(name) + 1)
        files[i] = name;
    free(p->files);
    free(p->expanded);
    p->files = files;
    p->file_count = count;
    p->expanded = names;
    return 0;
}

int tool_check_output(const struct parsed *p, const char *path, struct err *e)
{
    struct stat out, in;
    int is_stdout = !strcmp(path, "-");
    if (is_stdout && isatty(STDOUT_FILENO) && !p->common.force)
        return err_set(e, ERR_USAGE,
                       "standard output is a terminal: name a file with -o, use a pipe, or --force");
    if (is_stdout ? fstat(STDOUT_FILENO, &out) : stat(path, &out))
        return 0; /* not there yet */
    if (!S_ISREG(out.st_mode))
        return 0;
    for (size_t i = 0; i < p->file_count; i++) {
        int r = strcmp(p->files[i], "-") ? stat(p->files[i], &in) : fstat(STDIN_FILENO, &in);
        if (!r && in.st_dev == out.st_dev && in.st_ino == out.st_ino)
            return err_set(e, ERR_USAGE, "%s: is an input as well as the output: choose another name",
                           is_stdout ? p->files[i] : path);
    }
    return 0;
}

int tool_check_json(const struct parsed *p, const char *path, struct err *e)
{
    if (p->common.json && p->common.dry_run)
        return err_set(e, ERR_USAGE, "--json tells what was written, --dry-run writes nothing: choose one");
    if (!p->common.json || strcmp(path, "-"))
        return 0;
    return err_set(e, ERR_USAGE, "--json and the frames both want standard output: name a file with -o");
}

void tool_written(const struct parsed *p, const char *path, size_t frames)
{
    if (!p->common.json)
        return;
    struct json j;
    json_begin(&j, stdout, 2);
    json_object(&j);
    json_key_text(&j, "output", path);
    json_key_integer(&j, "frames", (int64_t)frames);
    json_end(&j);
}
