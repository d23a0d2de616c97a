/* sgaps-clean: which frames are worth training on. */
#include <stdlib.h>
#include <string.h>

#include "base/atomic_file.h"
#include "base/log.h"
#include "base/mem.h"
#include "clean/clean.h"
#include "clean_plot.h"
#include "clean_summary.h"
#include "cli/option.h"
#include "cli/progress.h"
#include "view/plot.h"

static struct {
    const char *output, *report, *plot;
    int selection_only;
    const char *stationarity, *cap, *init;
    int raw_velocity;
    int64_t clusters;
    struct option_list config, set;
} option = {.clusters = -1};

// clang-format off
static const struct option_row rows[] = {
    {OPTION_HEADING, 0, NULL, NULL, NULL, "Output", 0, 0},
    {OPTION_TEXT, 'o', "output", &option.output, "FILE", "the cleaned recording; - for standard output, which is the default when no report or plot is asked for", 0, 0},
    {OPTION_FLAG, 0, "selection-only", &option.selection_only, NULL, "write which frames to keep, not the frames: a small file to name beside its source", 0, 0},
    {OPTION_TEXT, 0, "report", &option.report, "FILE", "counts by session and reason, tab-separated; - for standard output", 0, 0},
    {OPTION_TEXT, 0, "plot", &option.plot, "FILE", "velocities and cluster sizes as .svg or .png, - for the terminal (needs gnuplot)", 0, 0},
    {OPTION_HEADING, 0, NULL, NULL, NULL, "Stationarity", 0, 0},
    {OPTION_CHOICE, 0, "stationarity", &option.stationarity, "frame|session|none", "drop frames, or whole sessions, whose state stands still; default frame", 0, 0},
    {OPTION_FLAG, 0, "raw-velocity", &option.raw_velocity, NULL, "the older server's rule: raw units, per frame, floor 0.15", 0, 0},
    {OPTION_HEADING, 0, NULL, NULL, NULL, "Balancing", 0, 0},
    {OPTION_INTEGER, 0, "clusters", &option.clusters, "K", "clusters of alike frames; 0 = no balancing; default 100", 0, 100000},
    {OPTION_TEXT, 0, "cap", &option.cap, "p80|median|mean|N", "largest size of a cluster, from the sizes or as a number; default p80", 0, 0},
    {OPTION_CHOICE, 0, "init", &option.init, "random|kmeans++", "first centroids; default random", 0, 0},
    {OPTION_HEADING, 0, NULL, NULL, NULL, "Configuration (group cleaning)", 0, 0},
    {OPTION_LIST, 'c', "config", &option.config, "FILE", "YAML file; repeatable", 0, 0},
    {OPTION_LIST, 0, "set", &option.set, "KEY=VALUE", "one key, as cleaning.keep_every=10; repeatable", 0, 0},
    {OPTION_END, 0, NULL, NULL, NULL, NULL, 0, 0},
};
// clang-format on

static const struct tool tool = {
    .name = "sgaps-clean",
    .purpose = "drop faulty, stationary and too frequent frames of recordings",
    .synopsis = "[-o OUT] [--stationarity frame|session|none] [--clusters K] [--cap p80|median|mean|N] "
                "[--raw-velocity] [--report FILE] [--plot FILE] [--selection-only] FILE...",
    .options = rows,
    .common = COMMON_THREADS | COMMON_SEED | COMMON_FORCE | COMMON_JSON | COMMON_DRY_RUN | COMMON_HISTORY,
    .epilogue =
        "Several FILEs are one data set and one output. A selection among them applies to the others.\n"
        "\n"
        "Examples:\n"
        "  sgaps-clean rec.h5 -o clean.h5 --report clean.tsv\n"
        "  sgaps-clean --dry-run --stationarity session rec.h5\n"
        "  sgaps-clean data/ -o all.h5 --cap median --plot clean.svg\n"
        "  sgaps-clean rec.h5 | sgaps-info -\n"};

/* One FILE. It is open only while it is read, but for standard input, which comes once. */
struct input {
    const char *path;
    struct recording *r;
    int selection;
};

struct job {
    const struct parsed *parsed;
    struct config config;
    struct clean_params params;
    struct clean clean;
    struct input *input;
    size_t inputs;
    struct recording **selection;
    size_t selections, frames;
    struct progress progress;
    size_t written;
    char *source, *history, *first_config;
};

static int input_open(struct input *in, struct err *e)
{
    return in->r ? 0 : recording_open(&in->r, in->path, e);
}

static void input_done(struct input *in)
{
    if (in->selection || !strcmp(in->path, "-"))
        return;
    recording_close(in->r);
    in->r = NULL;
}

static void job_release(struct job *j)
{
    for (size_t i = 0; i < j->inputs; i++)
        recording_close(j->input[i].r);
    free(j->input);
    free(j->selection);
    clean_release(&j->clean);
    config_release(&j->config);
    free(j->source);
    free(j->history);
    free(j->first_config);
    free(option.config.items);
    free(option.set.items);
}

