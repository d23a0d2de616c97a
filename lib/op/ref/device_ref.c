/* The reference backend's device is the host. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "op/ref/ref.h"

int ref_open(struct op_ctx *ctx, struct err *e)
{
    if (ctx->bf16)
        return err_set(e, ERR_UNAVAILABLE, "the ref backend computes in fp32 only (--precision fp32)");
    return 0;
}

void ref_close(struct op_ctx *ctx)
{
    (void)ctx;
}

int ref_alloc(struct op_ctx *ctx, void **p, size_t bytes, struct err *e)
{
    (void)ctx;
    return mem_alloc(p, bytes, 1, "device memory", e);
}

void ref_free(struct op_ctx *ctx, void *p)
{
    (void)ctx;
    free(p);
}

void ref_upload(struct op_ctx *ctx, void *device, const void *host, size_t bytes)
{
    (void)ctx;
    memcpy(device, host, bytes);
}

void ref_download(struct op_ctx *ctx, void *host, const void *device, size_t bytes)
{
    (void)ctx;
    memcpy(host, device, bytes);
}

void ref_upload_act(struct op_ctx *ctx, act *device, const float *host, size_t n)
{
    (void)ctx;
    memcpy(device, host, n * sizeof(float));
}

void ref_download_act(struct op_ctx *ctx, float *host, const act *device, size_t n)
{
    (void)ctx;
    memcpy(host, device, n * sizeof(float));
}

void ref_zero(struct op_ctx *ctx, void *p, size_t bytes)
{
    (void)ctx;
    memset(p, 0, bytes);
}

void ref_synchronise(struct op_ctx *ctx)
{
    (void)ctx;
}
