/* Layer norm over the D columns of each row.
 *
 * Up to 512 columns (256 where they cannot be read 16 bytes at a time) a row lies in the registers of up to a warp, is read once
 * and written once; the gradient's sums over the rows stay in registers too, until each block leaves its own for a second
 * kernel. Wider rows are a block's: read again for each sum, out of the cache. */
#include "op/cuda/columns.cuh"
#include "op/cuda/ops.cuh"

static const float layer_norm_eps = 1e-5f;

/* Threads of a row lie next to each other in a warp, `lanes` of them, a power of two: the sum over them, in all. */
static __device__ __forceinline__ float row_sum(float x, unsigned lanes)
{
    for (unsigned offset = lanes / 2; offset; offset /= 2)
        x += __shfl_xor_sync(ALL_LANES, x, offset);
    return x;
}

/* N vectors of V of one row: the n-th is column (n * lanes + lane) * V; zeros past D, and everywhere unless valid. */
template <typename T, int V, int N>
static __device__ __forceinline__ void load_lane(const T *row, size_t D, bool valid, float (&x)[N][V])
{
#pragma unroll
    for (int n = 0; n < N; n++) {
        size_t d = (size_t)(n * blockDim.x + threadIdx.x) * V;
        if (valid && d < D)
            load_row(row + d, x[n]);
        else
#pragma unroll
            for (int i = 0; i < V; i++)
                x[n][i] = 0;
    }
}

template <int V, int N>
static __device__ __forceinline__ void load_lane_parameters(const float *p, size_t D, float (&x)[N][V])
{
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int i = 0; i < V; i++) {
            size_t d = (size_t)(n * blockDim.x + threadIdx.x) * V + i;
            x[n][i] = d < D ? p[d] : 0;
        }
}

/* threadIdx.x: the lane of a row, threadIdx.y: which of the block's rows. */
template <typename T, int V, int N>
static __global__ void __launch_bounds__(WALK_THREADS)
    norm_rows(size_t rows, size_t D, size_t ldy, const T *__restrict__ x, const float *gamma,
              const float *beta, T *__restrict__ y, float *mean, float *rstd)
{
    float scale[N][V], shift[N][V];
    load_lane_parameters<V, N>(gamma, D, scale);
    load_lane_parameters<V, N>(beta, D, shift);
    /* The whole block goes round as often: its warps meet in the sums. */
    for (size_t base = (size_t)blockIdx.x * blockDim.y; base < rows; base += (size_t)gridDim.x * blockDim.y) {
        size_t r = base + threadIdx.y;
        bool valid = r < rows;
        float v[N][V], sum = 0, square = 0;
        load_lane<T, V, N>(x + (valid ? r : 0) * D, D, valid, v);
#pragma unroll
        for (int n = 0; n < N; n++)
#pragma unroll
            for (int i = 0; i < V; i++)
                sum += v[n][i];
        float m = row_sum(sum, blockDim.x) / (float)D;
#pragma unroll
        for (int n = 0; n < N; n++)
            if ((size_t)(n * blockDim.x + threadIdx.x) * V < D)
#pragma unroll
                for (int i = 0; i < V; i++)
                    square += (v[n][i] - m) * (v[n][i] - m);
        float s = 1 / sqrtf(row_sum(square, blockDim.x) / (float)D + layer_norm_eps);
        if (!valid)
            continue;
#pragma unroll
        for (int n = 0; n < N; n++) {
            size_t d = (size_t)(n * blockDim.x + threadIdx.x) * V;
#pragma unroll
            for (int i = 0; i < V; i++)
                v[n][i] = (v[n][i] - m) * s * scale[n][i] + shift[n][i];
            if (d < D)
                store_row(y + r * ldy + d, v[n]);
        }
        if (!threadIdx.x) {
            mean[r] = m;
            rstd[r] = s;
        }
    }
}

