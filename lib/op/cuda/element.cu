/* Element by element: bound by memory, so four neighbours at a time where pointers allow it. */
#include "op/cuda/number.cuh"
#include "op/cuda/ops.cuh"
#include "op/cuda/philox.cuh"

static constexpr int THREADS = 256;

/* What is done to an element; `two`: it has a second operand. */
struct passed_relu {
    static constexpr bool two = true;
    float factor;
    __device__ float operator()(float y, float dy) const
    {
        return y > 0 ? factor * dy : 0;
    }
};

struct sigmoid_of {
    static constexpr bool two = false;
    __device__ float operator()(float x, float) const
    {
        return 1 / (1 + expf(-x));
    }
};

struct sigmoid_slope {
    static constexpr bool two = true;
    __device__ float operator()(float y, float dy) const
    {
        return dy * y * (1 - y);
    }
};

struct times {
    static constexpr bool two = false;
    float factor;
    __device__ float operator()(float x, float) const
    {
        return factor * x;
    }
};

/* to[i] = f(a[i], b[i]), which may be one of them. Neighbouring threads take neighbouring groups of `each`, the grid strides
 * over the rest; the last n % 4 go one by one. */
template <int each, typename T, typename F>
static __global__ void __launch_bounds__(THREADS) apply(size_t n, const T *a, const T *b, T *to, F f)
{
    size_t first = blockIdx.x * (size_t)THREADS + threadIdx.x, step = (size_t)gridDim.x * THREADS, done = 0;
    if constexpr (each == 4) {
        done = n / 4 * 4;
#pragma unroll 2
        for (size_t i = 4 * first; i < done; i += 4 * step) {
            float4 x = load4(a + i), y = {};
            if constexpr (F::two)
                y = load4(b + i);
            store4(to + i, make_float4(f(x.x, y.x), f(x.y, y.y), f(x.z, y.z), f(x.w, y.w)));
        }
    }
    for (size_t i = done + first; i < n; i += step)
        store(to + i, f(to_float(a[i]), F::two ? to_float(b[i]) : 0.0f));
}

template <typename T, typename F>
static void apply_to(struct op_ctx *ctx, size_t n, const T *a, const T *b, T *to, F f)
{
    bool aligned = !(((uintptr_t)a | (uintptr_t)b | (uintptr_t)to) % (4 * sizeof(T)));
    launch(ctx, busy_blocks(ctx, n, 4 * THREADS, 16), THREADS, 0, aligned ? apply<4, T, F> : apply<1, T, F>,
           n, a, b, to, f);
}

template <typename F>
static void apply_to_acts(struct op_ctx *ctx, size_t n, const act *a, const act *b, act *to, F f)
{
    by_act(ctx, [&](auto *type) {
        using T = std::remove_reference_t<decltype(*type)>;
        apply_to(ctx, n, (const T *)a, (const T *)b, (T *)to, f);
    });
}

void cuda_relu_backward(struct op_ctx *ctx, size_t n, float factor, const act *y, const act *dy, act *dx)
{
    apply_to_acts(ctx, n, y, dy, dx, passed_relu{factor});
}

void cuda_sigmoid(struct op_ctx *ctx, size_t n, const act *x, act *y)
{
    apply_to_acts(ctx, n, x, x, y, sigmoid_of{});
}

void cuda_sigmoid_backward(struct op_ctx *ctx, size_t n, const act *y, const act *dy, act *dx)
{
    apply_to_acts(ctx, n, y, dy, dx, sigmoid_slope{});
}

void cuda_scale(struct op_ctx *ctx, size_t n, float factor, float *x)
{
    apply_to(ctx, n, (const float *)x, (const float *)x, x, times{factor});
}

/* A thread draws one block of Philox and masks its four elements; aligned: with one access each way. */
template <bool aligned, typename T>
static __global__ void __launch_bounds__(THREADS) drop(size_t n, struct dropout_mask mask, const T *x, T *y)
{
    size_t step = (size_t)gridDim.x * THREADS;
    for (size_t block = blockIdx.x * (size_t)THREADS + threadIdx.x; 4 * block < n; block += step) {
        float4 factor = dropout_factors4(mask, block);
        size_t i = 4 * block;
        if (aligned && i + 4 <= n) {
            float4 from = load4(x + i);
            store4(y + i,
                   make_float4(from.x * factor.x, from.y * factor.y, from.z * factor.z, from.w * factor.w));
            continue;
        }
        store(y + i, to_float(x[i]) * factor.x);
        if (i + 1 < n)
            store(y + i + 1, to_float(x[i + 1]) * factor.y);
        if (i + 2 < n)
            store(y + i + 2, to_float(x[i + 2]) * factor.z);
        if (i + 3 < n)
            store(y + i + 3, to_float(x[i + 3]) * factor.w);
    }
}

void cuda_dropout(struct op_ctx *ctx, size_t n, const struct op_dropout *p, const act *x, act *y)
{
    struct dropout_mask mask = dropout_mask_of(p);
    size_t element = ctx->bf16 ? sizeof(bf16) : sizeof(float);
    if (!mask.on) {
        if (x != y && n)
            cuda_note(
                ctx, cudaMemcpyAsync(y, x, n * element, cudaMemcpyDeviceToDevice, cuda_state_of(ctx)->stream),
                "copy");
        return;
    }
    bool aligned = !(((uintptr_t)x | (uintptr_t)y) % (4 * element));
    by_act(ctx, [&](auto *type) {
        using T = std::remove_reference_t<decltype(*type)>;
        launch(ctx, busy_blocks(ctx, n, 4 * THREADS, 16), THREADS, 0,
               aligned ? drop<true, T> : drop<false, T>, n, mask, (const T *)x, (T *)y);
    });
}
