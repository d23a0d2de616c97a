/* A growing text or byte buffer: what messages, JSON and reports are put together in. Appending never fails at once: the
 * first lack of memory is kept in `failed` and everything after it is dropped, so that only the end has to look. */
#ifndef SGAPS_BASE_TEXT_H
#define SGAPS_BASE_TEXT_H

#include <stddef.h>

struct text {
    char *at; /* always ends in a 0 that n does not count; NULL until something was appended; free() */
    size_t n, capacity;
    int failed;
};

void text_clear(struct text *t); /* n = 0, memory kept */
void text_release(struct text *t);
void text_bytes(struct text *t, const void *bytes, size_t n);
void text_add(struct text *t, const char *string);
void text_printf(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A JSON string with its quotes; what is no UTF-8 becomes U+FFFD. */
void text_json_string(struct text *t, const char *string);
/* The shortest decimal that reads back as the same float or double; what is not finite is written as null. */
void text_json_float(struct text *t, float x);
void text_json_double(struct text *t, double x);
/* The bytes (1..4) of the UTF-8 character at s, which has n; 0 when there is none that is sound. */
size_t text_utf8(const char *s, size_t n);

#endif
