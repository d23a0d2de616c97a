#include "cli/option.h"

#include <assert.h>
#include <getopt.h>
#include <omp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/atomic_file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parse.h"
#include "cli/common_rows.h"

/* getopt's value of row i: above every letter. */
enum { ROW_BASE = 256 };

const char *row_name(const struct option_row *row, char out[64])
{
    if (row->name)
        snprintf(out, 64, "--%s", row->name);
    else
        snprintf(out, 64, "-%c", row->letter);
    return out;
}

int row_takes_argument(const struct option_row *row)
{
    return row->kind != OPTION_FLAG && row->kind != OPTION_COUNT;
}

int all_rows(const struct tool *tool, struct common_options *c, struct wishes *w,
             struct option_row rows[ROWS_LIMIT])
{
    const struct {
        unsigned needs; /* of tool->common; 0: always there */
        struct option_row row;
    } common[] = {
        {0, {OPTION_HEADING, 0, NULL, NULL, NULL, "Common options", 0, 0}},
        {COMMON_DRY_RUN,
         {OPTION_FLAG, 0, "dry-run", &c->dry_run, NULL, "say what would be done, write nothing", 0, 0}},
        {COMMON_FORCE,
         {OPTION_FLAG, 0, "force", &c->force, NULL, "write binary data even to a terminal", 0, 0}},
        {COMMON_JSON, {OPTION_FLAG, 0, "json", &c->json, NULL, "results on standard output as JSON", 0, 0}},
        {COMMON_SEED, {OPTION_INTEGER, 0, "seed", &c->seed, "N", "seed of every random choice", 0, 0x1p63}},
        {COMMON_DEVICE,
         {OPTION_TEXT, 0, "device", &c->device, "cpu|cuda[:N]|auto",
          "where to compute; default auto: the first CUDA device there is, else the CPU", 0, 0}},
        {COMMON_PRECISION,
         {OPTION_CHOICE, 0, "precision", &c->precision, "fp32|tf32|bf16|auto",
          "arithmetic of the network; default auto: bf16 on a CUDA device, fp32 on the CPU", 0, 0}},
        {COMMON_THREADS,
         {OPTION_INTEGER, 'j', "threads", &c->threads, "N", "threads to use; default 0, all cores", 0, 4096}},
        {COMMON_HISTORY,
         {OPTION_FLAG, 0, "no-history", &c->no_history, NULL,
          "leave the history, the creation time and the random uuid out of the output: same input, same "
          "bytes",
          0, 0}},
        {0, {OPTION_FLAG, 'q', "quiet", &c->quiet, NULL, "errors only, no progress", 0, 0}},
        {0, {OPTION_COUNT, 'v', "verbose", &c->verbose, NULL, "say more; twice for details", 0, 0}},
        {0, {OPTION_FLAG, 'h', "help", &w->help, NULL, "print this help and exit", 0, 0}},
        {0, {OPTION_FLAG, 'V', "version", &w->version, NULL, "print version and features and exit", 0, 0}},
        {0, {OPTION_FLAG, 0, "list-options", &w->list, NULL, NULL, 0, 0}},
    };
    int n = 0;
    for (const struct option_row *r = tool->options; r && r->kind != OPTION_END; r++) {
        assert(n < ROWS_LIMIT - 1);
        rows[n++] = *r;
    }
    for (size_t i = 0; i < sizeof common / sizeof *common; i++) {
        int has = !common[i].needs || common[i].needs & tool->common;
        if (!has && !(common[i].needs & COMMON_EVERYWHERE))
            continue;
        assert(n < ROWS_LIMIT - 1);
        rows[n] = common[i].row;
        if (!has)
            rows[n].help = NULL;
        n++;
    }
    rows[n] = (struct option_row){.kind = OPTION_END};
    return n;
}

static int one_of(const char *value, const char *choices)
{
    size_t n = strlen(value);
    for (const char *c = choices; c; c = strchr(c, '|') ? strchr(c, '|') + 1 : NULL)
        if (strcspn(c, "|") == n && !memcmp(c, value, n))
            return 1;
    return 0;
}

