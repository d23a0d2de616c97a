/* One option table for each tool: the parser, --help, completions and the man-page test all come from it. The hidden
 * option --list-options prints it for programs, one option a line, tab-separated: letter, name, argument, help ("-"
 * for none; [=ARG] when the argument may be left out). */
#ifndef SGAPS_CLI_OPTION_H
#define SGAPS_CLI_OPTION_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum option_kind {
    OPTION_END,
    OPTION_FLAG,          /* int *, set to 1 */
    OPTION_COUNT,         /* int *, +1 each time */
    OPTION_TEXT,          /* const char ** */
    OPTION_LIST,          /* struct option_list *: repeatable text */
    OPTION_INTEGER,       /* int64_t *, low..high */
    OPTION_NUMBER,        /* double *, low..high */
    OPTION_SIZE,          /* uint32_t[2]: W,H */
    OPTION_CHOICE,        /* const char **, one of choices "a|b|c" */
    OPTION_OPTIONAL_TEXT, /* const char **: --name or --name=VALUE; "" when no value is given */
    OPTION_HEADING        /* help text only */
};

struct option_list {
    const char **items;
    size_t n;
};

struct option_row {
    enum option_kind kind;
    char letter; /* 0: none */
    const char *name;
    void *value;
    const char *argument; /* "FILE" in the help, or the choices "a|b|c" */
    const char *help;     /* NULL: hidden. A heading's text */
    double low, high;
};

/* What every tool has: help, version, quiet, verbose always; the rest as asked for by the flags. */
struct common_options {
    int quiet, verbose, force, json, dry_run, no_history;
    int64_t threads;       /* 0: all cores */
    int64_t seed;          /* -1: not given */
    const char *device;    /* cpu, cuda, cuda:N or auto; NULL: not given */
    const char *precision; /* fp32, tf32, bf16 or auto; NULL: not given */
};
enum {
    COMMON_THREADS = 1,
    COMMON_SEED = 2,
    COMMON_DEVICE = 4,
    COMMON_PRECISION = 8,
    COMMON_FORCE = 16,
    COMMON_JSON = 32,
    COMMON_DRY_RUN = 64,
    COMMON_HISTORY = 128,
    /* Taken by every tool, so that one set of flags serves a whole pipeline; --help has them where they do something. */
    COMMON_EVERYWHERE = COMMON_THREADS | COMMON_SEED | COMMON_DEVICE | COMMON_PRECISION | COMMON_FORCE
};

struct tool {
    const char *name;     /* "sgaps-info" */
    const char *purpose;  /* one line */
    const char *synopsis; /* "[--json] [--check] FILE..." */
    const struct option_row *options;
    unsigned common;
    const char *epilogue; /* examples and notes under --help, or NULL */
    /* Of a tool with COMMON_DEVICE, for --version: is there a CUDA device? 0, or the reason in e (op_cuda_available). */
    int (*cuda)(struct err *e);
};

/* Parses argv. Sets up the log, locale-free numbers, SIGPIPE quiet, removal of unfinished outputs on a signal, and
 * OMP threads. --help and --version print and exit 0; a wrong option prints one line and exits 64: this is cmd/'s own
 * helper. Operands are left in files (GNU permutation; "--" ends options). No operand and stdin not a terminal: "-"
 * when stdin_default. */
struct parsed {
    struct common_options common;
    const char **files;
    size_t file_count;
    int argc;
    char **argv;    /* in the order given */
    char *expanded; /* the names that parsed_expand_directories found */
};
void tool_parse(const struct tool *tool, struct parsed *p, int argc, char **argv, int stdin_default);
void parsed_release(struct parsed *p);

/* Prints "TOOL: reason" and returns the exit code: return tool_fail(&e); without a reason only the code. */
int tool_fail(const struct err *e);
/* fflush(stdout) checked: the last line of main. code 0 or 1 becomes ERR_IO, said in a line, when the
 * output could not be written. */
int tool_finish(int code);

/* "2026-01-01T00:00:00Z sgaps-clean 0.1.0: sgaps-clean -o out.h5 in.h5" + "\n" + before (NULL: none). free() it. NULL with
 * --no-history. Arguments are quoted for the shell where needed. */
char *tool_history(const struct tool *tool, const struct parsed *p, const char *before);

/* A directory among the files becomes every *.h5 below it, sorted. Replaces p->files. */
int parsed_expand_directories(struct parsed *p, struct err *e);

/* Refuses binary output to a terminal without --force, and an output that is also an input. */
int tool_check_output(const struct parsed *p, const char *path, struct err *e);

/* --json of a tool whose result is a file of frames: {"output","frames"} on standard output, which therefore cannot be
 * the output: the first refuses that before any work. Neither does anything without --json. */
int tool_check_json(const struct parsed *p, const char *path, struct err *e);
void tool_written(const struct parsed *p, const char *path, size_t frames);

#endif
