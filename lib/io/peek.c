/* Telling formats apart by their first bytes without taking them from the stream. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/stream.h"

int peek_open(struct peek_file *p, const char *path, struct err *e)
{
    struct stat st;
    int is_stdin = !strcmp(path, "-");
    *p = (struct peek_file){.name = is_stdin ? "standard input" : path};
    p->f = is_stdin ? stdin : fopen(path, "rb");
    if (!p->f)
        return err_set(e, ERR_NOINPUT, "%s: cannot open: %s", p->name, strerror(errno));
    if (!fstat(fileno(p->f), &st) && S_ISDIR(st.st_mode)) {
        peek_close(p);
        return err_set(e, ERR_NOINPUT, "%s: is a directory", path);
    }
    p->head_n = fread(p->head, 1, sizeof p->head, p->f);
    if (p->head_n)
        return 0;
    int failed = ferror(p->f), why = errno;
    const char *name = p->name;
    peek_close(p);
    return failed ? err_set(e, ERR_IO, "%s: read failed: %s", name, strerror(why))
                  : err_set(e, ERR_DATA, "%s: is empty", name);
}

size_t peek_read(struct peek_file *p, void *out, size_t n)
{
    size_t held = p->head_n - p->head_at, part = n < held ? n : held;
    memcpy(out, p->head + p->head_at, part);
    p->head_at += part;
    return part < n ? part + fread((char *)out + part, 1, n - part, p->f) : part;
}

void peek_close(struct peek_file *p)
{
    if (p->f && p->f != stdin)
        fclose(p->f);
    p->f = NULL;
}

enum stream_format peek_format(const struct peek_file *p)
{
    static const struct {
        const char *bytes;
        size_t n;
        enum stream_format format;
    } known[] = {
        {"YUV4MPEG2 ", 10, STREAM_Y4M},
        {"\x89PNG\r\n\x1a\n", 8, STREAM_PNG},
        {"\x89HDF\r\n\x1a\n", 8, STREAM_HDF5},
        {"SGJR\0\0\1\0", 8, STREAM_JOURNAL},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (p->head_n >= known[i].n && !memcmp(p->head, known[i].bytes, known[i].n))
            return known[i].format;
    if (p->head_n >= 3 && p->head[0] == 'P' && p->head[1] == '5' && strchr(" \t\r\n#", p->head[2]))
        return STREAM_PGM;
    size_t at = 0;
    while (at < p->head_n && strchr(" \t\r\n", p->head[at]) && p->head[at])
        at++;
    return at < p->head_n && p->head[at] == '{' ? STREAM_NDJSON : STREAM_UNKNOWN;
}
