/* Backends by name. */
#include <omp.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/parse.h"
#include "op/cuda_library.h"
#include "op/op.h"

static const struct op_table *table_named(const char *device)
{
    static const struct op_table *const tables[] = {&op_cpu, &op_ref};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        if (!strcmp(tables[i]->name, device))
            return tables[i];
    return NULL;
}

static int is_cuda(const char *device)
{
    return !strncmp(device, "cuda", 4) && (!device[4] || device[4] == ':');
}

/* "cuda" or "cuda:N". */
static int open_cuda(struct op_ctx *ctx, const char *device, struct err *e)
{
    int64_t number = 0;
    int count, code = cuda_library_table(&ctx->ops, &count, e);
    if (!code && device[4])
        code = parse_i64(device + 5, 0, 1023, "device", &number, ERR_UNAVAILABLE, e);
    if (!code && number >= count)
        code = err_set(e, ERR_UNAVAILABLE, "there %s %d CUDA device%s, numbered from 0",
                       count == 1 ? "is" : "are", count, count == 1 ? "" : "s");
    ctx->device = (int)number;
    if (code && e)
        return err_set(e, code, "--device %s: %s (--device cpu does without)", device, strdupa(e->text));
    return code;
}

int op_cuda_available(struct err *e)
{
    const struct op_table *table;
    int count;
    return cuda_library_table(&table, &count, e);
}

static int open_named(struct op_ctx *ctx, const char *device, int threads, enum op_precision precision,
                      struct err *e)
{
    memset(ctx, 0, sizeof *ctx);
    int cuda = is_cuda(device), code = 0;
    if (cuda)
        code = open_cuda(ctx, device, e);
    else if (!(ctx->ops = table_named(device)))
        code = err_set(e, ERR_UNAVAILABLE, "%s: no such device (cpu, cuda, cuda:N, auto)", device);
    if (!code && !cuda && precision == OP_TF32)
        code = err_set(e, ERR_UNAVAILABLE, "precision tf32 is a CUDA device's (--precision fp32)");
    ctx->threads = threads > 0 ? threads : omp_get_max_threads();
    ctx->bf16 = precision == OP_BF16 || (precision == OP_PRECISION_AUTO && cuda);
    ctx->tf32 = precision == OP_TF32;
    /* Before open, which may put the table for this machine's instruction set in its place. */
    if (!code)
        code = ctx->ops->open(ctx, e);
    if (code)
        memset(ctx, 0, sizeof *ctx);
    return code;
}

int op_open(struct op_ctx *ctx, const char *device, int threads, enum op_precision precision, struct err *e)
{
    struct err why;
    if (device && strcmp(device, "auto"))
        return open_named(ctx, device, threads, precision, e);
    if (!op_cuda_available(NULL)) {
        if (!open_named(ctx, "cuda", threads, precision, &why))
            return 0;
        log_warning("%s: taking the CPU", why.text); /* too old a GPU, or one that others have filled */
    }
    return open_named(ctx, "cpu", threads, precision, e);
}

int op_precision_named(const char *name)
{
    static const char *const names[] = {
        [OP_FP32] = "fp32", [OP_BF16] = "bf16", [OP_TF32] = "tf32", [OP_PRECISION_AUTO] = "auto"};
    for (int i = 0; name && i < (int)(sizeof names / sizeof *names); i++)
        if (!strcmp(names[i], name))
            return i;
    return name ? -1 : OP_PRECISION_AUTO;
}

int op_is_cuda(const struct op_ctx *ctx)
{
    return !strcmp(ctx->ops->name, "cuda");
}

void op_describe(const struct op_ctx *ctx, char *out, size_t size)
{
    const char *name = ctx->ops->device_name((struct op_ctx *)(uintptr_t)ctx);
    snprintf(out, size, "%s%s%s, %s", op_is_cuda(ctx) ? "" : ctx->ops->name, op_is_cuda(ctx) ? "" : " ", name,
             ctx->bf16   ? "bf16"
             : ctx->tf32 ? "tf32"
                         : "fp32");
}

void op_close(struct op_ctx *ctx)
{
    if (ctx->ops)
        ctx->ops->close(ctx);
    memset(ctx, 0, sizeof *ctx);
}
