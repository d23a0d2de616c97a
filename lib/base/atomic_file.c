#include "base/atomic_file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

/* What a signal must remove. A slot is published last and taken back first, so the handler sees whole names. */
enum { SLOTS = 64 };
static char *volatile unfinished[SLOTS];

static int slot_take(char *part)
{
    for (int i = 0; i < SLOTS; i++) {
        char *expected = NULL;
        if (__atomic_compare_exchange_n(&unfinished[i], &expected, part, 0, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST))
            return i;
    }
    return -1;
}

void atomic_file_remove_all(void)
{
    for (int i = 0; i < SLOTS; i++)
        if (unfinished[i])
            unlink(unfinished[i]);
}

static void (*volatile also)(void);

void atomic_file_also_on_signal(void (*put_right)(void))
{
    also = put_right;
}

static void on_signal(int number)
{
    atomic_file_remove_all();
    if (also)
        also();
    signal(number, SIG_DFL);
    raise(number);
}

void atomic_file_on_signal(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction action = {.sa_handler = on_signal}, old;
        sigaction(numbers[i], NULL, &old);
        if (old.sa_handler != SIG_IGN) /* nohup */
            sigaction(numbers[i], &action, NULL);
    }
}

int atomic_file_begin(struct atomic_file *a, const char *path, struct err *e)
{
    *a = (struct atomic_file){.slot = -1};
    struct stat st;
    if (!*path)
        return err_set(e, ERR_CANTCREATE, "the output's name is empty");
    if (!stat(path, &st) && S_ISDIR(st.st_mode))
        return err_set(e, ERR_CANTCREATE, "%s: is a directory", path);
    size_t n = strlen(path) + 32;
    if (mem_string(&a->path, path, e))
        return ERR_INTERNAL;
    if (!stat(path, &st) && !S_ISREG(st.st_mode)) { /* /dev/full, a FIFO: nothing to rename */
        if (!mem_string(&a->part, path, e))
            return 0;
        free(a->path);
        return ERR_INTERNAL;
    }
    a->part = malloc(n);
    if (!a->part) {
        free(a->path);
        return err_memory(e, "a file name", n);
    }
    snprintf(a->part, n, "%s.part.%ld", path, (long)getpid());
    int fd = open(a->part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        int r = err_set(e, ERR_CANTCREATE, "%s: cannot create: %s", path, strerror(errno));
        free(a->path);
        free(a->part);
        *a = (struct atomic_file){.slot = -1};
        return r;
    }
    close(fd);
    a->slot = slot_take(a->part);
    return 0;
}

static int is_device(const struct atomic_file *a)
{
    return !strcmp(a->part, a->path);
}

static void forget(struct atomic_file *a)
{
    if (a->slot >= 0 && a->part)
        unfinished[a->slot] = NULL;
    free(a->path);
    free(a->part);
    *a = (struct atomic_file){.slot = -1};
}

static int sync_path(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int r = fsync(fd);
    if (r && (errno == EINVAL || errno == EROFS))
        r = 0; /* not every file system can */
    return close(fd) ? -1 : r;
}

static void sync_parent(const char *path)
{
    char *copy = strdup(path);
    if (!copy)
        return;
    char *slash = strrchr(copy, '/');
    if (slash)
        slash[slash == copy] = 0;
    sync_path(slash ? copy : ".", O_RDONLY | O_DIRECTORY);
    free(copy);
}

int atomic_file_commit(struct atomic_file *a, struct err *e)
{
    int r = 0;
    if (is_device(a)) {
        forget(a);
        return 0;
    }
    if (sync_path(a->part, O_WRONLY))
        r = err_set(e, ERR_IO, "%s: cannot be flushed to the disk: %s", a->path, strerror(errno));
    else if (rename(a->part, a->path))
        r = err_set(e, ERR_CANTCREATE, "%s: cannot be renamed into place: %s", a->path, strerror(errno));
    if (r) {
        atomic_file_abort(a);
        return r;
    }
    sync_parent(a->path);
    forget(a);
    return 0;
}

void atomic_file_abort(struct atomic_file *a)
{
    if (a->part && !is_device(a))
        unlink(a->part);
    if (a->part || a->path)
        forget(a);
}

int atomic_file_make_parents(const char *path, struct err *e)
{
    char *copy = NULL;
    if (mem_string(&copy, path, e))
        return ERR_INTERNAL;
    int r = 0;
    for (char *p = copy + 1; *copy && *p && !r; p++) {
        if (*p != '/')
            continue;
        *p = 0;
        if (mkdir(copy, 0777) && errno != EEXIST)
            r = err_set(e, ERR_CANTCREATE, "%s: cannot make the directory: %s", copy, strerror(errno));
        *p = '/';
    }
    free(copy);
    return r;
}

int out_stream_open(struct out_stream *o, const char *path, struct err *e)
{
    *o = (struct out_stream){.file = {.slot = -1}};
    if (!strcmp(path, "-")) {
        o->f = stdout;
        return 0;
    }
    int r = atomic_file_begin(&o->file, path, e);
    if (r)
        return r;
    o->f = fopen(o->file.part, "w");
    if (!o->f) {
        r = err_set(e, ERR_CANTCREATE, "%s: cannot create: %s", path, strerror(errno));
        atomic_file_abort(&o->file);
    }
    return r;
}

int out_stream_close(struct out_stream *o, struct err *e)
{
    const char *name = o->file.path ? o->file.path : "standard output";
    errno = 0;
    int failed = ferror(o->f) | fflush(o->f);
    int why = errno;
    if (o->f != stdout && fclose(o->f)) {
        failed = 1;
        why = errno;
    }
    o->f = NULL;
    if (failed) {
        int r = err_set(e, ERR_IO, "%s: write failed: %s", name,
                        why ? strerror(why) : "the stream reports an error");
        atomic_file_abort(&o->file);
        return r;
    }
    return o->file.path ? atomic_file_commit(&o->file, e) : 0;
}

void out_stream_abort(struct out_stream *o)
{
    if (o->f && o->f != stdout)
        fclose(o->f);
    o->f = NULL;
    atomic_file_abort(&o->file);
}
