/* The thread that has sgaps-import turn ended sessions into recordings. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "live/recorder_private.h"

extern char **environ;

enum { TOGETHER = 64 };                                     /* sessions of one child */
static const double AGAIN_FIRST = 1, AGAIN_LONGEST = 60;    /* looking for what other processes left */
static const double FAILED_FIRST = 5, FAILED_LONGEST = 600; /* after a conversion that failed */

/* --- the child --- */

/* What it says: names of recordings on lines of their own, and messages that begin with the tool's name. */
static void listen_to(struct recorder *r, int pipe_end)
{
    char *line = NULL;
    size_t room = 0;
    FILE *f = fdopen(pipe_end, "r");
    if (!f) {
        close(pipe_end);
        return;
    }
    for (ssize_t n; (n = getline(&line, &room, f)) > 0;) {
        line[n - (line[n - 1] == '\n')] = 0;
        if (strncmp(line, "sgaps-import: ", 14)) {
            pthread_mutex_lock(&r->lock);
            r->stats.conversions++;
            pthread_mutex_unlock(&r->lock);
        } else
            recorder_event(r, "%s", line);
    }
    free(line);
    fclose(f);
}

/* A group of its own, so that a Ctrl-C meant for the server does not end it; signals as a shell would leave them. */
static int start_child(const struct recorder *r, char **arguments, int out, int lock, pid_t *pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&how);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", 0, 0);
    posix_spawn_file_actions_adddup2(&files, out, 1);
    posix_spawn_file_actions_adddup2(&files, out, 2);
    if (lock >= 0) /* dup2 to itself: it stays open in the child */
        posix_spawn_file_actions_adddup2(&files, lock, lock);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&how, 0);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setsigdefault(&how, &all);
    int why = posix_spawnp(pid, r->import, &files, &how, arguments, environ);
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&files);
    return why;
}

