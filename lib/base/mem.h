/* Memory. Sizes from outside are multiplied with overflow checked and held against a limit before anything is
 * taken. All blocks are 64-byte aligned (a cache line, an AVX-512 register) and freed with free(). */
#ifndef SGAPS_BASE_MEM_H
#define SGAPS_BASE_MEM_H

#include <stddef.h>

#include "base/err.h"

/* *out = zeroed block of count * size bytes (at least one byte); `what` names it in the error. */
int mem_alloc(void *out, size_t count, size_t size, const char *what, struct err *e);

/* Grows *block (a pointer to a pointer, NULL at first) to hold at least `want` elements, keeping its content;
 * *capacity is in elements. New space is not zeroed. Growth is by half, so appending is linear. */
int mem_grow(void *block, size_t *capacity, size_t want, size_t size, const char *what, struct err *e);

/* *out = copy of text, or NULL for NULL. */
int mem_string(char **out, const char *text, struct err *e);

/* a * b and a + b with overflow: return nonzero and leave *out alone when they do not fit. */
int mem_multiply(size_t a, size_t b, size_t *out);
int mem_add(size_t a, size_t b, size_t *out);

/* One block cut into pieces from the front, freed as a whole. Each piece is 64-byte aligned. */
struct arena {
    char *base;
    size_t size, used;
};
int arena_init(struct arena *a, size_t size, const char *what, struct err *e);
/* NULL when the arena is full: its size was computed from the same table, so that is a fault of ours. */
void *arena_take(struct arena *a, size_t count, size_t size);
void arena_clear(struct arena *a);
void arena_release(struct arena *a);

#endif