/* A tool's own option goes the way of --set, so it has the same range; a fault is one of usage. */
static int own_option(struct job *j, const char *name, const char *value, struct err *e)
{
    char text[256];
    snprintf(text, sizeof text, "cleaning.%s=%s", name, value);
    return config_set(&j->config, text, e) ? err_prefix(e, "--%s: ", name), e->code = ERR_USAGE : 0;
}

static int configure(struct job *j, struct err *e)
{
    char number[32];
    int r = 0;
    config_init(&j->config);
    for (size_t i = 0; i < option.config.n && !r; i++)
        r = config_file(&j->config, option.config.items[i], e);
    for (size_t i = 0; i < option.set.n && !r; i++)
        r = config_set(&j->config, option.set.items[i], e);
    if (!r && option.stationarity)
        r = own_option(j, "stationarity", option.stationarity, e);
    if (!r && option.cap)
        r = own_option(j, "cap", option.cap, e);
    if (!r && option.clusters >= 0) {
        snprintf(number, sizeof number, "%lld", (long long)option.clusters);
        r = own_option(j, "clusters", number, e);
    }
    if (!r)
        r = config_check(&j->config, e);
    if (j->parsed->common.seed >= 0)
        j->config.cleaning.seed = (uint64_t)j->parsed->common.seed;
    if (!r)
        clean_params_from(&j->params, &j->config, option.raw_velocity,
                          option.init && !strcmp(option.init, "kmeans++"));
    return r;
}

/* What goes where; standard output has room for one thing. */
static int check_outputs(const struct job *j, struct err *e)
{
    const struct common_options *c = &j->parsed->common;
    if (!option.output && !option.report && !option.plot && !c->json && !c->dry_run)
        option.output = "-";
    int out = option.output && !strcmp(option.output, "-") && !c->dry_run;
    int report = option.report && !strcmp(option.report, "-") && !c->dry_run;
    int plot = option.plot && !strcmp(option.plot, "-") && !c->dry_run;
    if (out + report + plot + (c->json || c->dry_run) > 1)
        return err_set(e, ERR_USAGE,
                       "standard output can take the recording, the report, the plot or the results, not two "
                       "of them");
    if (option.selection_only && !option.output)
        return err_set(e, ERR_USAGE, "--selection-only needs -o");
    if (option.report && option.output && !report && !strcmp(option.report, option.output))
        return err_set(e, ERR_USAGE, "%s: is both the output and the report", option.report);
    size_t from_stdin = 0;
    for (size_t i = 0; i < j->parsed->file_count; i++)
        from_stdin += !strcmp(j->parsed->files[i], "-");
    if (from_stdin > 1)
        return err_set(e, ERR_USAGE, "standard input (-) can be named once");
    int r = option.plot ? plot_check(option.plot, e) : 0;
    if (!r && option.output && !c->dry_run)
        r = tool_check_output(j->parsed, option.output, e);
    if (!r && option.report && !report)
        r = tool_check_output(j->parsed, option.report, e);
    return r || !option.plot || plot ? r : tool_check_output(j->parsed, option.plot, e);
}

/* Looks into every FILE: is it a recording or a selection, and how long? */
static int look_into(struct job *j, struct err *e)
{
    const struct parsed *p = j->parsed;
    char *text = NULL;
    size_t size, recordings = 0;
    int r = mem_alloc(&j->input, p->file_count, sizeof *j->input, "the inputs", e);
    r = r ? r : mem_alloc(&j->selection, p->file_count, sizeof(struct recording *), "the inputs", e);
    FILE *f = r ? NULL : open_memstream(&text, &size);
    if (!f)
        return r ? r : err_memory(e, "the inputs", 0);
    for (size_t i = 0; i < p->file_count && !r; i++) {
        struct input *in = &j->input[j->inputs++];
        in->path = p->files[i];
        r = input_open(in, e);
        if (r)
            break;
        const char *uuid = recording_attribute(in->r, "uuid"), *config = recording_attribute(in->r, "config");
        in->selection = !recording_sessions(in->r);
        if (in->selection)
            j->selection[j->selections++] = in->r;
        else if (!recordings++) {
            j->history = tool_history(&tool, p, recording_attribute(in->r, "history"));
            r = mem_string(&j->first_config, config ? config : "{}", e);
        }
        /* Without history the same content gives the same bytes, wherever it lies. */
        fprintf(f, "%s%s%s%s", i ? "\n" : "", uuid ? uuid : "-", p->common.no_history ? "" : " ",
                p->common.no_history ? "" : in->path);
        for (size_t s = 0; s < recording_sessions(in->r); s++)
            j->frames += recording_session(in->r, s)->T;
        input_done(in);
    }
    fclose(f);
    j->source = text;
    if (!r && !recordings)
        r = err_set(e, ERR_DATA, "%s: is a selection without its recording: name both", j->input[0].path);
    return r;
}

static void show(void *user, size_t done)
{
    struct job *j = user;
    progress_update(&j->progress, (double)done, NULL);
}

