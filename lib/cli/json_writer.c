#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/output.h"

void json_begin(struct json *j, FILE *f, int indent)
{
    *j = (struct json){.f = f, .indent = indent, .first = 1};
}

static void new_line(struct json *j)
{
    if (j->indent)
        fprintf(j->f, "\n%*s", j->indent * j->depth, "");
}

/* What stands before a value: the comma, or nothing after a key. */
static void before_value(struct json *j)
{
    if (j->after_key) {
        j->after_key = 0;
        return;
    }
    assert(j->depth == 0 || j->kind[j->depth - 1] == '[');
    if (!j->first)
        putc(',', j->f);
    if (j->depth)
        new_line(j);
    j->first = 0;
}

static void open_level(struct json *j, char kind)
{
    before_value(j);
    assert(j->depth < (int)sizeof j->kind);
    j->kind[j->depth++] = kind;
    putc(kind, j->f);
    j->first = 1;
}

void json_object(struct json *j)
{
    open_level(j, '{');
}

void json_array(struct json *j)
{
    open_level(j, '[');
}

void json_close(struct json *j)
{
    assert(j->depth > 0 && !j->after_key);
    char kind = j->kind[--j->depth];
    if (!j->first)
        new_line(j);
    putc(kind == '{' ? '}' : ']', j->f);
    j->first = 0;
}

/* Length of the valid UTF-8 sequence at s, 0 when there is none. */
static int utf8_length(const unsigned char *s)
{
    int n = s[0] < 0x80                   ? 1
            : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
            : s[0] >= 0xe0 && s[0] < 0xf0 ? 3
            : s[0] >= 0xf0 && s[0] < 0xf5 ? 4
                                          : 0;
    for (int i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    int overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
    int outside = (s[0] == 0xed && s[1] >= 0xa0) || (s[0] == 0xf4 && s[1] >= 0x90);
    return n > 1 && (overlong || outside) ? 0 : n;
}

static void put_string(FILE *f, const char *text)
{
    putc('"', f);
    for (const unsigned char *s = (const unsigned char *)text; *s;) {
        int n = utf8_length(s);
        if (*s == '"' || *s == '\\')
            fprintf(f, "\\%c", *s);
        else if (*s == '\n')
            fputs("\\n", f);
        else if (*s == '\t')
            fputs("\\t", f);
        else if (*s < 0x20 || *s == 0x7f)
            fprintf(f, "\\u%04x", *s);
        else if (n)
            fwrite(s, 1, (size_t)n, f);
        else
            fputs("\\ufffd", f); /* names of files need not be UTF-8, JSON must be */
        s += n ? n : 1;
    }
    putc('"', f);
}

void json_key(struct json *j, const char *key)
{
    assert(j->depth > 0 && j->kind[j->depth - 1] == '{' && !j->after_key);
    if (!j->first)
        putc(',', j->f);
    new_line(j);
    put_string(j->f, key);
    fputs(j->indent ? ": " : ":", j->f);
    j->first = 0;
    j->after_key = 1;
}

void json_text(struct json *j, const char *text)
{
    before_value(j);
    put_string(j->f, text);
}

void json_number(struct json *j, double x)
{
    before_value(j);
    if (!isfinite(x)) {
        fputs("null", j->f);
        return;
    }
    if (fabs(x) < 1e15 && x == (double)(int64_t)x) { /* %g would make 4e+01 of 40 */
        fprintf(j->f, "%" PRId64, (int64_t)x);
        return;
    }
    char text[32];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        if (strtod(text, NULL) == x)
            break;
    }
    fputs(text, j->f);
}

void json_integer(struct json *j, int64_t x)
{
    before_value(j);
    fprintf(j->f, "%" PRId64, x);
}

void json_bool(struct json *j, int x)
{
    before_value(j);
    fputs(x ? "true" : "false", j->f);
}

void json_null(struct json *j)
{
    before_value(j);
    fputs("null", j->f);
}

void json_key_text(struct json *j, const char *key, const char *text)
{
    json_key(j, key);
    json_text(j, text);
}

void json_key_number(struct json *j, const char *key, double x)
{
    json_key(j, key);
    json_number(j, x);
}

void json_key_integer(struct json *j, const char *key, int64_t x)
{
    json_key(j, key);
    json_integer(j, x);
}

void json_key_bool(struct json *j, const char *key, int x)
{
    json_key(j, key);
    json_bool(j, x);
}

void json_end(struct json *j)
{
    while (j->depth)
        json_close(j);
    putc('\n', j->f);
    j->first = 1;
}
