/* Says which CUDA device there is, or why there is none and fails: the first step of make check-gpu. */
#include <stdio.h>

#include "op/op.h"

int main(void)
{
    struct op_ctx ctx;
    struct err e = {0};
    size_t available, total;
    if (op_open(&ctx, "cuda", 1, OP_FP32, &e)) {
        fprintf(stderr, "make check-gpu: no GPU to check: %s\n", e.text);
        return 1;
    }
    ctx.ops->memory(&ctx, &available, &total);
    printf("%s, %.1f of %.1f GB free\n", ctx.ops->device_name(&ctx), (double)available / 1e9,
           (double)total / 1e9);
    op_close(&ctx);
    return 0;
}