int recorder_run_import(struct recorder *r, const char *name, const uint64_t *numbers, size_t n, int lock)
{
    char list[TOGETHER * 21 + 1] = "";
    size_t used = 0;
    for (size_t i = 0; i < n && i < TOGETHER; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%" PRIu64, i ? "," : "", numbers[i]);
    char convert[] = "--convert", journal[] = "--journal", which[] = "--numbers";
    char own_name[JOURNAL_NAME_SIZE];
    snprintf(own_name, sizeof own_name, "%s", name ? name : "");
    char *arguments[8] = {r->import, convert, r->dir};
    if (name) {
        arguments[3] = journal;
        arguments[4] = own_name;
    }
    if (n) {
        arguments[5] = which;
        arguments[6] = list;
    }
    int ends[2], status;
    pid_t pid;
    if (pipe2(ends, O_CLOEXEC)) {
        recorder_event(r, "%s cannot be run: %s", r->import, strerror(errno));
        return -1;
    }
    int why = start_child(r, arguments, ends[1], lock, &pid);
    close(ends[1]);
    if (why) {
        close(ends[0]);
        recorder_event(r, "%s cannot be run: %s: what is recorded stays in %s/journal", r->import,
                       strerror(why), r->dir);
        return -1;
    }
    setpriority(PRIO_PROCESS, (id_t)pid, 10); /* the loop comes first */
    listen_to(r, ends[0]);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* --- ended sessions --- */

/* Which of them are recordings now; they are taken from the list. Returns how many are not. */
static size_t settle(struct recorder *r, const uint64_t *numbers, size_t n)
{
    char directory[4096];
    uint64_t *done;
    size_t dones, left = 0;
    struct err e;
    snprintf(directory, sizeof directory, "%s/journal", r->dir);
    if (journal_done(directory, journal_name(r->journal), &done, &dones, &e))
        recorder_event(r, "%s", e.text);
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < n; i++) {
        if (!journal_done_has(done, dones, numbers[i])) {
            left++;
            continue;
        }
        recorder_let_go(r, numbers[i]);
        for (size_t k = 0; k < r->ended_count; k++)
            if (r->ended[k] == numbers[i])
                r->ended[k] = r->ended[--r->ended_count];
    }
    pthread_mutex_unlock(&r->lock);
    free(done);
    recorder_remove_segments(r);
    return left;
}

/* 0: all of them are recordings. */
static int convert_ended(struct recorder *r, const uint64_t *numbers, size_t n)
{
    int status =
        recorder_run_import(r, journal_name(r->journal), numbers, n, journal_lock_descriptor(r->journal));
    size_t left = settle(r, numbers, n);
    if (!left)
        return 0;
    pthread_mutex_lock(&r->lock);
    r->stats.conversions_failed += left;
    pthread_mutex_unlock(&r->lock);
    recorder_event(
        r,
        "%zu of %zu sessions could not be made a recording (status %d): their journal in %s/journal is "
        "kept and tried again",
        left, n, status, r->dir);
    return -1;
}

/* --- what other processes left --- */

static int is_left(const char *directory, const char *name)
{
    int fd;
    if (journal_lock(directory, name, &fd, NULL))
        return 0;
    close(fd);
    return 1;
}

static int convert_left(struct recorder *r)
{
    char directory[4096], **names;
    size_t n;
    struct err e;
    int bad = 0;
    snprintf(directory, sizeof directory, "%s/journal", r->dir);
    if (journal_list(directory, &names, &n, &e)) {
        recorder_event(r, "%s", e.text);
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        if (!strcmp(names[i], journal_name(r->journal)) || !is_left(directory, names[i]))
            continue;
        int status = recorder_run_import(r, names[i], NULL, 0, -1);
        if (status && status != ERR_TEMPFAIL) {
            bad = -1;
            pthread_mutex_lock(&r->lock);
            r->stats.conversions_failed++;
            pthread_mutex_unlock(&r->lock);
            recorder_event(r, "the journal %s/%s could not be converted (status %d): it is kept", directory,
                           names[i], status);
        }
    }
    journal_list_free(names, n);
    return bad;
}

/* --- the thread --- */

struct pace {
    double due, wait, first, longest;
};

static void go_slower(struct pace *p, int from_start)
{
    p->wait = from_start ? p->first : p->wait * 2 > p->longest ? p->longest : p->wait * 2;
    p->due = clock_seconds() + p->wait;
}

static struct timespec at_time(double seconds)
{
    return (struct timespec){(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
}

void *recorder_convert_thread(void *recorder)
{
    struct recorder *r = recorder;
    struct pace left = {0, AGAIN_FIRST, AGAIN_FIRST, AGAIN_LONGEST};
    struct pace failed = {0, FAILED_FIRST, FAILED_FIRST, FAILED_LONGEST};
    for (;;) {
        uint64_t numbers[TOGETHER];
        size_t n = 0;
        pthread_mutex_lock(&r->lock);
        while (r->closing < 2) {
            double now = clock_seconds(), until = left.due;
            if (r->ended_count && now >= failed.due)
                break;
            if (r->ended_count && failed.due < until)
                until = failed.due;
            if (now >= until)
                break;
            struct timespec t = at_time(until);
            pthread_cond_timedwait(&r->convert, &r->lock, &t);
        }
        int closing = r->closing > 1;
        if (clock_seconds() >= failed.due)
            for (; n < r->ended_count && n < TOGETHER; n++)
                numbers[n] = r->ended[n];
        pthread_mutex_unlock(&r->lock);
        if (closing) /* recorder_close converts the rest */
            return NULL;
        if (n && !convert_ended(r, numbers, n))
            failed = (struct pace){0, FAILED_FIRST, FAILED_FIRST, FAILED_LONGEST};
        else if (n)
            go_slower(&failed, failed.due == 0);
        if (clock_seconds() >= left.due) {
            left.longest = convert_left(r) ? FAILED_LONGEST : AGAIN_LONGEST;
            go_slower(&left, left.due == 0);
        }
    }
}
