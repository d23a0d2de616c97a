/* sgaps-import: films, messages and older recordings become recordings. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "import.h"
#include "interp/interp.h"
#include "io/spool.h"

static struct job job = {.output = "-", .stride = 1};
static const char *convert_dir, *convert_name, *convert_numbers;

static const struct option_row options[] = {
    {OPTION_TEXT, 'o', "output", &job.output, "FILE", "the recording to write; default - (standard output)",
     0, 0},
    {OPTION_TEXT, 0, "session", &job.session, "ID", "the session's id; default the input's name", 0, 0},
    {OPTION_NUMBER, 0, "fps", &job.fps, "N", "frames a second, where the input does not say; default 10",
     1e-3, 1e6},
    {OPTION_SIZE, 0, "size", job.size, "WxH", "scale full frames to this size", 1, 16384},
    {OPTION_TEXT, 0, "state", &job.state_path, "FILE.csv",
     "the state beside a film: a row of numbers a frame", 0, 0},
    {OPTION_TEXT, 0, "key", &job.key, "KEY", "the checkpoint key", 0, 0},
    {OPTION_TEXT, 0, "select", &job.select, "ID,...", "of recordings: only these sessions", 0, 0},
    {OPTION_TEXT, 0, "exclude", &job.exclude, "ID,...", "of recordings: all sessions but these", 0, 0},
    {OPTION_INTEGER, 0, "stride", &job.stride, "N", "take every N-th frame; default 1", 1, 1e9},
    {OPTION_TEXT, 0, "convert", &convert_dir, "DIR",
     "the journals of sgaps-serve below DIR/journal become DIR/<key>/<UTC time>-<session>.h5, then they go",
     0, 0},
    {OPTION_TEXT, 0, "journal", &convert_name, "NAME", "of --convert: only this journal", 0, 0},
    {OPTION_TEXT, 0, "numbers", &convert_numbers, "N,...",
     "of --convert and --journal: only the sessions of these numbers, and the journal stays", 0, 0},
    {OPTION_END, 0, NULL, NULL, NULL, NULL, 0, 0},
};

static const struct tool tool = {
    .name = "sgaps-import",
    .purpose = "turn films, messages and older recordings into a recording",
    .synopsis = "[-o OUT] [--session ID] [--fps N] [--size WxH] [--state FILE.csv] [--key KEY] [--stride N] "
                "[--select ID,... | --exclude ID,...] INPUT...\n"
                "--convert DIR [--journal NAME [--numbers N,...]]",
    .options = options,
    .common = COMMON_THREADS | COMMON_FORCE | COMMON_JSON | COMMON_HISTORY,
    .epilogue = "Inputs: Y4M, PGM (P5), PNG (several files or a pattern such as frames/%04d.png make one "
                "film), NDJSON "
                "messages, recordings of any age, journals of sgaps-serve; known by their first bytes.",
};

int job_output(struct job *j, const char *history, struct err *e)
{
    if (j->w)
        return 0;
    char *text = tool_history(j->tool, j->parsed, history);
    struct recording_meta meta = {.creator = "sgaps-import " SGAPS_VERSION,
                                  .history = text,
                                  .no_history = j->parsed->common.no_history};
    int r = recording_create(&j->w, j->output, &meta, e);
    free(text);
    return r;
}

int job_begin(struct job *j, const struct session_info *info, const char *history, struct err *e)
{
    int r = job_output(j, history, e);
    return r ? r : recording_begin(j->w, info, e);
}

void job_count(struct job *j)
{
    progress_update(&j->progress, (double)++j->frames, NULL);
}

/* A stem that is a pattern is named after what stands around it, else after its folder. */
static void plain_stem(const char *path, size_t folder, char *stem)
{
    char *percent = strchr(stem, '%');
    if (!percent || access(path, F_OK) == 0)
        return;
    char *d = strchr(percent, 'd');
    if (d)
        memmove(percent, d + 1, strlen(d + 1) + 1);
    if (*stem || !folder)
        return;
    size_t from = folder;
    while (from && path[from - 1] != '/')
        from--;
    memcpy(stem, path + from, folder - from);
    stem[folder - from] = 0;
}

