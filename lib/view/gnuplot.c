/* gnuplot as a child: script in, picture out, its complaints as one line. */
#include <errno.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "view/plot_private.h"

extern char **environ;

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

int gnuplot_run(const char *terminal, const char *script, int out, struct err *e)
{
    FILE *in = tmpfile(), *messages = tmpfile();
    int r = 0;
    if (!in || !messages)
        r = err_set(e, ERR_CANTCREATE, "a plot: no temporary file: %s", strerror(errno));
    if (!r && (fputs(terminal, in) < 0 || fputs(script, in) < 0 || fflush(in)))
        r = err_set(e, ERR_IO, "a plot: its script could not be written: %s", strerror(errno));
    if (!r) {
        rewind(in);
        r = run(in, messages, out, e);
    }
    if (!r && lseek(out, 0, SEEK_END) <= 0)
        r = err_set(e, ERR_IO, "gnuplot wrote nothing");
    if (in)
        fclose(in);
    if (messages)
        fclose(messages);
    return r;
}
