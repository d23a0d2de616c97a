/* The error at sampled positions. Two samples of a frame may fall on one pixel; the first of them adds what all of them bring,
 * so that no two threads write to one place and the sum has one order. */
#include "op/cuda/ops.cuh"
#include "op/cuda/sums.cuh"

struct samples {
    size_t B, N, pixels;
    const float *pred;
    const int32_t *index;
    const float *value;
    const uint8_t *select;
};

static __device__ __forceinline__ double error_at(const struct samples &s, size_t i)
{
    return (double)s.pred[i / s.N * s.pixels + s.index[i]] - (double)s.value[i];
}

/* Shares of the squared errors, and behind them (gridDim.x further) of how many samples count. */
static __global__ void __launch_bounds__(SUM_THREADS) sampled_errors(struct samples s, double *share)
{
    double sum = 0, selected = 0;
    for (size_t i = blockIdx.x * (size_t)SUM_THREADS + threadIdx.x; i < s.B * s.N;
         i += (size_t)gridDim.x * SUM_THREADS)
        if (s.select[i]) {
            double d = error_at(s, i);
            sum += d * d;
            selected += 1;
        }
    leave_share(sum, share);
    leave_share(selected, share + gridDim.x);
}

/* A warp for each sample: its lanes look through the frame's other samples for those on the same pixel. */
static __global__ void __launch_bounds__(SUM_THREADS)
    sampled_gradient(struct samples s, double step, float *dpred)
{
    size_t i = blockIdx.x * (size_t)(SUM_THREADS / WARP) + threadIdx.x / WARP;
    if (i >= s.B * s.N || !s.select[i])
        return; /* the whole warp */
    size_t first = i / s.N * s.N, lane = threadIdx.x % WARP;
    int32_t pixel = s.index[i];
    bool earlier = false;
    double sum = 0;
    for (size_t k = first + lane; k < first + s.N; k += WARP)
        if (s.index[k] == pixel && s.select[k]) {
            earlier |= k < i;
            sum += error_at(s, k);
        }
    sum = warp_sum(sum);
    if (!__any_sync(ALL_LANES, earlier) && !lane)
        dpred[i / s.N * s.pixels + pixel] += (float)(step * sum);
}

int cuda_loss_sampled(struct op_ctx *ctx, size_t B, size_t N, size_t pixels, double weight, const float *pred,
                      const int32_t *index, const float *value, const uint8_t *select, double *loss,
                      float *dpred, struct err *e)
{
    struct samples s = {B, N, pixels, pred, index, value, select};
    unsigned blocks = cuda_sum_blocks(ctx, B * N);
    void *share;
    double total[2] = {0, 0}; /* squared errors, samples */
    int r = cuda_scratch(ctx, cuda_shares_size(blocks, 2), &share, e);
    if (r)
        return r;
    launch(ctx, blocks, SUM_THREADS, 0, sampled_errors, s, (double *)share);
    r = cuda_add_shares(ctx, blocks, 2, (double *)share, total, e);
    if (r)
        return r;
    if (!(total[1] > 0))
        return err_set(e, ERR_DATA, "a loss over samples needs at least one sample");
    if (dpred)
        launch(ctx, blocks_for(B * N, SUM_THREADS / WARP), SUM_THREADS, 0, sampled_gradient, s,
               2 * weight / total[1], dpred);
    *loss += weight * total[0] / total[1];
    return 0;
}