void job_session_id(const struct job *j, const char *path, char *out, size_t size)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t folder = slash ? (size_t)(slash - path) : 0;
    if (j->session || !strcmp(path, "-") || strlen(path) >= size) {
        snprintf(out, size, "%s", j->session ? j->session : !strcmp(path, "-") ? "stdin" : "session");
        return;
    }
    snprintf(out, size, "%s", name);
    char *dot = strrchr(out, '.');
    if (dot && dot != out)
        *dot = 0;
    plain_stem(path, folder, out);
    if (!*out)
        snprintf(out, size, "film");
}

const uint8_t *job_scale(const struct session_info *info, const uint8_t *image, uint32_t W, uint32_t H,
                         uint8_t *scaled)
{
    if (W == info->W && H == info->H)
        return image;
    interp_resize(image, W, H, scaled, info->W, info->H);
    return scaled;
}

int job_wants(struct job *j, const char *id)
{
    const char *list = j->select ? j->select : j->exclude;
    int i = 0;
    for (const char *at = list; at && *at; at += *at == ',', i++) {
        size_t n = strcspn(at, ",");
        if (n == strlen(id) && !memcmp(at, id, n)) {
            j->met |= (uint64_t)1 << (i & 63);
            return j->select != NULL;
        }
        at += n;
    }
    return !j->select;
}

int job_check_ids(const struct job *j, struct err *e)
{
    const char *list = j->select ? j->select : j->exclude;
    int i = 0;
    for (const char *at = list; at && *at; at += *at == ',', i++) {
        size_t n = strcspn(at, ",");
        if (i < 64 && !(j->met >> i & 1))
            return err_set(e, ERR_USAGE, "--%s: no session is named '%.*s' (sgaps-info lists them)",
                           j->select ? "select" : "exclude", (int)n, at);
        at += n;
    }
    return 0;
}

/* HDF5 and messages are read more than once or out of order: from a pipe through a file. */
static int import_file(struct peek_file *p, const char *path, enum stream_format format, struct err *e)
{
    struct spool s = {.file = {.slot = -1}};
    char shown[4096];
    snprintf(shown, sizeof shown, "%s", p->name);
    int r = spool_needed(path) ? spool_peeked(&s, p, e) : 0;
    peek_close(p);
    const char *file = s.path ? s.path : path;
    if (!r && format == STREAM_JOURNAL)
        r = import_journal(&job, file, e);
    else if (!r)
        r = format == STREAM_HDF5 ? import_recording(&job, file, e) : import_messages(&job, file, shown, e);
    if (r)
        spool_rename(&s, shown, e->text);
    spool_release(&s);
    return r;
}

/* The operand's format; a pattern of PNG files is no file itself. */
static enum stream_format look_at(const char *path, struct peek_file *p, struct err *e)
{
    p->f = NULL;
    const char *end = strrchr(path, '.');
    if (strchr(path, '%') && access(path, F_OK) && end && !strcmp(end, ".png"))
        return STREAM_PNG;
    if (peek_open(p, path, e))
        return STREAM_UNKNOWN;
    enum stream_format format = peek_format(p);
    int journal = format == STREAM_UNKNOWN && end && !strcmp(end, ".sgj"); /* its first bytes are damaged */
    return journal ? STREAM_JOURNAL : format;
}