static int read_all(struct job *j, struct err *e)
{
    int r = 0;
    clean_init(&j->clean);
    progress_begin(&j->progress, "reading", "frames", (double)j->frames, j->parsed->common.quiet);
    for (size_t i = 0; i < j->inputs && !r; i++) {
        struct input *in = &j->input[i];
        if (in->selection)
            continue;
        r = input_open(in, e);
        r = r ? r : clean_add(&j->clean, in->r, i, &j->params, j->selection, j->selections, show, j, e);
        input_done(in);
    }
    progress_end(&j->progress);
    return r;
}

static int analyse(struct job *j, struct err *e)
{
    progress_begin(&j->progress, "clustering", "iterations", 0, j->parsed->common.quiet);
    int r = clean_run(&j->clean, &j->params, show, j, e);
    progress_end(&j->progress);
    return r;
}

static void show_writing(void *user, size_t done)
{
    struct job *j = user;
    progress_update(&j->progress, (double)(j->written + done), NULL);
}

static int write_sessions(struct job *j, struct recording_writer *w, struct err *e)
{
    const struct clean *c = &j->clean;
    int r = 0;
    progress_begin(&j->progress, "writing", "frames", (double)c->count[CLEAN_KEPT], j->parsed->common.quiet);
    for (size_t i = 0; i < c->sessions && !r; i++) {
        struct input *in = &j->input[c->session[i].file];
        r = input_open(in, e);
        r = r ? r : clean_write_session(c, i, in->r, w, show_writing, j, e);
        for (size_t t = 0; t < c->session[i].T; t++)
            j->written += c->session[i].reason[t] == CLEAN_KEPT;
        if (i + 1 == c->sessions || c->session[i + 1].file != c->session[i].file)
            input_done(in);
    }
    progress_end(&j->progress);
    return r;
}

static int write_recording(struct job *j, struct err *e)
{
    struct recording_writer *w = NULL;
    const struct recording_meta meta = {.creator = "sgaps-clean " SGAPS_VERSION,
                                        .history = j->history,
                                        .config = j->first_config,
                                        .no_history = j->parsed->common.no_history};
    if (!j->clean.count[CLEAN_KEPT])
        return err_set(e, ERR_DATA, "none of %zu frames is left: nothing is written (--report - says why)",
                       j->clean.n);
    int r = recording_create(&w, option.output, &meta, e);
    if (r)
        return r;
    if (!option.selection_only)
        r = write_sessions(j, w, e);
    r = r ? r
          : clean_write_trail(&j->clean, &j->params, j->source,
                              meta.no_history ? NULL : (const char *const *)j->parsed->files, w, e);
    if (r) {
        recording_abandon(w);
        return r;
    }
    r = recording_finish(w, e);
    if (r)
        recording_abandon(w);
    return r;
}

/* Without gnuplot the numbers are left as a table, which is an error only where nothing else was asked for. */
static int draw_plot(const struct job *j, struct err *e)
{
    int r = clean_plot(&j->clean, option.plot, e);
    if (r == ERR_UNAVAILABLE && (option.output || option.report || j->parsed->common.json)) {
        log_warning("%s", e->text);
        return 0;
    }
    return r;
}

static int write_report(const struct job *j, struct out_stream *out, struct err *e)
{
    clean_report(&j->clean, &j->params, out->f);
    return out_stream_close(out, e);
}

static void say_note(void *user, const char *text, int usual)
{
    (void)user;
    log_print(usual ? LOG_NOTE : LOG_WARNING, "%s", text);
}

/* The report's file is opened before the work, so that a wrong name is found out at once. */
static int run(struct job *j, struct err *e)
{
    const struct common_options *common = &j->parsed->common;
    struct out_stream report = {0};
    int r = configure(j, e);
    r = r ? r : check_outputs(j, e);
    r = r ? r : look_into(j, e);
    if (!r && option.report && !common->dry_run)
        r = out_stream_open(&report, option.report, e);
    r = r ? r : read_all(j, e);
    r = r ? r : analyse(j, e);
    if (!r) {
        clean_notes(&j->clean, say_note, NULL);
        log_note("%zu of %zu frames are kept", j->clean.count[CLEAN_KEPT], j->clean.n);
    }
    if (!r && report.f)
        r = write_report(j, &report, e);
    if (report.f)
        out_stream_abort(&report);
    if (!r && option.output && !common->dry_run)
        r = write_recording(j, e);
    if (!r && option.plot && !common->dry_run)
        r = draw_plot(j, e);
    if (!r && common->json)
        clean_summary_json(&j->clean, stdout);
    else if (!r && common->dry_run)
        clean_summary_table(&j->clean, stdout);
    return r;
}

int main(int argc, char **argv)
{
    struct parsed parsed;
    struct job job = {.parsed = &parsed};
    struct err e;
    tool_parse(&tool, &parsed, argc, argv, 1);
    int r = parsed_expand_directories(&parsed, &e);
    r = r ? r : run(&job, &e);
    if (r)
        tool_fail(&e);
    job_release(&job);
    parsed_release(&parsed);
    return tool_finish(r);
}
