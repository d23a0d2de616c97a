#include "op/cuda/sums.cuh"

#include "op/cuda/ops.cuh"

unsigned cuda_sum_blocks(const struct op_ctx *ctx, size_t n)
{
    return busy_blocks(ctx, n, SUM_THREADS, 8);
}

size_t cuda_shares_size(size_t blocks, size_t sums)
{
    return sums * (blocks + 1) * sizeof(double);
}

/* Block k adds up the shares of sum k. */
static __global__ void __launch_bounds__(SUM_THREADS)
    add_shares(size_t blocks, const double *share, double *total)
{
    double sum = 0;
    for (size_t i = threadIdx.x; i < blocks; i += SUM_THREADS)
        sum += share[blockIdx.x * blocks + i];
    leave_share(sum, total);
}

int cuda_add_shares(struct op_ctx *ctx, size_t blocks, size_t sums, double *share, double *total,
                    struct err *e)
{
    double *device = share + sums * blocks;
    launch(ctx, (unsigned)sums, SUM_THREADS, 0, add_shares, blocks, (const double *)share, device);
    cuda_download(ctx, total, device, sums * sizeof *total);
    return cuda_check(ctx, e);
}
