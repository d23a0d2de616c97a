/* Rows that move, are summed or are shared. */
#include "op/cuda/columns.cuh"
#include "op/cuda/ops.cuh"

template <typename T, int V>
static __global__ void __launch_bounds__(WALK_THREADS)
    copy(size_t rows, size_t n, const T *src, size_t lds, T *dst, size_t ldd, int accumulate)
{
    size_t c = walk_column(V);
    for (size_t r = walk_row(); r < (c < n ? rows : 0); r += walk_stride()) {
        float x[V], before[V] = {};
        load_row(src + r * lds + c, x);
        if (accumulate)
            load_row(dst + r * ldd + c, before);
#pragma unroll
        for (int i = 0; i < V; i++)
            x[i] += before[i];
        store_row(dst + r * ldd + c, x);
    }
}

void cuda_copy_rows(struct op_ctx *ctx, size_t rows, size_t n, const act *src, size_t lds, act *dst,
                    size_t ldd, int accumulate)
{
    if (lds == n && ldd == n) { /* without gaps: one row */
        n *= rows;
        rows = 1;
    }
    lds = rows == 1 ? n : lds;
    ldd = rows == 1 ? n : ldd;
    by_act(ctx, [&](auto *type) {
        typedef std::remove_reference_t<decltype(*type)> T;
        by_width<T>(n | lds | ldd | place<T>(src) | place<T>(dst), [&](auto w) {
            constexpr int V = decltype(w)::V;
            struct walk walk = walk_all(ctx, 1, rows, n / V);
            launch(ctx, walk.grid, walk.block, 0, copy<T, V>, rows, n, (const T *)src, lds, (T *)dst, ldd,
                   accumulate);
        });
    });
}

/* Of each frame the sum of rows first .. first + rows - 1, rows counts[b] where there are counts. */
template <typename T, int width> struct frame_sum_row {
    static constexpr int K = 1, V = width;
    size_t T_rows, D, first;
    const int32_t *counts;
    const T *x;

    __device__ __forceinline__ size_t rows(size_t b) const
    {
        return counts ? (size_t)counts[b] : T_rows - first;
    }

    __device__ __forceinline__ void add(size_t b, size_t r, size_t c, float (&sum)[K][V]) const
    {
        float v[V];
        load_row(x + (b * T_rows + first + r) * D + c, v);
#pragma unroll
        for (int i = 0; i < V; i++)
            sum[0][i] += v[i];
    }
};

/* y (B,D) = weight * sum, divided by each frame's number of rows where `mean`. */
template <typename T> struct frame_sum_done {
    size_t rows, D;
    float weight;
    bool mean;
    const int32_t *counts;
    T *y;

    __device__ __forceinline__ void operator()(size_t b, size_t c, const double (&sum)[1]) const
    {
        double n = mean ? (double)(counts ? (size_t)counts[b] : rows) : 1;
        store(y + b * D + c, (float)((double)weight * sum[0] / n));
    }
};

static void frame_sums(struct op_ctx *ctx, size_t B, size_t T_rows, size_t first, size_t D, float weight,
                       bool mean, const int32_t *counts, const act *x, act *y)
{
    by_act(ctx, [&](auto *type) {
        typedef std::remove_reference_t<decltype(*type)> T;
        by_width<T>(D | place<T>(x), [&](auto w) {
            constexpr int V = decltype(w)::V;
            struct walk walk = walk_sums(ctx, B, T_rows - first, D / V);
            struct frame_sum_row<T, V> row = {
                T_rows, D, first, counts, (const T *)x
            };
            struct frame_sum_done<T> done = {
                T_rows - first, D, weight, mean, counts, (T *)y
            };
            float *partial = (float *)cuda_scratch_or_note(ctx, partial_bytes(&walk, B, 1, D));
            if (!partial)
                return;
            launch_sums(ctx, &walk, row, B, D, partial);
            launch_finish<1>(ctx, done, B, walk.grid.y, D, partial);
        });
    });
}