/* Takes one input, or several PNG files in a row; *at moves behind it. */
static int import_next(const struct parsed *p, size_t *at, struct err *e)
{
    const char *path = p->files[*at];
    struct peek_file peek;
    e->code = 0;
    if (is_journal_directory(path)) {
        ++*at;
        return import_journal(&job, path, e);
    }
    enum stream_format format = look_at(path, &peek, e);
    size_t first = (*at)++;
    if (e->code)
        return e->code;
    if (format == STREAM_HDF5 || format == STREAM_NDJSON || format == STREAM_JOURNAL)
        return import_file(&peek, path, format, e);
    if (format == STREAM_Y4M || format == STREAM_PGM)
        return import_film(&job, &peek, &path, 1, e);
    if (format == STREAM_PNG && !strcmp(path, "-"))
        return import_film(&job, &peek, &path, 1, e);
    if (format != STREAM_PNG) {
        peek_close(&peek);
        return err_set(e, ERR_DATA, "%s: is neither Y4M, PGM, PNG, NDJSON, HDF5 nor a journal",
                       !strcmp(path, "-") ? "standard input" : path);
    }
    for (struct err quiet = {0}; *at < p->file_count && !strchr(path, '%'); ++*at) {
        struct peek_file other = {0};
        enum stream_format next =
            strcmp(p->files[*at], "-") ? look_at(p->files[*at], &other, &quiet) : STREAM_UNKNOWN;
        if (other.f)
            peek_close(&other);
        if (next != STREAM_PNG)
            break;
    }
    if (peek.f && *at == first + 1) /* alone it may hold several */
        return import_film(&job, &peek, &path, 1, e);
    if (peek.f)
        peek_close(&peek);
    return import_film(&job, NULL, p->files + first, *at - first, e);
}

static int run(const struct parsed *p, struct err *e)
{
    int r = tool_check_output(p, job.output, e);
    if (!r)
        r = tool_check_json(p, job.output, e);
    if (!r)
        r = import_selections(&job, p, e);
    if (!r && job.select && job.exclude)
        r = err_set(e, ERR_USAGE, "--select and --exclude: choose one");
    for (size_t at = 0; at < p->file_count && !r;) {
        r = import_next(p, &at, e);
        if (!r && job.state_path && at < p->file_count)
            r = err_set(e, ERR_USAGE, "--state: is for one film, there are more inputs");
    }
    if (!r)
        r = job_check_ids(&job, e);
    if (!r && !job.w && !job.select && !job.exclude && job.selections.n)
        r = err_set(e, ERR_DATA, "%s: is a selection without its recording: name both",
                    recording_path(job.selections.file[0]));
    if (!r && !job.w && p->file_count)
        r = err_set(e, ERR_USAGE, "--%s leaves no session to write", job.select ? "select" : "exclude");
    if (!r && job.w) {
        r = recording_finish(job.w, e);
        if (!r) {
            job.w = NULL;
            tool_written(p, job.output, job.frames);
        }
    }
    recording_abandon(job.w);
    return r;
}

static int run_convert(const struct parsed *p, struct err *e)
{
    for (size_t i = 0; i < p->file_count; i++)
        if (strcmp(p->files[i], "-"))
            return err_set(e, ERR_USAGE,
                           "--convert: takes no inputs, it finds the journals below its directory");
    if (convert_numbers && !convert_name)
        return err_set(e, ERR_USAGE, "--numbers: are those of a --journal: name it");
    if (strcmp(job.output, "-"))
        return err_set(e, ERR_USAGE, "--convert: names its outputs itself: leave --output out");
    return convert_journals(&job, convert_dir, convert_name, convert_numbers, e);
}

/* Below a directory every *.h5; one of journals is an input by itself. */
static int expand_directories(struct parsed *p, struct err *e)
{
    for (size_t i = 0; i < p->file_count; i++)
        if (is_journal_directory(p->files[i]))
            return p->file_count == 1
                       ? 0
                       : err_set(e, ERR_USAGE, "%s: a directory of journals is imported by itself",
                                 p->files[i]);
    return parsed_expand_directories(p, e);
}

int main(int argc, char **argv)
{
    struct parsed p;
    struct err e = {0};
    tool_parse(&tool, &p, argc, argv, 1);
    job.tool = &tool;
    job.parsed = &p;
    int r = expand_directories(&p, &e);
    progress_begin(&job.progress, "import", "frames", 0, p.common.quiet);
    r = r ? r : convert_dir ? run_convert(&p, &e) : run(&p, &e);
    progress_end(&job.progress);
    r = r ? tool_fail(&e) : 0;
    if (!r && !convert_dir)
        log_note("%s: %zu frames", job.output, job.frames);
    selections_release(&job.selections);
    parsed_release(&p);
    return tool_finish(r);
}