static int set_value(const struct option_row *row, const char *value, struct err *e)
{
    char name[64];
    row_name(row, name);
    switch (row->kind) {
    case OPTION_FLAG:
        *(int *)row->value = 1;
        return 0;
    case OPTION_COUNT:
        ++*(int *)row->value;
        return 0;
    case OPTION_TEXT:
        *(const char **)row->value = value;
        return 0;
    case OPTION_OPTIONAL_TEXT:
        *(const char **)row->value = value ? value : "";
        return 0;
    case OPTION_LIST: {
        struct option_list *list = row->value;
        const char **items = realloc(list->items, (list->n + 1) * sizeof *items);
        if (!items)
            return err_memory(e, "a list of options", (list->n + 1) * sizeof *items);
        list->items = items;
        items[list->n++] = value;
        return 0;
    }
    case OPTION_INTEGER: {
        /* high is a double: INT64_MAX rounds up to 2^63 there, which does not fit back. */
        int64_t high = row->high >= 0x1p63 ? INT64_MAX : (int64_t)row->high;
        return parse_i64(value, (int64_t)row->low, high, name, row->value, ERR_USAGE, e);
    }
    case OPTION_NUMBER:
        return parse_f64(value, row->low, row->high, name, row->value, ERR_USAGE, e);
    case OPTION_SIZE: {
        uint32_t *size = row->value;
        return parse_size(value, 16384, name, &size[0], &size[1], ERR_USAGE, e);
    }
    case OPTION_CHOICE:
        *(const char **)row->value = value;
        return one_of(value, row->argument)
                   ? 0
                   : err_set(e, ERR_USAGE, "%s: '%.80s' is not one of %s", name, value, row->argument);
    case OPTION_END:
    case OPTION_HEADING:
        break;
    }
    return err_set(e, ERR_INTERNAL, "%s has no kind", name);
}

/* getopt's two tables from ours. */
static void getopt_tables(const struct option_row *rows, char letters[3 * ROWS_LIMIT + 2],
                          struct option names[ROWS_LIMIT])
{
    char *l = letters;
    int n = 0;
    *l++ = ':'; /* a missing argument is told apart */
    for (int i = 0; rows[i].kind != OPTION_END; i++) {
        const struct option_row *r = &rows[i];
        if (r->kind == OPTION_HEADING)
            continue;
        int optional = r->kind == OPTION_OPTIONAL_TEXT, argument = row_takes_argument(r);
        if (r->letter) {
            *l++ = r->letter;
            if (argument)
                *l++ = ':';
            if (optional)
                *l++ = ':';
        }
        if (r->name)
            names[n++] =
                (struct option){r->name, optional ? optional_argument : argument, NULL, ROW_BASE + i};
    }
    *l = 0;
    names[n] = (struct option){0};
}

static const struct option_row *row_of(const struct option_row *rows, int found)
{
    if (found >= ROW_BASE)
        return &rows[found - ROW_BASE];
    for (const struct option_row *r = rows; r->kind != OPTION_END; r++)
        if (r->letter && r->letter == found)
            return r;
    return NULL;
}

static int unknown_option(const struct option_row *rows, const char *word, int letter, struct err *e)
{
    char name[64];
    if (letter >= ROW_BASE)
        return err_set(e, ERR_USAGE, "%s takes no value", row_name(&rows[letter - ROW_BASE], name));
    if (letter)
        return err_set(e, ERR_USAGE, "unknown option -%c (--help lists all)", letter);
    snprintf(name, sizeof name, "%s", word + 2);
    name[strcspn(name, "=")] = 0;
    const char *names[ROWS_LIMIT];
    int n = 0, prefixed = 0;
    for (const struct option_row *r = rows; r->kind != OPTION_END; r++) {
        if (!r->name || !r->help)
            continue;
        names[n++] = r->name;
        prefixed += !strncmp(r->name, name, strlen(name));
    }
    if (prefixed > 1)
        return err_set(e, ERR_USAGE, "option --%s is short for more than one (--help lists all)", name);
    const char *near = parse_nearest(name, names, n);
    if (near)
        return err_set(e, ERR_USAGE, "unknown option --%s: did you mean --%s?", name, near);
    return err_set(e, ERR_USAGE, "unknown option --%s (--help lists all)", name);
}

static int parse_rows(const struct option_row *rows, int argc, char **argv, struct err *e)
{
    char letters[3 * ROWS_LIMIT + 2], name[64];
    struct option names[ROWS_LIMIT];
    getopt_tables(rows, letters, names);
    opterr = 0;
    optind = 0; /* glibc: start afresh, a test parses more than once */
    for (;;) {
        int found = getopt_long(argc, argv, letters, names, NULL);
        if (found == -1)
            return 0;
        if (found == '?')
            return unknown_option(rows, argv[optind - 1], optopt, e);
        if (found == ':')
            return err_set(e, ERR_USAGE, "%s needs a value (%s)", row_name(row_of(rows, optopt), name),
                           row_of(rows, optopt)->argument);
        int r = set_value(row_of(rows, found), optarg, e);
        if (r)
            return r;
    }
}

