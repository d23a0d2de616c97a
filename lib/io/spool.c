#include "io/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/stream.h"

enum { COPY_BYTES = 1 << 18 };

int spool_needed(const char *path)
{
    struct stat st;
    return !strcmp(path, "-") || (!stat(path, &st) && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode));
}

/* A name nobody can guess: $TMPDIR is often open to everyone. */
static int begin(struct spool *s, struct err *e)
{
    const char *folder = getenv("TMPDIR");
    uint64_t word[2];
    char name[4096];
    *s = (struct spool){.file = {.slot = -1}};
    if (getrandom(word, sizeof word, 0) != sizeof word)
        return err_set(e, ERR_INTERNAL, "no random name for a temporary file: %s", strerror(errno));
    int n = snprintf(name, sizeof name, "%s/sgaps-%016llx%016llx", folder && *folder ? folder : "/tmp",
                     (unsigned long long)word[0], (unsigned long long)word[1]);
    if (n >= (int)sizeof name - 32)
        return err_set(e, ERR_CANTCREATE, "TMPDIR: the name is too long");
    int r = atomic_file_begin(&s->file, name, e);
    if (!r)
        s->path = s->file.part;
    return r;
}

/* Reads and writes to the end. Names are for the message. */
static int copy(int from, const char *from_name, int to, const char *to_name, unsigned long long *bytes,
                struct err *e)
{
    char *buffer;
    int r = mem_alloc(&buffer, COPY_BYTES, 1, "a copy buffer", e);
    *bytes = 0;
    while (!r) {
        ssize_t n = read(from, buffer, COPY_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            r = err_set(e, ERR_IO, "%s: read failed: %s", from_name, strerror(errno));
        if (n <= 0)
            break;
        *bytes += (unsigned long long)n;
        for (ssize_t at = 0; at < n && !r;) {
            ssize_t put = write(to, buffer + at, (size_t)(n - at));
            if (put < 0 && errno != EINTR)
                r = err_set(e, ERR_IO, "%s: write failed: %s", to_name, strerror(errno));
            at += put > 0 ? put : 0;
        }
    }
    free(buffer);
    return r;
}

int spool_input(struct spool *s, const char *path, struct err *e)
{
    int is_stdin = !strcmp(path, "-");
    const char *shown = is_stdin ? "standard input" : path;
    int r = begin(s, e);
    if (r)
        return r;
    int from = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    int to = from < 0 ? -1 : open(s->path, O_WRONLY | O_CLOEXEC);
    unsigned long long bytes = 0;
    if (from < 0)
        r = err_set(e, ERR_NOINPUT, "%s: cannot open: %s", shown, strerror(errno));
    else if (to < 0)
        r = err_set(e, ERR_CANTCREATE, "%s: cannot create: %s", s->path, strerror(errno));
    else
        r = copy(from, shown, to, s->path, &bytes, e);
    if (to >= 0 && close(to) && !r)
        r = err_set(e, ERR_IO, "%s: write failed: %s", s->path, strerror(errno));
    if (!is_stdin && from >= 0)
        close(from);
    if (!r)
        log_note("%s: spooled to %s (%llu bytes)", shown, s->path, bytes);
    else
        spool_release(s);
    return r;
}

int spool_peeked(struct spool *s, struct peek_file *p, struct err *e)
{
    char *buffer = NULL;
    int r = begin(s, e);
    if (r)
        return r;
    FILE *out = fopen(s->path, "wb");
    r = out ? mem_alloc(&buffer, COPY_BYTES, 1, "a copy buffer", e)
            : err_set(e, ERR_CANTCREATE, "%s: cannot create: %s", s->path, strerror(errno));
    for (size_t n = 1; !r && n;) {
        n = peek_read(p, buffer, COPY_BYTES);
        if (fwrite(buffer, 1, n, out) != n)
            r = err_set(e, ERR_IO, "%s: write failed: %s", s->path, strerror(errno));
    }
    if (!r && ferror(p->f))
        r = err_set(e, ERR_IO, "%s: read failed: %s", p->name, strerror(errno));
    if (out && fclose(out) && !r)
        r = err_set(e, ERR_IO, "%s: write failed: %s", s->path, strerror(errno));
    free(buffer);
    if (r)
        spool_release(s);
    else
        log_note("%s: spooled to %s", p->name, s->path);
    return r;
}

void spool_rename(const struct spool *s, const char *name, char *text)
{
    size_t old = s->path ? strlen(s->path) : 0, n = strlen(name);
    char *at = old ? strstr(text, s->path) : NULL;
    if (!at || n > old)
        return;
    memcpy(at, name, n);
    memmove(at + n, at + old, strlen(at + old) + 1);
}

int spool_output(struct spool *s, struct err *e)
{
    return begin(s, e);
}

int spool_send(struct spool *s, const char *path, struct err *e)
{
    int is_stdout = !strcmp(path, "-");
    const char *shown = is_stdout ? "standard output" : path;
    unsigned long long bytes;
    int from = open(s->path, O_RDONLY | O_CLOEXEC);
    if (from < 0)
        return err_set(e, ERR_IO, "%s: cannot open: %s", s->path, strerror(errno));
    spool_release(s);
    int to = is_stdout ? STDOUT_FILENO : open(path, O_WRONLY | O_CLOEXEC), r = 0;
    if (to < 0)
        r = err_set(e, ERR_CANTCREATE, "%s: cannot open: %s", shown, strerror(errno));
    else
        r = copy(from, "a temporary file", to, shown, &bytes, e);
    close(from);
    if (!is_stdout && to >= 0 && close(to) && !r)
        r = err_set(e, ERR_IO, "%s: write failed: %s", shown, strerror(errno));
    return r;
}

void spool_release(struct spool *s)
{
    atomic_file_abort(&s->file);
    s->path = NULL;
}