/* A block to a row. */
template <typename T, int V>
static __global__ void __launch_bounds__(WALK_THREADS)
    norm_wide(size_t rows, size_t D, size_t ldy, const T *__restrict__ x, const float *gamma,
              const float *beta, T *__restrict__ y, float *mean, float *rstd)
{
    __shared__ float room[WARP];
    size_t begin = (size_t)threadIdx.x * V, step = (size_t)blockDim.x * V;
    for (size_t r = blockIdx.x; r < rows; r += gridDim.x) {
        const T *row = x + r * D;
        float v[V], sum = 0, square = 0;
        for (size_t d = begin; d < D; d += step) {
            load_row(row + d, v);
#pragma unroll
            for (int i = 0; i < V; i++)
                sum += v[i];
        }
        float m = block_sum(sum, room) / (float)D;
        for (size_t d = begin; d < D; d += step) {
            load_row(row + d, v);
#pragma unroll
            for (int i = 0; i < V; i++)
                square += (v[i] - m) * (v[i] - m);
        }
        float s = 1 / sqrtf(block_sum(square, room) / (float)D + layer_norm_eps);
        for (size_t d = begin; d < D; d += step) {
            load_row(row + d, v);
#pragma unroll
            for (int i = 0; i < V; i++)
                v[i] = (v[i] - m) * s * gamma[d + i] + beta[d + i];
            store_row(y + r * ldy + d, v);
        }
        if (!threadIdx.x) {
            mean[r] = m;
            rstd[r] = s;
        }
    }
}

/* Calls f(width<N>()) with N vectors of V for each of up to 32 lanes that hold D columns, or wide() where none does. */
template <int V, typename F, typename G> static void by_row(size_t D, F f, G wide)
{
    constexpr int few =
        V >= 8 ? 1 : 8 / V; /* 8 columns a lane, 16 of those that are read in vectors of 16 bytes */
    if (D <= (size_t)WARP * V * few)
        return f(width<few>());
    if constexpr (V > 2)
        if (D <= (size_t)WARP * V * few * 2)
            return f(width<few * 2>());
    wide();
}

static dim3 row_block(size_t D, int columns)
{
    unsigned lanes = power_of_two_from((D + (size_t)columns - 1) / (size_t)columns, WARP);
    return dim3(lanes, WALK_THREADS / lanes);
}

void cuda_layer_norm(struct op_ctx *ctx, size_t rows, size_t D, size_t ldy, const act *x, const float *gamma,
                     const float *beta, act *y, float *mean, float *rstd)
{
    ldy = ldy ? ldy : D;
    by_act(ctx, [&](auto *type) {
        typedef std::remove_reference_t<decltype(*type)> T;
        by_width<T>(D | ldy | place<T>(x) | place<T>(y), [&](auto w) {
            constexpr int V = decltype(w)::V;
            auto lanes = [&](auto vectors) {
                constexpr int N = decltype(vectors)::V;
                dim3 block = row_block(D, V * N);
                launch(ctx, busy_blocks(ctx, rows, block.y, 10), block, 0, norm_rows<T, V, N>, rows, D, ldy,
                       (const T *)x, gamma, beta, (T *)y, mean, rstd);
            };
            auto wide = [&] {
                launch(ctx, busy_blocks(ctx, rows, 1, 8), WALK_THREADS, 0, norm_wide<T, V>, rows, D, ldy,
                       (const T *)x, gamma, beta, (T *)y, mean, rstd);
            };
            by_row<V>(D, lanes, wide);
        });
    });
}

/* --- the gradient: with n = (x - mean) rstd and g = dy gamma, dx = rstd (g - (sum g + n sum(g n)) / D) --- */

/* As norm_rows; every thread also adds dy n and dy of its columns over the rows it meets, and the block leaves the sums
 * in partial[block][0: gamma's, 1: beta's][column]. */
