/* lib/cli: the option table, help, history, files, JSON and tables. */
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/option.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "tap.h"

static int flag, count;
static const char *text, *choice, *optional;
static struct option_list list;
static int64_t integer;
static double number;
static uint32_t size[2];

static const struct option_row rows[] = {
    {OPTION_HEADING, 0, NULL, NULL, NULL, "What to do", 0, 0},
    {OPTION_FLAG, 'f', "flag", &flag, NULL, "a flag", 0, 0},
    {OPTION_COUNT, 'c', "count", &count, NULL, "a count", 0, 0},
    {OPTION_TEXT, 'o', "output", &text, "FILE",
     "where to; a help text that is too long for one line of eighty columns", 0, 0},
    {OPTION_LIST, 0, "set", &list, "KEY=VALUE", "repeatable", 0, 0},
    {OPTION_INTEGER, 'n', "samples", &integer, "N", "an integer", 1, 1000},
    {OPTION_NUMBER, 0, "ratio", &number, "X", "a number", 0, 1},
    {OPTION_SIZE, 0, "size", &size, "WxH", "a size", 0, 0},
    {OPTION_CHOICE, 0, "kind", &choice, "one|two|three", "a choice", 0, 0},
    {OPTION_OPTIONAL_TEXT, 0, "importance", &optional, "KIND", "perhaps a value", 0, 0},
    {OPTION_FLAG, 0, "hidden", &flag, NULL, NULL, 0, 0},
    {OPTION_END, 0, NULL, NULL, NULL, NULL, 0, 0},
};
static const struct tool tool = {"sgaps-test",
                                 "tests the options",
                                 "[-f] [-o FILE] FILE...",
                                 rows,
                                 COMMON_THREADS | COMMON_SEED | COMMON_DEVICE | COMMON_PRECISION |
                                     COMMON_FORCE | COMMON_JSON | COMMON_DRY_RUN | COMMON_HISTORY,
                                 "Examples:\n  $ sgaps-test x\n",
                                 NULL};

enum { WORDS = 32 };

/* Splits the line at blanks into a fresh argv. */
static int split(const char *line, char *argv[WORDS])
{
    static char copy[1024];
    snprintf(copy, sizeof copy, "sgaps-test %s", line);
    int n = 0;
    for (char *w = strtok(copy, " "); w; w = strtok(NULL, " "))
        argv[n++] = w;
    argv[n] = NULL;
    return n;
}

/* Parses in a child, whose output (both streams) and exit status come back. */
static int run(const char *line, char *out, size_t room)
{
    int fd[2];
    fflush(stdout);
    if (pipe(fd))
        return -1;
    pid_t child = fork();
    if (!child) {
        dup2(fd[1], 1);
        dup2(fd[1], 2);
        close(fd[0]);
        char *argv[WORDS];
        int argc = split(line, argv);
        struct parsed p;
        tool_parse(&tool, &p, argc, argv, 0);
        parsed_release(&p);
        free(list.items);
        _exit(0);
    }
    close(fd[1]);
    size_t n = 0;
    for (ssize_t got; n < room - 1 && (got = read(fd[0], out + n, room - 1 - n)) > 0;)
        n += (size_t)got;
    out[n] = 0;
    close(fd[0]);
    int status;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void test_values(void)
{
    char *argv[WORDS];
    int argc =
        split("a.h5 -f -cc --output=x.h5 --set a=1 - --set b=-2 -n 500 --ratio .25 --size 160x120 --kind two "
              "--importance --threads 1 --seed 7 --device cuda:1 --dry-run -- -f",
              argv);
    struct parsed p;
    tool_parse(&tool, &p, argc, argv, 0);
    ok(flag == 1 && count == 2, "flag and count");
    ok(text && !strcmp(text, "x.h5"), "text with =");
    ok(list.n == 2 && !strcmp(list.items[1], "b=-2"), "a list in order");
    ok(integer == 500 && number == 0.25 && size[0] == 160 && size[1] == 120, "numbers and a size");
    ok(choice && !strcmp(choice, "two"), "a choice");
    ok(optional && !*optional, "an optional value left out is \"\"");
    ok(p.file_count == 3 && !strcmp(p.files[0], "a.h5") && !strcmp(p.files[1], "-") &&
           !strcmp(p.files[2], "-f"),
       "operands among options, - and what follows --");
    ok(p.common.threads == 1 && p.common.seed == 7 && p.common.dry_run && !p.common.force &&
           !p.common.precision && !strcmp(p.common.device, "cuda:1"),
       "common options");
    char *history = tool_history(&tool, &p, "2020-01-01T00:00:00Z before");
    ok(history && strlen(history) > 20 && history[19] == 'Z' &&
           strstr(history,
                  " sgaps-test " SGAPS_VERSION ": sgaps-test a.h5 -f -cc --output=x.h5 --set a=1 - --set"),
       "history has the arguments as typed");
    ok(history && strstr(history, " -- -f\n2020-01-01T00:00:00Z before"), "history: newest first");
    free(history);
    p.common.no_history = 1;
    ok(!tool_history(&tool, &p, NULL), "no history when not wanted");
    parsed_release(&p);
    char *quoted[] = {(char *)"sgaps-test", (char *)"a b", (char *)"it's", (char *)"", NULL};
    tool_parse(&tool, &p, 4, quoted, 0);
    history = tool_history(&tool, &p, NULL);
    ok(history && strstr(history, ": sgaps-test 'a b' 'it'\\''s' ''"), "history quotes for the shell");
    free(history);
    parsed_release(&p);
    free(list.items);
    list = (struct option_list){0};
}

static int lines_in(const char *s)
{
    int n = 0;
    for (; *s; s++)
        n += *s == '\n';
    return n;
}

static void test_refusals(void)
{
    static const struct {
        const char *line, *says;
    } bad[] = {
        {"--jsom", "unknown option --jsom: did you mean --json?"},
        {"--xyzzy", "unknown option --xyzzy"},
        {"-Z", "unknown option -Z"},
        {"--ra", "x"}, /* replaced below: a single prefix is fine, and then a value is missing */
        {"--s 3", "short for more than one"},
        {"--flag=3", "--flag takes no value"},
        {"--ratio", "--ratio needs a value (X)"},
        {"--ratio 1.5", "--ratio: 1.5 is outside 0..1"},
        {"--ratio nan", "--ratio: 'nan' is not a number"},
        {"-n 5x", "--samples: '5x' is not a whole number"},
        {"-n 0", "--samples: 0 is outside 1..1000"},
        {"--kind four", "--kind: 'four' is not one of one|two|three"},
        {"--kind on", "is not one of"},
        {"--size 12", "--size: '12' is not a size as WxH"},
        {"--device gpu", "--device: 'gpu' is not one of"},
        {"--device cuda:x", "--device: 'cuda:x' is not one of"},
        {"--precision fp16", "--precision: 'fp16' is not one of fp32|tf32|bf16|auto"},
        {"--seed -1", "--seed: -1 is outside"},
        {"--threads 1e3", "--threads: '1e3' is not a whole number"},
    };
    char out[4096];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int code = run(bad[i].line, out, sizeof out);
        const char *says = i == 3 ? "--ratio needs a value" : bad[i].says;
        ok(code == 64 && lines_in(out) == 1 && !strncmp(out, "sgaps-test: ", 12) && strstr(out, says),
           "%s: 64 and one line: %.*s", bad[i].line, (int)strcspn(out, "\n") - 12, out + 12);
    }
}

