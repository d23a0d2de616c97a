#include "base/text.h"

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void text_clear(struct text *t)
{
    t->n = 0;
    if (t->at)
        t->at[0] = 0;
}

void text_release(struct text *t)
{
    free(t->at);
    *t = (struct text){0};
}

/* Room for n more bytes and the 0 after them, or NULL. */
static char *room(struct text *t, size_t n)
{
    size_t want;
    if (t->failed || mem_add(t->n, n, &want) || mem_add(want, 1, &want) ||
        mem_grow(&t->at, &t->capacity, want, 1, "a text", NULL)) {
        t->failed = 1;
        return NULL;
    }
    return t->at + t->n;
}

void text_bytes(struct text *t, const void *bytes, size_t n)
{
    char *to = room(t, n);
    if (!to)
        return;
    if (n)
        memcpy(to, bytes, n);
    to[n] = 0;
    t->n += n;
}

void text_add(struct text *t, const char *string)
{
    text_bytes(t, string, strlen(string));
}

void text_printf(struct text *t, const char *fmt, ...)
{
    /* Mostly there is room already, and one pass does. */
    size_t space = t->at && !t->failed ? t->capacity - t->n : 0;
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(space ? t->at + t->n : NULL, space, fmt, args);
    va_end(args);
    if (n >= 0 && (size_t)n < space) {
        t->n += (size_t)n;
        return;
    }
    if (space)
        t->at[t->n] = 0;
    char *to = n < 0 ? NULL : room(t, (size_t)n);
    if (n < 0)
        t->failed = 1;
    if (!to)
        return;
    va_start(args, fmt);
    vsnprintf(to, (size_t)n + 1, fmt, args);
    va_end(args);
    t->n += (size_t)n;
}

/* --- strings --- */

size_t text_utf8(const char *s, size_t n)
{
    const unsigned char *p = (const unsigned char *)s;
    if (!n)
        return 0;
    if (p[0] < 0x80)
        return 1;
    /* The second byte's range keeps out what is too long, the surrogates and what is above U+10FFFF. */
    unsigned low = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
    unsigned high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
    size_t length = p[0] >= 0xc2 && p[0] <= 0xdf   ? 2
                    : (p[0] & 0xf0) == 0xe0        ? 3
                    : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4
                                                   : 0;
    if (!length || n < length || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

static void escape(struct text *t, unsigned char c)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *known = memchr(from, c, sizeof from - 1);
    if (known)
        text_printf(t, "\\%c", to[known - from]);
    else
        text_printf(t, "\\u%04x", c);
}

void text_json_string(struct text *t, const char *string)
{
    size_t left = strlen(string), plain = 0;
    text_add(t, "\"");
    for (const char *s = string; left;) {
        unsigned char c = (unsigned char)s[plain];
        size_t step = plain < left ? text_utf8(s + plain, left - plain) : 0;
        if (step && c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) {
            plain += step;
            continue;
        }
        text_bytes(t, s, plain);
        s += plain;
        left -= plain;
        plain = 0;
        if (!left)
            break;
        if (step)
            escape(t, c);
        else
            text_add(t, "\xef\xbf\xbd");
        s++;
        left--;
    }
    text_add(t, "\"");
}

/* --- numbers --- */

/* Whether v / 10^places reads back as x, by way of a double or directly: a small distance from the halfway points
 * between two floats makes no difference between the two. */
static int reads_back(double v, double power, float x)
{
    double y = v / power;
    return (float)(y * (1 - 4e-16)) == x && (float)(y * (1 + 4e-16)) == x;
}

/* Floats in a middle range, which is all coordinates and most states, without printf: the fewest decimal places that
 * read back. More places never read back worse, so the search may start anywhere. */
static int short_float(struct text *t, float x)
{
    static const double power[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12};
    enum { MOST = 12, USUAL = 8 };
    double size = fabs((double)x);
    if (!(size >= 1e-3 && size < 1e3))
        return 0;
    int places = USUAL;
    while (places > 0 && reads_back(rint(size * power[places - 1]), power[places - 1], (float)size))
        places--;
    while (places <= MOST && !reads_back(rint(size * power[places]), power[places], (float)size))
        places++;
    if (places > MOST)
        return 0;
    char digit[24];
    size_t at = sizeof digit;
    uint64_t v = (uint64_t)rint(size * power[places]);
    for (int i = 0; i < places || v || i == places; i++, v /= 10) {
        if (i == places && places)
            digit[--at] = '.';
        digit[--at] = (char)('0' + v % 10);
    }
    if (x < 0)
        digit[--at] = '-';
    text_bytes(t, digit + at, sizeof digit - at);
    return 1;
}

void text_json_float(struct text *t, float x)
{
    char number[40];
    if (!isfinite(x)) {
        text_add(t, "null");
        return;
    }
    if (short_float(t, x))
        return;
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(number, sizeof number, "%.*g", digits, (double)x);
        if (strtof(number, NULL) == x && (float)strtod(number, NULL) == x)
            break;
    }
    text_add(t, number);
}

void text_json_double(struct text *t, double x)
{
    char number[40];
    if (!isfinite(x)) {
        text_add(t, "null");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(number, sizeof number, "%.*g", digits, x);
        if (strtod(number, NULL) == x)
            break;
    }
    text_add(t, number);
}
