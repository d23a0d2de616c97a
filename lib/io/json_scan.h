/* A strict JSON reader that goes over the text once and builds nothing: for messages, whose arrays are long. Refuses what
 * RFC 8259 does: leading zeros, hex, NaN, single quotes, trailing commas, control characters in strings, what is no
 * UTF-8 in strings, broken escapes, nesting deeper than 32. Private to lib/io. */
#ifndef SGAPS_IO_JSON_SCAN_H
#define SGAPS_IO_JSON_SCAN_H

#include <stddef.h>

struct json_scan {
    const char *start, *at, *end;
    int depth;
    const char *wrong; /* what went wrong first, a constant; NULL: nothing yet */
};

void scan_begin(struct json_scan *s, const char *text, size_t n);
/* Everything after a value must be white space. 0 when so and nothing went wrong before. */
int scan_end(struct json_scan *s);

/* The first character of the next value: one of { [ " t f n - 0..9, or 0. */
char scan_peek(struct json_scan *s);

/* if (!scan_open(s, '{')) while (scan_next(s, '}', first)) { scan_key(...); value; }: see message.c. */
int scan_open(struct json_scan *s, char bracket); /* 0, or -1 */
/* 1: another member follows (the comma is taken); 0: closed, or something went wrong. count: members so far. */
int scan_next(struct json_scan *s, char closing, size_t count);
/* A string, its escapes decoded, into out (size with its end; longer text is cut when cut, else wrong). -1: wrong. */
int scan_text(struct json_scan *s, char *out, size_t size, int cut);
/* A member's name and its colon; a name longer than size is cut, so it equals none that is known. */
int scan_key(struct json_scan *s, char *out, size_t size);
/* The same, and which of names (each shorter than 32) it is: count when none, -1 when something is wrong. */
int scan_name(struct json_scan *s, const char *const *names, int count);
int scan_number(struct json_scan *s, double *out);
/* An object of n numbers exactly as most clients write it, lead[0] number lead[1] number ... }, without spaces: 1 and the
 * numbers in out, or 0 and nothing is taken (the calls above then say what it is). */
int scan_usual(struct json_scan *s, const char *const *lead, int n, double *out);
int scan_bool(struct json_scan *s, int *out);
/* Any value; *from, *n (may be NULL): where it stood. */
int scan_skip(struct json_scan *s, const char **from, size_t *n);

#endif