template <typename T, int V, int N>
static __global__ void __launch_bounds__(WALK_THREADS)
    gradient_rows(size_t rows, size_t D, size_t lddy, const T *x, const float *gamma, const float *mean,
                  const float *rstd, const T *dy, T *dx, int accumulate, float *partial)
{
    float *room = (float *)shared_memory(); /* [row of the block][2][lanes * N * V] */
    float scale[N][V], dscale[N][V] = {}, dshift[N][V] = {};
    load_lane_parameters<V, N>(gamma, D, scale);
    for (size_t base = (size_t)blockIdx.x * blockDim.y; base < rows; base += (size_t)gridDim.x * blockDim.y) {
        bool valid = base + threadIdx.y < rows;
        size_t r = valid ? base + threadIdx.y : 0;
        float v[N][V], g[N][V], sum = 0, product = 0, m = mean[r], s = rstd[r];
        load_lane<T, V, N>(x + r * D, D, valid, v);
        load_lane<T, V, N>(dy + r * lddy, D, valid, g);
#pragma unroll
        for (int n = 0; n < N; n++)
#pragma unroll
            for (int i = 0; i < V; i++) {
                v[n][i] = (v[n][i] - m) * s;
                dscale[n][i] += g[n][i] * v[n][i];
                dshift[n][i] += g[n][i];
                g[n][i] *= scale[n][i];
                sum += g[n][i];
                product += g[n][i] * v[n][i];
            }
        sum = row_sum(sum, blockDim.x) / (float)D;
        product = row_sum(product, blockDim.x) / (float)D;
        if (!valid)
            continue;
#pragma unroll
        for (int n = 0; n < N; n++) {
            size_t d = (size_t)(n * blockDim.x + threadIdx.x) * V;
            if (d >= D)
                continue;
            float before[V] = {};
            if (accumulate)
                load_row(dx + r * D + d, before);
#pragma unroll
            for (int i = 0; i < V; i++)
                v[n][i] = before[i] + s * (g[n][i] - sum - v[n][i] * product);
            store_row(dx + r * D + d, v[n]);
        }
    }
    unsigned width = blockDim.x * N * V;
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int i = 0; i < V; i++) {
            unsigned at = threadIdx.y * 2 * width + (n * blockDim.x + threadIdx.x) * V + i;
            room[at] = dscale[n][i];
            room[at + width] = dshift[n][i];
        }
    __syncthreads();
    add_threads<2>(room, blockDim.y, width, 0, D, partial + (size_t)blockIdx.x * 2 * D);
}

struct norm_gradient_done {
    float *dgamma, *dbeta;

    __device__ __forceinline__ void operator()(size_t, size_t c, const double (&sum)[2]) const
    {
        dgamma[c] += (float)sum[0];
        dbeta[c] += (float)sum[1];
    }
};

/* A block to a row: dx alone. */
template <typename T, int V>
static __global__ void __launch_bounds__(WALK_THREADS)
    gradient_wide(size_t rows, size_t D, size_t lddy, const T *x, const float *gamma, const float *mean,
                  const float *rstd, const T *dy, T *dx, int accumulate)
{
    __shared__ float room[WARP];
    size_t begin = (size_t)threadIdx.x * V, step = (size_t)blockDim.x * V;
    for (size_t r = blockIdx.x; r < rows; r += gridDim.x) {
        const T *row = x + r * D, *drow = dy + r * lddy;
        float v[V], g[V], sum = 0, product = 0, m = mean[r], s = rstd[r];
        for (size_t d = begin; d < D; d += step) {
            load_row(row + d, v);
            load_row(drow + d, g);
#pragma unroll
            for (int i = 0; i < V; i++) {
                g[i] *= gamma[d + i];
                sum += g[i];
                product += g[i] * ((v[i] - m) * s);
            }
        }
        sum = block_sum(sum, room) / (float)D;
        product = block_sum(product, room) / (float)D;
        for (size_t d = begin; d < D; d += step) {
            float before[V] = {};
            load_row(row + d, v);
            load_row(drow + d, g);
            if (accumulate)
                load_row(dx + r * D + d, before);
#pragma unroll
            for (int i = 0; i < V; i++)
                v[i] = before[i] + s * (g[i] * gamma[d + i] - sum - (v[i] - m) * s * product);
            store_row(dx + r * D + d, v);
        }
    }
}

