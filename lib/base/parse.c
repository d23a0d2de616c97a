#include "base/parse.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int not_a_number(const char *text, const char *name, const char *kind, int code, struct err *e)
{
    return err_set(e, code, "%s: '%.80s' is not %s", name, text, kind);
}

int parse_i64(const char *text, int64_t low, int64_t high, const char *name, int64_t *out, int code,
              struct err *e)
{
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (end == text || *end || isspace((unsigned char)*text))
        return not_a_number(text, name, "a whole number", code, e);
    if (errno || v < low || v > high)
        return err_set(e, code, "%s: %.80s is outside %lld..%lld", name, text, (long long)low,
                       (long long)high);
    *out = v;
    return 0;
}

int parse_u64(const char *text, uint64_t low, uint64_t high, const char *name, uint64_t *out, int code,
              struct err *e)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (end == text || *end || !isdigit((unsigned char)*text))
        return not_a_number(text, name, "a whole number", code, e);
    if (errno || v < low || v > high)
        return err_set(e, code, "%s: %.80s is outside %llu..%llu", name, text, (unsigned long long)low,
                       (unsigned long long)high);
    *out = v;
    return 0;
}

int parse_f64(const char *text, double low, double high, const char *name, double *out, int code,
              struct err *e)
{
    char *end;
    double v = strtod(text, &end);
    if (end == text || *end || isspace((unsigned char)*text) || strpbrk(text, "xXnNpP"))
        return not_a_number(text, name, "a number", code, e);
    if (!isfinite(v) || v < low || v > high)
        return err_set(e, code, "%s: %.80s is outside %g..%g", name, text, low, high);
    *out = v;
    return 0;
}

int parse_size(const char *text, uint32_t limit, const char *name, uint32_t *w, uint32_t *h, int code,
               struct err *e)
{
    char copy[32];
    const char *x = strchr(text, 'x');
    uint64_t a, b;
    if (!x || (size_t)(x - text) >= sizeof copy)
        return not_a_number(text, name, "a size as WxH", code, e);
    memcpy(copy, text, (size_t)(x - text));
    copy[x - text] = 0;
    int r = parse_u64(copy, 1, limit, name, &a, code, e);
    if (!r)
        r = parse_u64(x + 1, 1, limit, name, &b, code, e);
    if (r)
        return r;
    *w = (uint32_t)a;
    *h = (uint32_t)b;
    return 0;
}

static int edits(const char *a, const char *b)
{
    enum { LONGEST = 96 };
    size_t n = strlen(a), m = strlen(b);
    if (n >= LONGEST || m >= LONGEST)
        return LONGEST;
    int row[LONGEST];
    for (size_t j = 0; j <= m; j++)
        row[j] = (int)j;
    for (size_t i = 1; i <= n; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            int up = row[j], best = diagonal + (a[i - 1] != b[j - 1]);
            if (up + 1 < best)
                best = up + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = up;
            row[j] = best;
        }
    }
    return row[m];
}

const char *parse_nearest(const char *word, const char *const *candidates, int count)
{
    const char *best = NULL;
    int least = 4, half = (int)strlen(word) / 2;
    for (int i = 0; i < count; i++) {
        int d = edits(word, candidates[i]);
        if (d < least && d <= half) {
            least = d;
            best = candidates[i];
        }
    }
    return best;
}
