#include "io/json_scan.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH = 32 };

static int wrong(struct json_scan *s, const char *what)
{
    if (!s->wrong)
        s->wrong = what;
    return -1;
}

static void space(struct json_scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\r' || *s->at == '\n'))
        s->at++;
}

void scan_begin(struct json_scan *s, const char *text, size_t n)
{
    *s = (struct json_scan){.start = text, .at = text, .end = text + n};
}

int scan_end(struct json_scan *s)
{
    space(s);
    if (!s->wrong && s->at < s->end)
        wrong(s, "text after the value");
    return s->wrong ? -1 : 0;
}

char scan_peek(struct json_scan *s)
{
    space(s);
    return s->at < s->end ? *s->at : 0;
}

int scan_open(struct json_scan *s, char bracket)
{
    if (s->wrong)
        return -1;
    if (scan_peek(s) != bracket)
        return wrong(s, bracket == '{' ? "an object is expected" : "an array is expected");
    if (s->depth >= DEPTH)
        return wrong(s, "nested too deeply");
    s->at++;
    s->depth++;
    return 0;
}

int scan_next(struct json_scan *s, char closing, size_t count)
{
    if (s->wrong)
        return 0;
    char c = scan_peek(s);
    if (c == closing) {
        s->at++;
        s->depth--;
        return 0;
    }
    if (!count)
        return 1;
    if (c != ',') {
        wrong(s, closing == '}' ? "a comma or } is expected" : "a comma or ] is expected");
        return 0;
    }
    s->at++;
    if (scan_peek(s) == closing) {
        wrong(s, "a comma before the end");
        return 0;
    }
    return 1;
}

/* --- strings --- */

static int hex4(struct json_scan *s, unsigned *out)
{
    *out = 0;
    if (s->end - s->at < 4)
        return wrong(s, "a broken \\u escape");
    for (int i = 0; i < 4; i++) {
        char c = *s->at++;
        int v = c >= '0' && c <= '9'                 ? c - '0'
                : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                     : -1;
        if (v < 0)
            return wrong(s, "a broken \\u escape");
        *out = *out * 16 + (unsigned)v;
    }
    return 0;
}

