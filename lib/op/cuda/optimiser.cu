/* Over the whole parameter array. */
#include <math.h>

#include "op/cuda/number.cuh"
#include "op/cuda/ops.cuh"
#include "op/cuda/parameters.cuh"
#include "op/cuda/sums.cuh"

static constexpr int THREADS = 256;

static __global__ void __launch_bounds__(SUM_THREADS) sum_squares(size_t n, const float *x, double *share)
{
    double sum = 0;
#pragma unroll 4
    for (size_t i = blockIdx.x * (size_t)SUM_THREADS + threadIdx.x; i < n;
         i += (size_t)gridDim.x * SUM_THREADS)
        sum += (double)x[i] * (double)x[i];
    leave_share(sum, share);
}

void cuda_sum_squares(struct op_ctx *ctx, size_t n, const float *x, double *sum)
{
    unsigned blocks = cuda_sum_blocks(ctx, n);
    double *share = (double *)cuda_scratch_or_note(ctx, cuda_shares_size(blocks, 1));
    *sum = n ? NAN : 0;
    if (!share || !n)
        return;
    launch(ctx, blocks, SUM_THREADS, 0, sum_squares, n, x, share);
    cuda_add_shares(ctx, blocks, 1, share, sum, NULL);
}

/* AdamW's numbers for one step, from doubles. */
struct adamw_step {
    float beta1, beta2, rest1, rest2; /* rest: 1 - beta */
    float rate, decay;                /* lr / (1 - beta1^t), lr * weight_decay */
    float unbias;                     /* 1 / sqrt(1 - beta2^t) */
    float eps;
};

static __device__ __forceinline__ void adamw_one(const struct adamw_step &a, float &p, float g, float &m,
                                                 float &v)
{
    m = fmaf(a.beta1, m, a.rest1 * g);
    v = fmaf(a.beta2, v, a.rest2 * g * g);
    /* p - p * decay, not p * (1 - decay): a factor that close to 1 keeps two digits of decay */
    p = fmaf(-a.decay, p, p) - a.rate * m / fmaf(sqrtf(v), a.unbias, a.eps);
}

/* Four parameters a thread: 64 bytes in, 48 out, and the rounded copy on the way (NULL: none). */
static __global__ void __launch_bounds__(THREADS)
    adamw4(size_t n, struct adamw_step a, float *p, const float *g, float *m, float *v, bf16 *copy)
{
    size_t step = 4 * (size_t)gridDim.x * THREADS;
    for (size_t i = 4 * (blockIdx.x * (size_t)THREADS + threadIdx.x); i < n; i += step) {
        float4 w = load4(p + i), d = load4(g + i), first = load4(m + i), second = load4(v + i);
        adamw_one(a, w.x, d.x, first.x, second.x);
        adamw_one(a, w.y, d.y, first.y, second.y);
        adamw_one(a, w.z, d.z, first.z, second.z);
        adamw_one(a, w.w, d.w, first.w, second.w);
        store4(p + i, w);
        store4(m + i, first);
        store4(v + i, second);
        if (copy)
            store4(copy + i, w);
    }
}

/* One parameter a thread: the last n % 4, and arrays that are not aligned. */
static __global__ void __launch_bounds__(THREADS)
    adamw1(size_t n, struct adamw_step a, float *p, const float *g, float *m, float *v, bf16 *copy)
{
    for (size_t i = blockIdx.x * (size_t)THREADS + threadIdx.x; i < n; i += (size_t)gridDim.x * THREADS) {
        float w = p[i], first = m[i], second = v[i];
        adamw_one(a, w, g[i], first, second);
        p[i] = w;
        m[i] = first;
        v[i] = second;
        if (copy)
            store(copy + i, w);
    }
}

void cuda_adamw(struct op_ctx *ctx, const struct op_adamw *o, size_t n, float *p, const float *g, float *m,
                float *v)
{
    struct adamw_step a;
    a.beta1 = (float)o->beta1, a.beta2 = (float)o->beta2;
    a.rest1 = (float)(1 - o->beta1), a.rest2 = (float)(1 - o->beta2);
    a.rate = (float)(o->lr / (1 - pow(o->beta1, (double)o->step)));
    a.decay = (float)(o->lr * o->weight_decay);
    a.unbias = (float)(1 / sqrt(1 - pow(o->beta2, (double)o->step)));
    a.eps = (float)o->eps;
    bf16 *copy = cuda_parameters_copy(ctx, p, n);
    bool aligned = !(((uintptr_t)p | (uintptr_t)g | (uintptr_t)m | (uintptr_t)v) % sizeof(float4) ||
                     (uintptr_t)copy % (4 * sizeof(bf16)));
    size_t fours = aligned ? n / 4 * 4 : 0, rest = n - fours;
    launch(ctx, busy_blocks(ctx, fours / 4, THREADS, 16), THREADS, 0, adamw4, fours, a, p, g, m, v, copy);
    launch(ctx, busy_blocks(ctx, rest, THREADS, 16), THREADS, 0, adamw1, rest, a, p + fours, g + fours,
           m + fours, v + fours, copy ? copy + fours : NULL);
}
