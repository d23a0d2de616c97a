/* The files of a journal: their names, the lock, the list of what has become a recording. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/journal_private.h"

int journal_file_name(const char *directory, const char *name, uint32_t number, char *out, size_t size)
{
    int n = snprintf(out, size, "%s/%s-%06u.sgj", directory, name, number);
    return n > 0 && (size_t)n < size ? 0 : -1;
}

static void mark_name(const char *directory, const char *name, const char *ending, char out[4096])
{
    snprintf(out, 4096, "%s/%s.%s", directory, name, ending);
}

/* --- the list of journals --- */

/* NAME of NAME-NNNNNN.sgj, NAME.lock or NAME.done into name. */
static int journal_of(const char *file, char name[JOURNAL_NAME_SIZE])
{
    size_t n = strlen(file), stem = 0;
    if (n > 5 && (!strcmp(file + n - 5, ".lock") || !strcmp(file + n - 5, ".done")))
        stem = n - 5;
    else if (n > 4 && !strcmp(file + n - 4, ".sgj")) {
        stem = n - 4;
        while (stem && file[stem - 1] >= '0' && file[stem - 1] <= '9')
            stem--;
        stem = stem > 1 && file[stem - 1] == '-' && stem < n - 4 ? stem - 1 : 0;
    }
    if (!stem || stem >= JOURNAL_NAME_SIZE)
        return 0;
    memcpy(name, file, stem);
    name[stem] = 0;
    return 1;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void journal_list_free(char **names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    free(names);
}

static size_t without_twins(char **names, size_t n)
{
    size_t kept = 0;
    if (n)
        qsort(names, n, sizeof *names, by_name);
    for (size_t i = 0; i < n; i++) {
        if (kept && !strcmp(names[kept - 1], names[i]))
            free(names[i]);
        else
            names[kept++] = names[i];
    }
    return kept;
}

int journal_list(const char *directory, char ***names, size_t *n, struct err *e)
{
    size_t capacity = 0;
    char name[JOURNAL_NAME_SIZE];
    int bad = 0;
    *names = NULL;
    *n = 0;
    DIR *d = opendir(directory);
    if (!d)
        return err_set(e, ERR_NOINPUT, "%s: cannot open: %s", directory, strerror(errno));
    for (struct dirent *entry; !bad && (entry = readdir(d));) {
        if (!journal_of(entry->d_name, name))
            continue;
        bad = mem_grow(names, &capacity, *n + 1, sizeof **names, "a list of journals", e);
        bad = bad ? bad : mem_string(&(*names)[*n], name, e);
        *n += !bad;
    }
    closedir(d);
    if (bad) {
        journal_list_free(*names, *n);
        *names = NULL;
        *n = 0;
        return bad;
    }
    *n = without_twins(*names, *n);
    return 0;
}

int journal_numbers(const char *directory, const char *name, uint32_t **numbers, size_t *n, struct err *e)
{
    size_t stem = strlen(name), capacity = 0;
    int bad = 0;
    *numbers = NULL;
    *n = 0;
    DIR *d = opendir(directory);
    if (!d)
        return err_set(e, ERR_NOINPUT, "%s: cannot open: %s", directory, strerror(errno));
    for (struct dirent *entry; !bad && (entry = readdir(d));) {
        const char *file = entry->d_name;
        char *end;
        if (strncmp(file, name, stem) || file[stem] != '-' || file[stem + 1] < '0' || file[stem + 1] > '9')
            continue;
        unsigned long number = strtoul(file + stem + 1, &end, 10);
        if (strcmp(end, ".sgj") || number > UINT32_MAX)
            continue;
        bad = mem_grow(numbers, &capacity, *n + 1, sizeof **numbers, "segments", e);
        if (!bad)
            (*numbers)[(*n)++] = (uint32_t)number;
    }
    closedir(d);
    if (bad) {
        free(*numbers);
        *numbers = NULL;
        *n = 0;
    }
    return bad;
}

/* --- the lock --- */

/* The lock counts only while its file has the name: who removes a journal takes the name away under the lock. */
static int still_named(int fd, const char *path)
{
    struct stat by_fd, by_path;
    return !fstat(fd, &by_fd) && !stat(path, &by_path) && by_fd.st_ino == by_path.st_ino &&
           by_fd.st_dev == by_path.st_dev;
}

int journal_lock(const char *directory, const char *name, int *fd, struct err *e)
{
    char path[4096];
    mark_name(directory, name, "lock", path);
    for (;;) {
        *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (*fd < 0)
            return err_set(e, ERR_CANTCREATE, "%s: cannot create: %s", path, strerror(errno));
        if (flock(*fd, LOCK_EX | LOCK_NB)) {
            int why = errno;
            close(*fd);
            *fd = -1;
            return why == EWOULDBLOCK ? err_set(e, ERR_TEMPFAIL,
                                                "%s: is locked: another process writes or converts it", path)
                                      : err_set(e, ERR_IO, "%s: cannot be locked: %s", path, strerror(why));
        }
        if (still_named(*fd, path))
            return 0;
        close(*fd);
    }
}

/* --- what has become a recording --- */

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

int journal_done(const char *directory, const char *name, uint64_t **numbers, size_t *n, struct err *e)
{
    char path[4096], *line = NULL;
    size_t room = 0, capacity = 0;
    int bad = 0;
    *numbers = NULL;
    *n = 0;
    mark_name(directory, name, "done", path);
    FILE *f = fopen(path, "re");
    if (!f)
        return errno == ENOENT ? 0 : err_set(e, ERR_NOINPUT, "%s: cannot open: %s", path, strerror(errno));
    for (ssize_t length; !bad && (length = getline(&line, &room, f)) > 0;) {
        char *end;
        uint64_t number = strtoull(line, &end, 10);
        if (line[length - 1] != '\n' || end == line || *end != ' ')
            continue; /* a crash cut it: the session is looked at again */
        bad = mem_grow(numbers, &capacity, *n + 1, sizeof **numbers, "a list of sessions", e);
        if (!bad)
            (*numbers)[(*n)++] = number;
    }
    if (!bad && ferror(f))
        bad = err_set(e, ERR_IO, "%s: read failed: %s", path, strerror(errno));
    fclose(f);
    free(line);
    if (bad) {
        free(*numbers);
        *numbers = NULL;
        *n = 0;
    } else if (*n)
        qsort(*numbers, *n, sizeof **numbers, by_number);
    return bad;
}

int journal_done_has(const uint64_t *numbers, size_t n, uint64_t session)
{
    return n && bsearch(&session, numbers, n, sizeof *numbers, by_number);
}

int journal_done_add(const char *directory, const char *name, uint64_t session, const char *path,
                     struct err *e)
{
    char mark[4096], line[4200], last = '\n';
    mark_name(directory, name, "done", mark);
    int fd = open(mark, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0)
        return err_set(e, ERR_CANTCREATE, "%s: cannot create: %s", mark, strerror(errno));
    off_t size = lseek(fd, 0, SEEK_END);
    if (size > 0 && pread(fd, &last, 1, size - 1) != 1)
        last = 0;
    /* what a crash cut stays a line of its own */
    int n = snprintf(line, sizeof line, "%s%" PRIu64 " %s\n", last == '\n' ? "" : "\n", session, path);
    int failed = n < 0 || (size_t)n >= sizeof line || write(fd, line, (size_t)n) != n || fsync(fd);
    int why = errno;
    if (close(fd) && !failed) {
        failed = 1;
        why = errno;
    }
    return failed ? err_set(e, ERR_IO, "%s: write failed: %s", mark, strerror(why)) : 0;
}

void journal_remove_marks(const char *directory, const char *name)
{
    char path[4096];
    mark_name(directory, name, "done", path);
    unlink(path);
    mark_name(directory, name, "lock", path);
    unlink(path);
}