/* After "\u": the code point as UTF-8; the number of bytes, or -1. */
static int unicode(struct json_scan *s, char out[4])
{
    unsigned c, low;
    if (hex4(s, &c))
        return -1;
    if (c >= 0xdc00 && c <= 0xdfff)
        return wrong(s, "half a surrogate pair");
    if (c >= 0xd800 && c <= 0xdbff) {
        if (s->end - s->at < 6 || s->at[0] != '\\' || s->at[1] != 'u')
            return wrong(s, "half a surrogate pair");
        s->at += 2;
        if (hex4(s, &low) || low < 0xdc00 || low > 0xdfff)
            return wrong(s, "half a surrogate pair");
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    if (!c)
        return wrong(s, "a NUL character");
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    int n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char first[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (int i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(first[n] | c);
    return n;
}

/* One escape after the backslash. */
static int escape(struct json_scan *s, char out[4])
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (s->at >= s->end)
        return wrong(s, "an open string");
    char c = *s->at++;
    if (c == 'u')
        return unicode(s, out);
    const char *known = c ? strchr(from, c) : NULL;
    if (!known)
        return wrong(s, "an unknown escape");
    out[0] = to[known - from];
    return 1;
}

int scan_text(struct json_scan *s, char *out, size_t size, int cut)
{
    size_t used = 0;
    int full = 0;
    if (s->wrong)
        return -1;
    if (scan_peek(s) != '"')
        return wrong(s, "a string is expected");
    s->at++;
    for (;;) {
        char piece[4];
        int n = 1;
        if (s->at >= s->end)
            return wrong(s, "an open string");
        piece[0] = *s->at++;
        if (piece[0] == '"')
            break;
        if ((unsigned char)piece[0] < 0x20)
            return wrong(s, "a control character in a string");
        if (piece[0] == '\\' && (n = escape(s, piece)) < 0)
            return -1;
        if (size && used + (size_t)n < size && !full) {
            memcpy(out + used, piece, (size_t)n);
            used += (size_t)n;
        } else if (size) {
            full = 1;
        }
    }
    if (size)
        out[used] = 0;
    return full && !cut ? wrong(s, "a string is too long") : 0;
}

int scan_key(struct json_scan *s, char *out, size_t size)
{
    char c = scan_peek(s);
    if (!s->wrong && c >= '0' && c <= '9') /* 0,5 from a client with another locale */
        return wrong(s, "a name is expected after the comma (decimal commas are not JSON)");
    if (scan_text(s, out, size, 1))
        return -1;
    if (scan_peek(s) != ':')
        return wrong(s, "a colon is expected");
    s->at++;
    return 0;
}

/* --- numbers --- */

static int digits(struct json_scan *s)
{
    int n = 0;
    for (; s->at < s->end && *s->at >= '0' && *s->at <= '9'; s->at++)
        n++;
    return n;
}

/* Up to 15 digits over 10^0..22 is one rounding of exact doubles (Clinger 1990): the same as strtod. */
static int simple(const char *from, const char *to, double *out)
{
    static const double power[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                   1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    uint64_t value = 0;
    int negative = *from == '-', places = 0, point = 0, count = 0;
    for (from += negative; from < to; from++) {
        if (*from == '.') {
            point = 1;
            continue;
        }
        if (*from < '0' || *from > '9' || ++count > 15)
            return 0;
        value = value * 10 + (uint64_t)(*from - '0');
        places += point;
    }
    *out = (double)value / power[places];
    if (negative)
        *out = -*out;
    return 1;
}

int scan_number(struct json_scan *s, double *out)
{
    if (s->wrong)
        return -1;
    space(s);
    const char *from = s->at;
    if (s->at < s->end && *s->at == '-')
        s->at++;
    const char *first = s->at;
    int n = digits(s);
    if (!n)
        return wrong(s, "a number is expected");
    if (n > 1 && *first == '0')
        return wrong(s, "a number with a leading zero");
    if (s->at < s->end && *s->at == '.') {
        s->at++;
        if (!digits(s))
            return wrong(s, "a number that ends in a point");
    }
    if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
        s->at++;
        if (s->at < s->end && (*s->at == '+' || *s->at == '-'))
            s->at++;
        if (!digits(s))
            return wrong(s, "a number without its exponent");
    }
    if (simple(from, s->at, out))
        return 0;
    char copy[512];
    size_t length = (size_t)(s->at - from);
    if (length >= sizeof copy)
        return wrong(s, "a number that is too long");
    memcpy(copy, from, length);
    copy[length] = 0;
    *out = strtod(copy, NULL);
    return isfinite(*out) ? 0 : wrong(s, "a number out of range");
}

static int word(struct json_scan *s, const char *text)
{
    size_t n = strlen(text);
    if ((size_t)(s->end - s->at) < n || memcmp(s->at, text, n))
        return 0;
    s->at += n;
    return 1;
}

int scan_bool(struct json_scan *s, int *out)
{
    if (s->wrong)
        return -1;
    space(s);
    *out = word(s, "true");
    return *out || word(s, "false") ? 0 : wrong(s, "true or false is expected");
}

int scan_skip(struct json_scan *s, const char **from, size_t *n)
{
    double number;
    int truth;
    size_t count = 0;
    char c = scan_peek(s);
    const char *start = s->at;
    if (c == '{') {
        for (scan_open(s, '{'); scan_next(s, '}', count); count++)
            if (scan_key(s, NULL, 0) || scan_skip(s, NULL, NULL))
                break;
    } else if (c == '[') {
        for (scan_open(s, '['); scan_next(s, ']', count); count++)
            if (scan_skip(s, NULL, NULL))
                break;
    } else if (c == '"') {
        scan_text(s, NULL, 0, 1);
    } else if (c == 't' || c == 'f') {
        scan_bool(s, &truth);
    } else if (c == 'n') {
        if (!word(s, "null"))
            wrong(s, "an unknown word");
    } else if (c) {
        scan_number(s, &number);
    } else {
        wrong(s, "a value is missing");
    }
    if (from)
        *from = start;
    if (n)
        *n = (size_t)(s->at - start);
    return s->wrong ? -1 : 0;
}
