#include "base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64 };

int mem_multiply(size_t a, size_t b, size_t *out)
{
    return __builtin_mul_overflow(a, b, out);
}

int mem_add(size_t a, size_t b, size_t *out)
{
    return __builtin_add_overflow(a, b, out);
}

static int round_up(size_t bytes, size_t *out)
{
    if (mem_add(bytes ? bytes : 1, ALIGN - 1, out))
        return -1;
    *out &= ~(size_t)(ALIGN - 1);
    return 0;
}

int mem_alloc(void *out, size_t count, size_t size, const char *what, struct err *e)
{
    size_t bytes, padded;
    *(void **)out = NULL;
    if (mem_multiply(count, size, &bytes) || round_up(bytes, &padded) || padded > PTRDIFF_MAX)
        return err_set(e, ERR_INTERNAL, "%s: %zu elements of %zu bytes do not fit in memory", what, count,
                       size);
    void *p = aligned_alloc(ALIGN, padded);
    if (!p)
        return err_memory(e, what, padded);
    memset(p, 0, padded);
    *(void **)out = p;
    return 0;
}

int mem_grow(void *block, size_t *capacity, size_t want, size_t size, const char *what, struct err *e)
{
    if (want <= *capacity)
        return 0;
    size_t more = *capacity + *capacity / 2, bytes, padded;
    if (more < want)
        more = want;
    if (mem_multiply(more, size, &bytes) || round_up(bytes, &padded) || padded > PTRDIFF_MAX)
        return err_set(e, ERR_INTERNAL, "%s: %zu elements of %zu bytes do not fit in memory", what, want,
                       size);
    void *p = aligned_alloc(ALIGN, padded), *old = *(void **)block;
    if (!p)
        return err_memory(e, what, padded);
    if (old)
        memcpy(p, old, *capacity * size);
    free(old);
    *(void **)block = p;
    *capacity = padded / size;
    return 0;
}

int mem_string(char **out, const char *text, struct err *e)
{
    *out = NULL;
    if (!text)
        return 0;
    size_t n = strlen(text) + 1;
    char *copy = malloc(n);
    if (!copy)
        return err_memory(e, "a string", n);
    memcpy(copy, text, n);
    *out = copy;
    return 0;
}

int arena_init(struct arena *a, size_t size, const char *what, struct err *e)
{
    a->used = 0;
    a->size = size;
    return mem_alloc(&a->base, size, 1, what, e);
}

void *arena_take(struct arena *a, size_t count, size_t size)
{
    size_t bytes, padded;
    if (mem_multiply(count, size, &bytes) || round_up(bytes, &padded) || padded > a->size - a->used)
        return NULL;
    void *p = a->base + a->used;
    a->used += padded;
    return p;
}

void arena_clear(struct arena *a)
{
    a->used = 0;
}

void arena_release(struct arena *a)
{
    free(a->base);
    memset(a, 0, sizeof *a);
}
