#include "op/host_device.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

int host_alloc(struct op_ctx *ctx, void **p, size_t bytes, struct err *e)
{
    (void)ctx;
    return mem_alloc(p, bytes, 1, "memory of the backend", e);
}

void host_free(struct op_ctx *ctx, void *p)
{
    (void)ctx;
    free(p);
}

void host_copy(struct op_ctx *ctx, void *to, const void *from, size_t bytes)
{
    (void)ctx;
    if (bytes)
        memcpy(to, from, bytes);
}

void host_upload_act(struct op_ctx *ctx, act *to, const float *from, size_t n)
{
    host_copy(ctx, to, from, n * sizeof(float));
}

void host_download_act(struct op_ctx *ctx, float *to, const act *from, size_t n)
{
    host_copy(ctx, to, from, n * sizeof(float));
}

void host_to_float(struct op_ctx *ctx, size_t n, const act *x, const float *base, float *y)
{
    const float *from = x;
    if (y != from)
        host_copy(ctx, y, from, n * sizeof(float));
    for (size_t i = 0; base && i < n; i++)
        y[i] += base[i];
}

void host_to_act(struct op_ctx *ctx, size_t n, const float *x, act *y)
{
    host_copy(ctx, y, x, n * sizeof(float));
}

void host_zero(struct op_ctx *ctx, void *p, size_t bytes)
{
    (void)ctx;
    if (bytes)
        memset(p, 0, bytes);
}

void host_synchronise(struct op_ctx *ctx)
{
    (void)ctx;
}

int host_check(struct op_ctx *ctx, struct err *e)
{
    (void)ctx;
    (void)e;
    return 0;
}

/* All of the machine's: what other programs hold may be let go by the time it is asked for. */
void host_memory(struct op_ctx *ctx, size_t *available, size_t *total)
{
    (void)ctx;
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    *total = pages > 0 && size > 0 ? (size_t)pages * (size_t)size : 0;
    *available = *total;
}

int host_parameters_changed(struct op_ctx *ctx, const float *p, size_t n, struct err *e)
{
    (void)ctx;
    (void)p;
    (void)n;
    (void)e;
    return 0;
}
