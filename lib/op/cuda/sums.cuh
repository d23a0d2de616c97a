/* Sums over an array with the result on the host: each block leaves its share, the same for every run of the same grid, and
 * one block adds the shares up in order. */
#ifndef SGAPS_OP_CUDA_SUMS_CUH
#define SGAPS_OP_CUDA_SUMS_CUH

#include "op/cuda/number.cuh"

static constexpr int SUM_THREADS = 256;

/* Blocks of SUM_THREADS for n terms that a grid strides over. */
unsigned cuda_sum_blocks(const struct op_ctx *ctx, size_t n);

/* What a kernel ends with: share[blockIdx.x] = the sum of x over the block's threads. Every thread calls it. */
static __device__ __forceinline__ void leave_share(double x, double *share)
{
    __shared__ double room[WARP];
    x = block_sum(x, room);
    if (!threadIdx.x)
        share[blockIdx.x] = x;
}

/* Bytes of scratch memory for `sums` sums of `blocks` shares each, and their totals. */
size_t cuda_shares_size(size_t blocks, size_t sums);
/* total[k] (host) = the sum of share[k * blocks ...], k < sums <= 2; share is of the size above. Waits. */
int cuda_add_shares(struct op_ctx *ctx, size_t blocks, size_t sums, double *share, double *total,
                    struct err *e);

#endif