void cuda_mean_tokens(struct op_ctx *ctx, size_t B, size_t T, size_t D, const int32_t *counts,
                      const act *tokens, act *mean)
{
    frame_sums(ctx, B, T, 1, D, 1, true, counts, tokens, mean);
}

void cuda_add_frame_row_backward(struct op_ctx *ctx, size_t B, size_t T, size_t D, float weight,
                                 const act *dx, act *drow)
{
    frame_sums(ctx, B, T, 0, D, weight, false, NULL, dx, drow);
}

/* Rows first .. first + n - 1 of each frame of x (B,T,D) += weight * row (B,D), divided by n where `mean`; n is counts[b],
 * or all there are. */
template <typename T, int V>
static __global__ void __launch_bounds__(WALK_THREADS)
    spread(size_t B, size_t T_rows, size_t D, size_t first, float weight, bool mean, const int32_t *counts,
           const T *row, T *x)
{
    size_t c = walk_column(V);
    for (size_t b = blockIdx.z; b < (c < D ? B : 0); b += gridDim.z) {
        size_t n = counts ? (size_t)counts[b] : T_rows - first;
        float plus[V], v[V];
        load_row(row + b * D + c, plus);
#pragma unroll
        for (int i = 0; i < V; i++)
            plus[i] = weight * plus[i] / (mean ? (float)n : 1.0f);
        for (size_t r = walk_row(); r < n; r += walk_stride()) {
            T *at = x + (b * T_rows + first + r) * D + c;
            load_row(at, v);
#pragma unroll
            for (int i = 0; i < V; i++)
                v[i] += plus[i];
            store_row(at, v);
        }
    }
}

static void spread_rows(struct op_ctx *ctx, size_t B, size_t T_rows, size_t D, size_t first, float weight,
                        bool mean, const int32_t *counts, const act *row, act *x)
{
    by_act(ctx, [&](auto *type) {
        typedef std::remove_reference_t<decltype(*type)> T;
        by_width<T>(D | place<T>(x) | place<T>(row), [&](auto w) {
            constexpr int V = decltype(w)::V;
            struct walk walk = walk_all(ctx, B, T_rows - first, D / V);
            launch(ctx, walk.grid, walk.block, 0, spread<T, V>, B, T_rows, D, first, weight, mean, counts,
                   (const T *)row, (T *)x);
        });
    });
}

void cuda_mean_tokens_backward(struct op_ctx *ctx, size_t B, size_t T, size_t D, const int32_t *counts,
                               const act *dmean, act *dtokens)
{
    spread_rows(ctx, B, T, D, 1, 1, true, counts, dmean, dtokens);
}

void cuda_add_frame_row(struct op_ctx *ctx, size_t B, size_t T, size_t D, float weight, const act *row,
                        act *x)
{
    spread_rows(ctx, B, T, D, 0, weight, false, NULL, row, x);
}

/* A thread: V neighbouring elements of all frames. */
template <typename T, int V>
static __global__ void __launch_bounds__(WALK_THREADS) frames(size_t B, size_t n, const T *x, T *y)
{
    size_t i = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * V, step = (size_t)gridDim.x * blockDim.x * V;
    for (; i < n; i += step) {
        float sum[V] = {};
#pragma unroll 8
        for (size_t b = 0; b < B; b++) {
            float v[V];
            load_row(x + b * n + i, v);
#pragma unroll
            for (int k = 0; k < V; k++)
                sum[k] += v[k];
        }
        store_row(y + i, sum);
    }
}

void cuda_sum_frames(struct op_ctx *ctx, size_t B, size_t n, const act *x, act *y)
{
    by_act(ctx, [&](auto *type) {
        typedef std::remove_reference_t<decltype(*type)> T;
        by_width<T>(n | place<T>(x) | place<T>(y), [&](auto w) {
            constexpr int V = decltype(w)::V;
            launch(ctx, busy_blocks(ctx, n / V, WALK_THREADS, 16), WALK_THREADS, 0, frames<T, V>, B, n,
                   (const T *)x, (T *)y);
        });
    });
}
