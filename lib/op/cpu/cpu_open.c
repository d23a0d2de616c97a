/* The backend's door: which instruction set, memory, and what every operation shares. */
#include <omp.h>
#include <stdlib.h>

#include "base/mem.h"
#include "op/cpu/cpu.h"

const struct cpu_build *cpu_chosen(void)
{
    static const struct cpu_build base = {"base", &op_cpu_base, probe_base};
#ifdef __x86_64__
    static const struct cpu_build avx2 = {"avx2", &op_cpu_avx2, probe_avx2},
                                  avx512 = {"avx512", &op_cpu_avx512, probe_avx512};
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        return &avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &avx2;
#endif
    return &base;
}

int cpu_open(struct op_ctx *ctx, struct err *e)
{
    enum { TILE = 1024 }; /* rows that stay in the cache from layer to layer */
    struct cpu_state *s;
    ctx->tile_rows = TILE;
    if (ctx->bf16)
        return err_set(e, ERR_UNAVAILABLE, "precision bf16 is not built for the cpu: use --precision fp32");
    if (ctx->threads < 1)
        ctx->threads = omp_get_num_procs();
    int code = mem_alloc(&s, 1, sizeof *s, "the cpu backend", e);
    if (code)
        return code;
    ctx->state = s;
    code = mem_alloc(&s->sums, (size_t)ctx->threads * SUM_KINDS * SUM_COLUMNS, sizeof *s->sums,
                     "partial sums", e);
    if (!code)
        code = onednn_open(&s->onednn, ctx->threads, e);
    if (code) {
        cpu_close(ctx);
        return code;
    }
    ctx->ops = cpu_chosen()->ops;
    return 0;
}

void cpu_close(struct op_ctx *ctx)
{
    struct cpu_state *s = ctx->state;
    if (!s)
        return;
    onednn_close(s->onednn);
    free(s->scratch);
    free(s->sums);
    free(s);
    ctx->state = NULL;
}

int cpu_scratch(struct op_ctx *ctx, size_t n, float **p, struct err *e)
{
    struct cpu_state *s = ctx->state;
    *p = NULL;
    if (n > s->scratch_size) {
        free(s->scratch);
        s->scratch_size = 0;
        int code = mem_alloc(&s->scratch, n, sizeof **p, "scratch memory of the cpu backend", e);
        if (code)
            return code;
        s->scratch_size = n;
    }
    *p = s->scratch;
    return 0;
}

const char *cpu_device_name(struct op_ctx *ctx)
{
    (void)ctx;
    return cpu_chosen()->isa;
}

/* What the caller names; once open, ctx->ops is the table of the machine's instruction set. */
const struct op_table op_cpu = {.name = "cpu", .open = cpu_open, .close = cpu_close};
