#include "train/metrics_log.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic_file.h"
#include "base/mem.h"

/* Copies the lines whose step is at most keep; lines that are not ours go. */
static int trim(const char *path, int64_t keep, struct err *e)
{
    FILE *in = fopen(path, "r");
    if (!in)
        return 0; /* nothing written before: nothing to trim */
    struct out_stream out;
    char *line = NULL;
    size_t capacity = 0;
    long long step;
    int r = out_stream_open(&out, path, e);
    while (!r && getline(&line, &capacity, in) > 0)
        if (sscanf(line, "{\"step\": %lld", &step) == 1 && step <= keep && strchr(line, '\n'))
            fputs(line, out.f);
    fclose(in);
    free(line);
    return r ? r : out_stream_close(&out, e);
}

int metrics_log_open(struct metrics_log *j, const char *path, int64_t keep_steps, struct err *e)
{
    *j = (struct metrics_log){0};
    int r = mem_string(&j->path, path, e);
    if (!r && keep_steps >= 0)
        r = trim(path, keep_steps, e);
    if (r)
        return r;
    j->f = fopen(path, keep_steps >= 0 ? "a" : "w");
    return j->f ? 0 : err_set(e, ERR_CANTCREATE, "%s: cannot create: %s", path, strerror(errno));
}

static int failed(const struct metrics_log *j, struct err *e)
{
    return err_set(e, ERR_IO, "%s: write failed: %s", j->path, strerror(errno));
}

int metrics_log_write(struct metrics_log *j, int64_t step, int64_t epoch, const struct metrics_value *values,
                      size_t n, struct err *e)
{
    fprintf(j->f, "{\"step\": %lld, \"epoch\": %lld", (long long)step, (long long)epoch);
    for (size_t i = 0; i < n; i++)
        if (isfinite(values[i].value))
            fprintf(j->f, ", \"%s\": %.9g", values[i].key, values[i].value);
        else
            fprintf(j->f, ", \"%s\": null", values[i].key);
    fputs("}\n", j->f);
    return fflush(j->f) || ferror(j->f) ? failed(j, e) : 0;
}

/* "key": number, as metrics_log_write puts them; null and what is no number is passed over. */
static void read_line(const char *line, metrics_log_fn fn, void *user)
{
    long long step;
    if (sscanf(line, "{\"step\": %lld", &step) != 1 || !strchr(line, '\n'))
        return;
    for (const char *p = strchr(line, ','); p; p = strchr(p + 1, ',')) {
        char key[64], *end;
        int n = 0;
        if (sscanf(p, ", \"%63[^\"]\": %n", key, &n) != 1 || !n)
            continue;
        double value = strtod(p + n, &end);
        if (end > p + n && isfinite(value))
            fn(user, step, key, value);
    }
}

int metrics_log_read(const char *path, metrics_log_fn fn, void *user, struct err *e)
{
    FILE *in = fopen(path, "r");
    char *line = NULL;
    size_t capacity = 0;
    if (!in)
        return err_set(e, ERR_NOINPUT, "%s: cannot open: %s", path, strerror(errno));
    while (getline(&line, &capacity, in) > 0)
        read_line(line, fn, user);
    int r = ferror(in) ? err_set(e, ERR_IO, "%s: read failed: %s", path, strerror(errno)) : 0;
    fclose(in);
    free(line);
    return r;
}

int metrics_log_close(struct metrics_log *j, struct err *e)
{
    int r = j->f && fclose(j->f) ? failed(j, e) : 0;
    free(j->path);
    *j = (struct metrics_log){0};
    return r;
}
