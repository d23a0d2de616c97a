#include "io/json_scan.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

enum { DEPTH = 32 };

static int wrong(struct json_scan *s, const char *what)
{
    if (!s->wrong)
        s->wrong = what;
    return -1;
}

static void space(struct json_scan *s)
{
    while (s->at < s->end && (unsigned char)*s->at <= ' ' &&
           (*s->at == ' ' || *s->at == '\t' || *s->at == '\r' || *s->at == '\n'))
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

/* One character that is not plain ASCII, or an escape, as UTF-8; the number of bytes, or -1. */
static int character(struct json_scan *s, char piece[4])
{
    if (*s->at == '\\') {
        s->at++;
        return escape(s, piece);
    }
    if ((unsigned char)*s->at < 0x20)
        return wrong(s, "a control character in a string");
    size_t n = text_utf8(s->at, (size_t)(s->end - s->at));
    if (!n)
        return wrong(s, "invalid UTF-8 in a string");
    memcpy(piece, s->at, n);
    s->at += n;
    return (int)n;
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
        const char *run = s->at;
        char piece[4];
        while (s->at < s->end && *s->at >= 0x20 && *s->at < 0x7f && *s->at != '"' && *s->at != '\\')
            s->at++;
        size_t n = (size_t)(s->at - run);
        if (!n) {
            if (s->at >= s->end)
                return wrong(s, "an open string");
            if (*s->at == '"')
                break;
            int length = character(s, piece);
            if (length < 0)
                return -1;
            run = piece;
            n = (size_t)length;
        }
        if (size && !full) {
            size_t room = size - 1 - used;
            full = n > room;
            n = !full ? n : run == piece ? 0 : room; /* no character is cut in two */
            memcpy(out + used, run, n);
            used += n;
        }
    }
    s->at++;
    if (size)
        out[used] = 0;
    return full && !cut ? wrong(s, "a string is too long") : 0;
}

int scan_key(struct json_scan *s, char *out, size_t size)
{
    char c = scan_peek(s);
    if (!s->wrong && c >= '0' && c <= '9') /* a client that writes numbers as its user's country does */
        return wrong(s, "a name is expected after the comma; if this is a decimal comma (0,5), write 0.5: "
                        "numbers need the invariant culture");
    if (scan_text(s, out, size, 1))
        return -1;
    if (scan_peek(s) != ':')
        return wrong(s, "a colon is expected");
    s->at++;
    return 0;
}

int scan_name(struct json_scan *s, const char *const *names, int count)
{
    if (scan_peek(s) == '"')
        for (int i = 0; i < count; i++) { /* as it stands in the text, which is how clients write it */
            const char *p = s->at + 1, *name = names[i];
            while (p < s->end && *name && *p == *name) {
                p++;
                name++;
            }
            if (!*name && s->end - p > 1 && p[0] == '"' && p[1] == ':') {
                s->at = p + 2;
                return s->wrong ? -1 : i;
            }
        }
    char key[32];
    int i = 0;
    if (scan_key(s, key, sizeof key))
        return -1;
    while (i < count && strcmp(key, names[i]))
        i++;
    return i;
}

/* --- numbers --- */

/* The digits at s->at into *value; how many. Beyond 19 digits *value is no use. */
static int digits(struct json_scan *s, uint64_t *value)
{
    const char *from = s->at;
    uint64_t v = *value;
    for (; s->at < s->end && *s->at >= '0' && *s->at <= '9'; s->at++)
        v = v * 10 + (uint64_t)(*s->at - '0');
    *value = v;
    return (int)(s->at - from);
}

/* value / 10^places where that is one rounding of exact numbers, so the same as strtod: whole numbers below 2^53 and
 * powers up to 10^22 are exact as doubles (Clinger 1990). With the 64 bits of the x87, up to 19 digits; there the
 * second rounding, to double, is the right one unless the first one ended exactly halfway. */
static inline int simple(uint64_t value, int places, double *out)
{
    static const double power[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                   1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    if (value < (uint64_t)1 << 53) {
        *out = (double)value / power[places];
        return 1;
    }
#if LDBL_MANT_DIG == 64
    union {
        long double x;
        uint64_t mantissa;
    } q = {(long double)value / (long double)power[places]};
    *out = (double)q.x;
    return (q.mantissa & 0x7ff) != 0x400;
#else
    return 0;
#endif
}

static int by_strtod(struct json_scan *s, const char *from, double *out)
{
    char copy[512];
    size_t length = (size_t)(s->at - from);
    if (length >= sizeof copy)
        return wrong(s, "a number that is too long");
    memcpy(copy, from, length);
    copy[length] = 0;
    *out = strtod(copy, NULL);
    return isfinite(*out) ? 0 : wrong(s, "a number out of range");
}

int scan_number(struct json_scan *s, double *out)
{
    if (s->wrong)
        return -1;
    space(s);
    const char *from = s->at;
    int negative = s->at < s->end && *s->at == '-', places = 0, exponent = 0;
    uint64_t value = 0, ignored = 0;
    s->at += negative;
    const char *first = s->at;
    int n = digits(s, &value);
    if (!n)
        return wrong(s, "a number is expected");
    if (n > 1 && *first == '0')
        return wrong(s, "a number with a leading zero");
    if (s->at < s->end && *s->at == '.') {
        s->at++;
        if (!(places = digits(s, &value)))
            return wrong(s, "a number that ends in a point");
    }
    if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
        exponent = 1;
        s->at++;
        if (s->at < s->end && (*s->at == '+' || *s->at == '-'))
            s->at++;
        if (!digits(s, &ignored))
            return wrong(s, "a number without its exponent");
    }
    if (exponent || n + places > 19 || !simple(value, places, out))
        return by_strtod(s, from, out);
    if (negative)
        *out = -*out;
    return 0;
}

/* A number at *at as a client writes most of them: [-]digits[.digits], no leading zeros, no more digits than simple()
 * takes. 0 where it is anything else. */
static inline int usual_number(const char **at, const char *end, double *out)
{
    const char *p = *at, *first, *point = NULL;
    uint64_t value = 0;
    int negative = p < end && *p == '-';
    for (first = p += negative; p < end && *p >= '0' && *p <= '9'; p++)
        value = value * 10 + (uint64_t)(*p - '0');
    size_t whole = (size_t)(p - first), places = 0;
    if (!whole || (whole > 1 && *first == '0'))
        return 0;
    if (p < end && *p == '.') {
        for (point = ++p; p < end && *p >= '0' && *p <= '9'; p++)
            value = value * 10 + (uint64_t)(*p - '0');
        places = (size_t)(p - point);
    }
    if ((point && !places) || whole + places > 19 || (p < end && (*p | 32) == 'e') ||
        !simple(value, (int)places, out))
        return 0;
    if (negative)
        *out = -*out;
    *at = p;
    return 1;
}

int scan_usual(struct json_scan *s, const char *const *lead, int n, double *out)
{
    const char *p = scan_peek(s) ? s->at : s->end, *end = s->end;
    if (s->wrong || s->depth >= DEPTH)
        return 0;
    for (int i = 0; i < n; i++) {
        for (const char *l = lead[i]; *l; l++, p++)
            if (p >= end || *p != *l)
                return 0;
        if (!usual_number(&p, end, &out[i]))
            return 0;
    }
    if (p >= end || *p != '}')
        return 0;
    s->at = p + 1;
    return 1;
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
