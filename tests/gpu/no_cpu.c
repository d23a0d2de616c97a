/* In place of lib/op/cpu, for programs built where there is no oneDNN: ref is the processor's backend there. */
#include <string.h>

#include "op/op.h"

static int refuse(struct op_ctx *ctx, struct err *e)
{
    memset(ctx, 0, sizeof *ctx);
    return err_set(e, ERR_UNAVAILABLE, "cpu: this program is built without oneDNN (ref, cuda)");
}

const struct op_table op_cpu = {.name = "cpu", .open = refuse};
