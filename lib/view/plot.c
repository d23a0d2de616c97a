#include "view/plot.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/atomic_file.h"

extern char **environ;

static const struct {
    const char *ending, *terminal;
} terminals[] = {
    {".svg", "set terminal svg size 800,500 noenhanced background rgb 'white'\n"},
    {".png", "set terminal png size 960,600 noenhanced\n"},
};

static const char *terminal_for(const char *path)
{
    size_t n = strlen(path);
    for (size_t i = 0; i < sizeof terminals / sizeof *terminals; i++) {
        size_t m = strlen(terminals[i].ending);
        if (n > m && !strcmp(path + n - m, terminals[i].ending))
            return terminals[i].terminal;
    }
    return NULL;
}

int plot_check(const char *path, struct err *e)
{
    return terminal_for(path) ? 0 : err_set(e, ERR_USAGE, "%s: a plot is a .svg or a .png file", path);
}

void plot_quote(FILE *script, const char *text)
{
    putc('\'', script);
    for (; *text; text++) {
        if (*text == '\'')
            putc('\'', script);
        putc((unsigned char)*text < 0x20 || *text == 0x7f ? ' ' : *text, script);
    }
    putc('\'', script);
}

/* gnuplot with these as its standard streams. -d: the user's own settings stay out. */
static int spawn(pid_t *pid, int in, int out, int messages)
{
    char name[] = "gnuplot", ignore[] = "-d", input[] = "-", *argv[] = {name, ignore, input, NULL};
    posix_spawn_file_actions_t actions;
    int failed = posix_spawn_file_actions_init(&actions);
    if (failed)
        return failed;
    posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, messages, STDERR_FILENO);
    failed = posix_spawnp(pid, "gnuplot", &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    return failed;
}

/* What gnuplot complained of, on one line: its message follows a line with the place marked by ^. */
static void last_words(FILE *messages, char *out, size_t size)
{
    char line[512];
    snprintf(out, size, "no message");
    rewind(messages);
    while (fgets(line, sizeof line, messages)) {
        size_t n = strcspn(line, "\n");
        line[n] = 0;
        if (n && strspn(line, " ^\t") != n)
            snprintf(out, size, "%s", line + strspn(line, " \t"));
    }
}

static int run(FILE *script, FILE *messages, int out, struct err *e)
{
    pid_t pid;
    int status, failed = spawn(&pid, fileno(script), out, fileno(messages));
    if (failed)
        return err_set(e, ERR_UNAVAILABLE, "no plot: gnuplot cannot be started (%s): install gnuplot-nox",
                       strerror(failed));
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return err_set(e, ERR_INTERNAL, "gnuplot: %s", strerror(errno));
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return err_set(e, ERR_UNAVAILABLE, "no plot: gnuplot cannot be started: install gnuplot-nox");
    if (status) {
        char words[512];
        last_words(messages, words, sizeof words);
        return err_set(e, ERR_INTERNAL, "gnuplot failed: %.300s", words);
    }
    return 0;
}

int plot_run(const char *script, const char *path, struct err *e)
{
    struct atomic_file file;
    int r = plot_check(path, e);
    if (r || (r = atomic_file_begin(&file, path, e)))
        return r;
    FILE *in = tmpfile(), *messages = tmpfile();
    int out = open(file.part, O_WRONLY | O_TRUNC | O_CLOEXEC);
    if (!in || !messages || out < 0)
        r = err_set(e, ERR_CANTCREATE, "%s: no temporary file: %s", path, strerror(errno));
    if (!r && (fputs(terminal_for(path), in) < 0 || fputs(script, in) < 0 || fflush(in)))
        r = err_set(e, ERR_IO, "%s: the plot's script could not be written: %s", path, strerror(errno));
    if (!r) {
        rewind(in);
        r = run(in, messages, out, e);
    }
    if (!r && lseek(out, 0, SEEK_END) <= 0)
        r = err_set(e, ERR_IO, "%s: gnuplot wrote nothing", path);
    if (in)
        fclose(in);
    if (messages)
        fclose(messages);
    if (out >= 0 && close(out) && !r)
        r = err_set(e, ERR_IO, "%s: write failed: %s", path, strerror(errno));
    if (!r)
        r = atomic_file_commit(&file, e);
    if (r)
        atomic_file_abort(&file);
    return r;
}
