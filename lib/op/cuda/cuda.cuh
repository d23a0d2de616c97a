/* What every operation of the cuda backend shares: the device's state, launches, failures, scratch memory.
 *
 * One stream: operations run in the order they are called in, and what they write is there for the next. An operation
 * that returns an error returns it at once when it can be known at once (a size, memory); what a launch meets is noted in
 * the state and returned by op_table.check. No operation uses floating-point atomics: the same numbers give the same bits.
 *
 * The files of this room are also compiled for the CPU, against tests/cuda/emulator in place of the CUDA headers, so that
 * every kernel runs in the tests of a machine without a GPU. That is why they keep to what those headers declare: launch()
 * and not <<<>>>, shared_memory() and not extern __shared__, assembly in ptx.cuh only. */
#ifndef SGAPS_OP_CUDA_CUDA_CUH
#define SGAPS_OP_CUDA_CUDA_CUH

#include <cublasLt.h>
#include <cuda_bf16.h>
#include <cuda_runtime.h>

extern "C" {
#include "op/op.h"
}

typedef __nv_bfloat16 bf16;

struct cuda_linear_plans; /* linear.cu: descriptors and algorithms by shape */
struct cuda_mirrors;      /* parameters.cu: bf16 copies of parameter blocks */

struct cuda_state {
    cudaStream_t stream;
    cublasLtHandle_t blas;
    int multiprocessors;
    size_t shared_max; /* bytes of shared memory a block may ask for */
    char name[128];
    void *scratch;
    size_t scratch_size;
    int recording;
    int recordings;               /* there are: their memory must stay */
    struct cuda_retired *retired; /* scratch memory that was outgrown meanwhile */
    struct err failure;           /* the first; code 0: none */
    /* Uploads are lined up in two pinned buffers in turn, so that the host waits for the device only when it is a whole buffer
     * ahead: `staged` is when the last copy from a buffer is done that was left for the other. */
    char *staging[2];
    cudaEvent_t staged[2];
    int staging_now;
    size_t staging_used;
    struct cuda_linear_plans *plans;
    struct cuda_mirrors *mirrors;
};

static inline struct cuda_state *cuda_state_of(const struct op_ctx *ctx)
{
    return (struct cuda_state *)ctx->state;
}

/* Makes the context's device the calling thread's, which is the runtime's idea of where things happen. Everything that
 * moves memory, waits or launches begins with it: a context may be opened in one thread and used in another, one at a time,
 * without more ado. */
void cuda_use(const struct op_ctx *ctx);
/* Scratch memory that a recording may still use: freed with the last recording. */
void cuda_release_retired(struct op_ctx *ctx);
/* Lets blocks of the kernel have so many bytes of dynamic shared memory on the context's device; for launch(). What was
 * allowed once stays: a recording's launches, and those of other threads, rely on it. */
void cuda_allow_shared(struct op_ctx *ctx, const void *kernel, size_t bytes);

/* 0, or the error code with "what: the runtime's reason" in e. */
int cuda_try(cudaError_t status, const char *what, struct err *e);
/* For operations that return nothing: keeps the first failure for op_table.check. */
void cuda_note(struct op_ctx *ctx, cudaError_t status, const char *what);

/* *p = at least n bytes of the device, 256-byte aligned, not zeroed, valid until the next operation asks. */
int cuda_scratch(struct op_ctx *ctx, size_t n, void **p, struct err *e);
/* The same for operations that return nothing: NULL when there is none, which has been noted; the operation gives up. */
void *cuda_scratch_or_note(struct op_ctx *ctx, size_t n);

/* Runs kernel(args...) on the context's stream. shared: dynamic shared memory of a block in bytes, which the kernel gets
 * from shared_memory(). A grid of no blocks launches nothing. */
template <typename... P, typename... A>
static inline void launch(struct op_ctx *ctx, dim3 grid, dim3 block, size_t shared, void (*kernel)(P...),
                          A... args)
{
    if (!grid.x || !grid.y || !grid.z)
        return;
    cuda_use(ctx);
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared;
    config.stream = cuda_state_of(ctx)->stream;
    /* Without asking a block has 48 KB, its static shared memory included. */
    if (shared > 32 * 1024)
        cuda_allow_shared(ctx, (const void *)kernel, shared);
    cuda_note(ctx, cudaLaunchKernelEx(&config, kernel, P(args)...), "launch");
}

/* ceil(n / d) */
static inline unsigned blocks_for(size_t n, size_t d)
{
    return (unsigned)((n + d - 1) / d);
}

/* Blocks for n things, d to a block, but no more than `each` for every multiprocessor: as many as keep the device busy, for
 * kernels that stride over the rest. */
static inline unsigned busy_blocks(const struct op_ctx *ctx, size_t n, size_t d, size_t each)
{
    size_t all = (n + d - 1) / d, busy = (size_t)cuda_state_of(ctx)->multiprocessors * each;
    return (unsigned)(all < busy ? all : busy);
}

/* Calls f with a null pointer of the activations' type: by_act(ctx, [&](auto *type) { ... T = decltype(*type) ... }). */
template <typename F> static inline void by_act(const struct op_ctx *ctx, F f)
{
    if (ctx->bf16)
        f((bf16 *)0);
    else
        f((float *)0);
}

#endif
