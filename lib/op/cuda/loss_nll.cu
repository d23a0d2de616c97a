/* Laplace's negative log likelihood: one pass reads picture, raw scale and target, adds both gradients and leaves sums. */
#include "op/cuda/ops.cuh"
#include "op/cuda/sums.cuh"

static __global__ void __launch_bounds__(SUM_THREADS)
    loss_nll(size_t n, float step, const float *pred, const float *z, const float *target, float *dpred,
             float *dz, double *share)
{
    double sum = 0;
    for (size_t i = blockIdx.x * (size_t)SUM_THREADS + threadIdx.x; i < n;
         i += (size_t)gridDim.x * SUM_THREADS) {
        /* small = exp(-|z|) never overflows; softplus and its slope from it. */
        float d = pred[i] - target[i], x = z[i], small = expf(-fabsf(x));
        float b = fmaxf(x, 0) + log1pf(small) + OP_SCALE_LEAST;
        float slope = (x < 0 ? small : 1) / (1 + small), times = fabsf(d) / b;
        sum += (double)(times + logf(2 * b));
        if (dpred)
            dpred[i] += step * (float)((d > 0) - (d < 0)) / b;
        if (dz)
            dz[i] += step * (1 - times) / b * slope;
    }
    leave_share(sum, share);
}

int cuda_loss_nll(struct op_ctx *ctx, size_t n, double weight, const float *pred, const float *z,
                  const float *target, double *loss, float *dpred, float *dz, struct err *e)
{
    unsigned blocks = cuda_sum_blocks(ctx, n);
    void *share;
    double sum = 0;
    int r = cuda_scratch(ctx, cuda_shares_size(blocks, 1), &share, e);
    if (r)
        return r;
    launch(ctx, blocks, SUM_THREADS, 0, loss_nll, n, (float)(weight / (double)n), pred, z, target, dpred, dz,
           (double *)share);
    r = cuda_add_shares(ctx, blocks, 1, (double *)share, &sum, e);
    *loss += weight * sum / (double)n;
    return r;
}
