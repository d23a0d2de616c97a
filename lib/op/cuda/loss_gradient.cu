/* The error of the differences between neighbours. A thread takes a pixel and its differences with all four neighbours, the
 * two behind it only for the gradient, so that each gradient is written once. */
#include "op/cuda/ops.cuh"
#include "op/cuda/sums.cuh"

struct frames {
    size_t B, H, W;
    double by_x, by_y;    /* 1 / differences of each kind */
    float step_x, step_y; /* weight times that */
};

/* The error of the difference between a pixel and the one `step` further. In double: whether it is zero matters. */
static __device__ __forceinline__ double difference(const float *pred, const float *target, size_t step)
{
    return ((double)pred[step] - (double)pred[0]) - ((double)target[step] - (double)target[0]);
}

static __device__ __forceinline__ float sign_of(double x)
{
    return (float)((x > 0) - (x < 0));
}

static __global__ void __launch_bounds__(SUM_THREADS)
    loss_gradient(struct frames f, const float *pred, const float *target, float *dpred, double *share)
{
    double sum = 0;
    size_t n = f.B * f.H * f.W;
    for (size_t i = blockIdx.x * (size_t)SUM_THREADS + threadIdx.x; i < n;
         i += (size_t)gridDim.x * SUM_THREADS) {
        size_t x = i % f.W, y = i / f.W % f.H;
        const float *p = pred + i, *t = target + i;
        float slope = 0;
        if (x + 1 < f.W) {
            double d = difference(p, t, 1);
            sum += fabs(d) * f.by_x;
            slope -= f.step_x * sign_of(d);
        }
        if (y + 1 < f.H) {
            double d = difference(p, t, f.W);
            sum += fabs(d) * f.by_y;
            slope -= f.step_y * sign_of(d);
        }
        if (!dpred)
            continue;
        if (x)
            slope += f.step_x * sign_of(difference(p - 1, t - 1, 1));
        if (y)
            slope += f.step_y * sign_of(difference(p - f.W, t - f.W, f.W));
        dpred[i] += slope;
    }
    leave_share(sum, share);
}

int cuda_loss_gradient(struct op_ctx *ctx, size_t B, size_t H, size_t W, double weight, const float *pred,
                       const float *target, double *loss, float *dpred, struct err *e)
{
    if (H < 2 || W < 2)
        return err_set(e, ERR_DATA, "the gradient loss needs frames of at least 2x2, not %zux%zu", W, H);
    unsigned blocks = cuda_sum_blocks(ctx, B * H * W);
    struct frames f = {B, H, W, 1 / (double)(B * H * (W - 1)), 1 / (double)(B * (H - 1) * W), 0, 0};
    f.step_x = (float)(weight * f.by_x);
    f.step_y = (float)(weight * f.by_y);
    void *share;
    double sum = 0;
    int r = cuda_scratch(ctx, cuda_shares_size(blocks, 1), &share, e);
    if (r)
        return r;
    launch(ctx, blocks, SUM_THREADS, 0, loss_gradient, f, pred, target, dpred, (double *)share);
    r = cuda_add_shares(ctx, blocks, 1, (double *)share, &sum, e);
    *loss += weight * sum;
    return r;
}