/* The parameters' sums of wide rows. */
template <typename T, int width> struct norm_gradient_row {
    static constexpr int K = 2, V = width;
    size_t n, D, lddy;
    const float *mean, *rstd;
    const T *x, *dy;

    __device__ __forceinline__ size_t rows(size_t) const
    {
        return n;
    }

    __device__ __forceinline__ void add(size_t, size_t r, size_t c, float (&sum)[K][V]) const
    {
        float v[V], g[V], m = mean[r], s = rstd[r];
        load_row(x + r * D + c, v);
        load_row(dy + r * lddy + c, g);
#pragma unroll
        for (int i = 0; i < V; i++) {
            sum[0][i] += g[i] * ((v[i] - m) * s);
            sum[1][i] += g[i];
        }
    }
};

template <typename T, int V>
static void launch_gradient_wide(struct op_ctx *ctx, size_t rows, size_t D, size_t lddy, const T *x,
                                 const float *gamma, const float *mean, const float *rstd, const T *dy, T *dx,
                                 int accumulate, struct norm_gradient_done done)
{
    struct walk walk = walk_sums(ctx, 1, rows, D / V);
    struct norm_gradient_row<T, V> row = {
        rows, D, lddy, mean, rstd, x, dy
    };
    float *partial = (float *)cuda_scratch_or_note(ctx, partial_bytes(&walk, 1, 2, D));
    if (!partial)
        return;
    launch_sums(ctx, &walk, row, 1, D, partial);
    launch_finish<2>(ctx, done, 1, walk.grid.y, D, partial);
    launch(ctx, busy_blocks(ctx, rows, 1, 8), WALK_THREADS, 0, gradient_wide<T, V>, rows, D, lddy, x, gamma,
           mean, rstd, dy, dx, accumulate);
}

void cuda_layer_norm_backward(struct op_ctx *ctx, size_t rows, size_t D, size_t lddy, const act *x,
                              const float *gamma, const float *mean, const float *rstd, const act *dy,
                              act *dx, int accumulate, float *dgamma, float *dbeta)
{
    lddy = lddy ? lddy : D;
    struct norm_gradient_done done = {dgamma, dbeta};
    by_act(ctx, [&](auto *type) {
        typedef std::remove_reference_t<decltype(*type)> T;
        by_width<T>(D | lddy | place<T>(x) | place<T>(dy) | place<T>(dx), [&](auto w) {
            constexpr int V = decltype(w)::V;
            auto lanes = [&](auto vectors) {
                constexpr int N = decltype(vectors)::V;
                dim3 block = row_block(D, V * N);
                unsigned blocks = busy_blocks(ctx, rows, block.y, 6);
                float *partial = (float *)cuda_scratch_or_note(ctx, (size_t)blocks * 2 * D * sizeof(float));
                if (!partial)
                    return;
                launch(ctx, blocks, block, (size_t)WALK_THREADS * 2 * N * V * sizeof(float),
                       gradient_rows<T, V, N>, rows, D, lddy, (const T *)x, gamma, mean, rstd, (const T *)dy,
                       (T *)dx, accumulate, partial);
                launch_finish<2>(ctx, done, 1, blocks, D, partial);
            };
            auto wide = [&] {
                launch_gradient_wide<T, V>(ctx, rows, D, lddy, (const T *)x, gamma, mean, rstd, (const T *)dy,
                                           (T *)dx, accumulate, done);
            };
            by_row<V>(D, lanes, wide);
        });
    });
}
