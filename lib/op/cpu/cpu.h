/* Private to the room. The operations are written once, in the .inc files, and compiled once for each instruction set
 * (cpu_avx512.c, cpu_avx2.c, cpu_base.c): op_cpu.open picks the table this machine can run and puts it into ctx->ops. */
#ifndef SGAPS_OP_CPU_CPU_H
#define SGAPS_OP_CPU_CPU_H

#include "op/cpu/onednn.h"
#include "op/host_device.h"
#include "op/op.h"

/* Sums over rows are taken in blocks of at most this many columns, so that partial sums fit what open has taken. */
enum { SUM_COLUMNS = 512, SUM_KINDS = 4 };

struct cpu_state {
    struct onednn *onednn;
    float *scratch;
    size_t scratch_size; /* floats */
    double *sums;        /* (threads, SUM_KINDS, SUM_COLUMNS) */
};

/* *p = at least n floats, 64-byte aligned, not zeroed, valid until the next call of an operation. */
int cpu_scratch(struct op_ctx *ctx, size_t n, float **p, struct err *e);

int cpu_open(struct op_ctx *ctx, struct err *e);
void cpu_close(struct op_ctx *ctx);
const char *cpu_device_name(struct op_ctx *ctx);

/* What each of the three units gives: its table, and its probe for cpu_probe.c. */
struct cpu_build {
    const char *isa;
    const struct op_table *ops;
    float (*probe)(size_t rounds, double *flops);
};
const struct cpu_build *cpu_chosen(void); /* for this machine */

extern const struct op_table op_cpu_base;
float probe_base(size_t rounds, double *flops);
#ifdef __x86_64__
extern const struct op_table op_cpu_avx2, op_cpu_avx512;
float probe_avx2(size_t rounds, double *flops);
float probe_avx512(size_t rounds, double *flops);
#endif

#endif