static void test_help(void)
{
    char out[16384];
    ok(run("--help", out, sizeof out) == 0, "--help exits 0");
    ok(strstr(out, "sgaps-test: tests the options\n\nUsage: sgaps-test [-f] [-o FILE] FILE...\n"),
       "purpose, usage");
    ok(strstr(out, "\nWhat to do:\n  -f, --flag                  a flag\n"), "a group, aligned");
    ok(strstr(out, "      --importance[=KIND]     perhaps"), "an optional value");
    ok(strstr(out, "Common options:") && strstr(out, "  -j, --threads N "), "common options");
    ok(!strstr(out, "hidden") && !strstr(out, "list-options"), "hidden options are not in it");
    ok(strstr(out, "Examples:\n  $ sgaps-test x\n"), "examples");
    size_t longest = 0;
    for (char *l = out; *l;) {
        size_t n = strcspn(l, "\n");
        if (n > longest)
            longest = n;
        l += n + (l[n] != 0);
    }
    ok(longest <= 80, "no line is longer than 80 columns (%zu)", longest);
    ok(run("-V", out, sizeof out) == 0 &&
           !strncmp(out, "sgaps-test " SGAPS_VERSION "\n", strlen(SGAPS_VERSION) + 12),
       "-V: the version first");
    ok(strstr(out, "\nfeatures:\n") && strstr(out, "OpenMP"), "-V: features");
    ok(run("--list-options", out, sizeof out) == 0, "--list-options exits 0");
    ok(strstr(out, "n\tsamples\tN\tan integer\n") &&
           strstr(out, "-\timportance\t[=KIND]\tperhaps a value\n") && strstr(out, "h\thelp\t-\t"),
       "--list-options: letter, name, argument, help");
}

static void test_streams(void)
{
    int status;
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        if (!freopen("/dev/full", "w", stdout) || !freopen("/dev/null", "w", stderr))
            _exit(99);
        puts("data");
        _exit(tool_finish(0));
    }
    waitpid(child, &status, 0);
    ok(WIFEXITED(status) && WEXITSTATUS(status) == 74, "a full device is 74 at the end");
    child = fork();
    if (!child) {
        close(1);
        _exit(tool_finish(0));
    }
    waitpid(child, &status, 0);
    ok(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a closed stdout without output is no fault");
    child = fork();
    if (!child) {
        char *argv[] = {(char *)"sgaps-test", NULL};
        struct parsed p;
        signal(SIGPIPE, SIG_IGN);
        tool_parse(&tool, &p, 1, argv, 0);
        int fd[2];
        if (pipe(fd))
            _exit(99);
        close(fd[0]);
        ssize_t n = write(fd[1], "x", 1);
        _exit(n == 1 ? 1 : 2);
    }
    waitpid(child, &status, 0);
    ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE,
       "a closed pipe kills, even when the parent ignored it");
}

