/* The reference backend's door; its memory is the host's. */
#include "op/ref/ref.h"

enum { TILE = 1024 };

int ref_open(struct op_ctx *ctx, struct err *e)
{
    ctx->tile_rows = TILE;
    if (ctx->bf16)
        return err_set(e, ERR_UNAVAILABLE, "the ref backend computes in fp32 only (--precision fp32)");
    return 0;
}

void ref_close(struct op_ctx *ctx)
{
    (void)ctx;
}

const char *ref_device_name(struct op_ctx *ctx)
{
    (void)ctx;
    return "the reference backend";
}
