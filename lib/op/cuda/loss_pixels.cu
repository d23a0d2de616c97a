/* Losses of pixel by pixel: one pass reads both pictures, adds the gradient and leaves sums. */
#include "op/cuda/ops.cuh"
#include "op/cuda/sums.cuh"

/* d = pred - target: its part of the loss, and the loss's slope there. */
template <enum op_pixel_loss kind> static __device__ __forceinline__ float pixel_loss(float d, float *slope)
{
    if constexpr (kind == OP_LOSS_L1) {
        *slope = (float)((d > 0) - (d < 0));
        return fabsf(d);
    } else if constexpr (kind == OP_LOSS_L2) {
        *slope = 2 * d;
        return d * d;
    } else {
        float root = sqrtf(fmaf(d, d, 1e-6f)); /* eps 1e-3 */
        *slope = d / root;
        return root;
    }
}

template <enum op_pixel_loss kind>
static __global__ void __launch_bounds__(SUM_THREADS)
    loss_pixels(size_t n, float step, const float *pred, const float *target, float *dpred, double *share)
{
    double sum = 0;
#pragma unroll 4
    for (size_t i = blockIdx.x * (size_t)SUM_THREADS + threadIdx.x; i < n;
         i += (size_t)gridDim.x * SUM_THREADS) {
        float slope, x = pixel_loss<kind>(pred[i] - target[i], &slope);
        sum += (double)x;
        if (dpred)
            dpred[i] += step * slope;
    }
    leave_share(sum, share);
}

int cuda_loss_pixels(struct op_ctx *ctx, enum op_pixel_loss kind, size_t n, double weight, const float *pred,
                     const float *target, double *loss, float *dpred, struct err *e)
{
    unsigned blocks = cuda_sum_blocks(ctx, n);
    void *share;
    double sum = 0;
    int r = cuda_scratch(ctx, cuda_shares_size(blocks, 1), &share, e);
    if (r)
        return r;
    launch(ctx, blocks, SUM_THREADS, 0,
           kind == OP_LOSS_L1   ? loss_pixels<OP_LOSS_L1>
           : kind == OP_LOSS_L2 ? loss_pixels<OP_LOSS_L2>
                                : loss_pixels<OP_LOSS_CHARBONNIER>,
           n, (float)(weight / (double)n), pred, target, dpred, (double *)share);
    r = cuda_add_shares(ctx, blocks, 1, (double *)share, &sum, e);
    *loss += weight * sum / (double)n;
    return r;
}
