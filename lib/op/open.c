/* Backends by name. */
#include <omp.h>
#include <string.h>

#include "op/op.h"

static const struct op_table *table_named(const char *backend)
{
    static const struct op_table *const tables[] = {&op_cpu, &op_ref};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        if (!strcmp(tables[i]->name, backend))
            return tables[i];
    return NULL;
}

int op_open(struct op_ctx *ctx, const char *backend, int threads, int bf16, struct err *e)
{
    memset(ctx, 0, sizeof *ctx);
    const struct op_table *ops = table_named(backend);
    if (!ops && !strncmp(backend, "cuda", 4))
        return err_set(e, ERR_UNAVAILABLE, "%s: built without CUDA (--device cpu)", backend);
    if (!ops)
        return err_set(e, ERR_UNAVAILABLE, "%s: no such device (cpu, ref)", backend);
    ctx->threads = threads > 0 ? threads : omp_get_max_threads();
    ctx->bf16 = bf16;
    /* Before open, which may put the table for this machine's instruction set in its place. */
    ctx->ops = ops;
    int code = ops->open(ctx, e);
    if (code)
        memset(ctx, 0, sizeof *ctx);
    return code;
}

void op_close(struct op_ctx *ctx)
{
    if (ctx->ops)
        ctx->ops->close(ctx);
    memset(ctx, 0, sizeof *ctx);
}