static int check_common(const struct common_options *c, struct err *e)
{
    const char *d = c->device;
    if (!d || !strcmp(d, "cpu") || !strcmp(d, "cuda") || !strcmp(d, "auto"))
        return 0;
    int64_t number;
    if (!strncmp(d, "cuda:", 5) && !parse_i64(d + 5, 0, 1023, "--device", &number, ERR_USAGE, NULL))
        return 0;
    return err_set(e, ERR_USAGE, "--device: '%.80s' is not one of cpu, cuda, cuda:N, auto", d);
}

static int take_operands(struct parsed *p, int argc, char **argv, int stdin_default, struct err *e)
{
    size_t n = (size_t)(argc - optind);
    int r = mem_alloc(&p->files, n + 1, sizeof *p->files, "the file names", e);
    if (r)
        return r;
    for (size_t i = 0; i < n; i++)
        p->files[i] = argv[optind + (int)i];
    p->file_count = n;
    if (n || !stdin_default)
        return 0;
    if (isatty(STDIN_FILENO))
        return err_set(e, ERR_USAGE, "no input: name a file, or - for standard input (--help says more)");
    p->files[p->file_count++] = "-";
    return 0;
}

static int parse_all(const struct tool *tool, struct parsed *p, int argc, char **argv, int stdin_default,
                     struct err *e)
{
    struct option_row rows[ROWS_LIMIT];
    struct wishes wishes = {0};
    all_rows(tool, &p->common, &wishes, rows);
    /* getopt reorders what it is given: the history wants the order in which it was typed. */
    char **order = NULL;
    int r = mem_alloc(&p->argv, (size_t)argc + 1, sizeof *p->argv, "the arguments", e);
    if (!r)
        r = mem_alloc(&order, (size_t)argc + 1, sizeof *order, "the arguments", e);
    if (r)
        return r;
    memcpy(p->argv, argv, (size_t)argc * sizeof *argv);
    memcpy(order, argv, (size_t)argc * sizeof *argv);
    r = parse_rows(rows, argc, order, e);
    if (!r && (wishes.help || wishes.version || wishes.list)) {
        if (wishes.list)
            print_options(rows);
        else if (wishes.help)
            print_help(tool, rows);
        else
            print_version(tool);
        free(order);
        parsed_release(p);
        exit(tool_finish(0));
    }
    if (!r)
        r = check_common(&p->common, e);
    if (!r)
        r = take_operands(p, argc, order, stdin_default, e);
    free(order);
    return r;
}

/* A closed pipe ends the tool quietly, and as for any other signal nothing unfinished stays behind. */
static void on_closed_pipe(int number)
{
    atomic_file_remove_all();
    signal(number, SIG_DFL);
    raise(number);
}

/* libgomp's threads wait for each other by spinning for milliseconds, which on a machine that others use too takes away
 * the very core they wait for: a training step of 0.3 s took 3 s. It reads its settings before main, so a tool
 * that computes starts itself again with a short spin, unless the user has said something about it. */
static void spin_briefly(char **argv)
{
    if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY"))
        return;
    if (!setenv("GOMP_SPINCOUNT", "1000", 1))
        execv("/proc/self/exe", argv); /* where that fails all works as before */
}

void tool_parse(const struct tool *tool, struct parsed *p, int argc, char **argv, int stdin_default)
{
    struct err e;
    if (tool->common & COMMON_THREADS)
        spin_briefly(argv);
    *p = (struct parsed){.argc = argc, .common = {.seed = -1}};
    log_setup(tool->name, LOG_WARNING);
    signal(SIGPIPE, on_closed_pipe); /* a parent may have left it ignored */
    atomic_file_on_signal();
    int r = parse_all(tool, p, argc, argv, stdin_default, &e);
    if (r) {
        tool_fail(&e);
        parsed_release(p);
        exit(r);
    }
    const struct common_options *c = &p->common;
    if (c->quiet || c->verbose)
        log_setup(tool->name, c->quiet ? LOG_ERROR : c->verbose > 1 ? LOG_DEBUG : LOG_NOTE);
    if (c->threads)
        omp_set_num_threads((int)c->threads);
}

void parsed_release(struct parsed *p)
{
    free(p->files);
    free(p->argv);
    free(p->expanded);
    *p = (struct parsed){0};
}