static void touch(const char *path)
{
    FILE *f = fopen(path, "w");
    if (f)
        fclose(f);
}

static void test_files(void)
{
    char dir[] = "/tmp/sgaps-cli-XXXXXX";
    if (!mkdtemp(dir) || chdir(dir)) {
        ok(0, "a temporary directory");
        return;
    }
    mkdir("d", 0777);
    mkdir("d/b", 0777);
    mkdir("empty", 0777);
    touch("d/z.h5");
    touch("d/b/a.h5");
    touch("d/b/.hidden.h5");
    touch("d/b/x.h5.part.1");
    touch("one.h5");
    char *argv[] = {(char *)"sgaps-test", (char *)"one.h5", (char *)"d", NULL};
    struct parsed p;
    struct err e;
    tool_parse(&tool, &p, 3, argv, 0);
    ok(!parsed_expand_directories(&p, &e) && p.file_count == 3 && !strcmp(p.files[0], "one.h5") &&
           !strcmp(p.files[1], "d/b/a.h5") && !strcmp(p.files[2], "d/z.h5"),
       "a directory is every *.h5 below it, sorted");
    ok(tool_check_output(&p, "d/../one.h5", &e) == ERR_USAGE, "an output that is an input is refused: %s",
       e.text);
    ok(!tool_check_output(&p, "new.h5", &e) && !tool_check_output(&p, "/dev/null", &e),
       "other outputs are fine");
    parsed_release(&p);
    argv[1] = (char *)"empty";
    tool_parse(&tool, &p, 2, argv, 0);
    ok(parsed_expand_directories(&p, &e) == ERR_NOINPUT, "an empty directory: %s", e.text);
    parsed_release(&p);
    char remove[64];
    snprintf(remove, sizeof remove, "rm -r %s", dir);
    ok(!system(remove), "tidied");
}

static void test_json(void)
{
    char *out = NULL;
    size_t n;
    FILE *f = open_memstream(&out, &n);
    struct json j;
    json_begin(&j, f, 0);
    json_object(&j);
    json_key_text(&j, "na\"me", "tab\t \\ \x01 \xc3\xa9 \xff");
    json_key_number(&j, "tenth", 0.1);
    json_key_number(&j, "third", 1.0 / 3);
    json_key_number(&j, "nan", NAN);
    json_key_integer(&j, "big", INT64_MIN);
    json_key(&j, "list");
    json_array(&j);
    json_number(&j, 1e300);
    json_number(&j, 40);
    json_number(&j, -1500);
    json_array(&j);
    json_close(&j);
    json_object(&j);
    json_close(&j);
    json_bool(&j, 1);
    json_null(&j);
    json_end(&j);
    fclose(f);
    const char *want =
        "{\"na\\\"me\":\"tab\\t \\\\ \\u0001 \xc3\xa9 \\ufffd\",\"tenth\":0.1,\"third\":0.3333333333333333,"
        "\"nan\":null,\"big\":-9223372036854775808,\"list\":[1e+300,40,-1500,[],{},true,null]}\n";
    ok(!strcmp(out, want), "JSON: escapes, shortest numbers, nesting");
    free(out);
    f = open_memstream(&out, &n);
    json_begin(&j, f, 2);
    json_object(&j);
    json_key_bool(&j, "a", 0);
    json_key(&j, "b");
    json_array(&j);
    json_integer(&j, 1);
    json_end(&j);
    fclose(f);
    ok(!strcmp(out, "{\n  \"a\": false,\n  \"b\": [\n    1\n  ]\n}\n"), "JSON: indented");
    free(out);
}

static void test_table(void)
{
    static const char *const headings[] = {"method", "psnr", "n"};
    struct table t;
    char *out = NULL;
    size_t n;
    table_begin(&t, 3, headings);
    table_cell(&t, "linear");
    table_number(&t, 24.456, 2);
    table_cell(&t, "%d", 125);
    table_cell(&t, "a\tb");
    table_number(&t, NAN, 2);
    table_number(&t, INFINITY, 2);
    FILE *f = open_memstream(&out, &n);
    table_print(&t, f, 0);
    fclose(f);
    ok(!strcmp(out, "method   psnr    n\nlinear  24.46  125\na b         -  inf\n"), "a table for people");
    free(out);
    f = open_memstream(&out, &n);
    table_print(&t, f, 1);
    fclose(f);
    ok(!strcmp(out, "method\tpsnr\tn\nlinear\t24.46\t125\na b\t-\tinf\n"), "a table for programs");
    free(out);
    table_release(&t);
    char duration[32];
    progress_duration(23.4, duration, sizeof duration);
    ok(!strcmp(duration, "0:23"), "a duration");
    progress_duration(3723, duration, sizeof duration);
    ok(!strcmp(duration, "1:02:03"), "a long duration");
}

int main(void)
{
    test_values();
    test_refusals();
    test_help();
    test_streams();
    test_files();
    test_json();
    test_table();
    return tap_done();
}
