/* Positions and pixels become tokens. */
#include "op/cuda/columns.cuh"
#include "op/cuda/ops.cuh"

/* Features 2k and 2k + 1 of D of a position, sin and cos of one frequency; the first half of them belongs to u, the
 * second to v. The angle is rounded as torch rounds it, and may be some hundreds: sinf and cosf proper, not the fast
 * ones. */
static __device__ __forceinline__ void position_features(float u, float v, const float *freqs, size_t D,
                                                         size_t k, float (&x)[2])
{
    bool second = k >= D / 4;
    float angle = 6.283185307179586f * __ldg(freqs + (second ? k - D / 4 : k)) * (second ? v : u);
    x[0] = sinf(angle);
    x[1] = cosf(angle);
}

/* Two neighbours, in one access where `even`: p is aligned to two elements. */
template <bool even, typename T> static __device__ __forceinline__ void store_pair(T *p, const float (&x)[2])
{
    if constexpr (even)
        store_row(p, x);
    else
        store(p, x[0]), store(p + 1, x[1]);
}

/* A thread: two neighbouring features of some rows. */
template <typename T, bool even>
static __global__ void __launch_bounds__(WALK_THREADS)
    encode(size_t rows, size_t D, const float *uv, const float *freqs, T *y)
{
    size_t c = walk_column(2);
    for (size_t r = walk_row(); r < (c < D ? rows : 0); r += walk_stride()) {
        float x[2];
        position_features(uv[2 * r], uv[2 * r + 1], freqs, D, c / 2, x);
        store_pair<even>(y + r * D + c, x);
    }
}

void cuda_position_encode(struct op_ctx *ctx, size_t rows, size_t D, const float *uv, const float *freqs,
                          act *y)
{
    by_act(ctx, [&](auto *type) {
        typedef std::remove_reference_t<decltype(*type)> T;
        struct walk walk = walk_all(ctx, 1, rows, D / 2);
        launch(ctx, walk.grid, walk.block, 0, place<T>(y) % 2 ? encode<T, false> : encode<T, true>, rows, D,
               uv, freqs, (T *)y);
    });
}

/* A thread: two neighbouring columns of some of a frame's pixels; their weights stay in registers. Frames are the
 * walk's segments. */
template <typename T, bool even>
static __global__ void __launch_bounds__(WALK_THREADS)
    embed(size_t B, size_t N, size_t D, const float *pixels, const int32_t *counts, const float *w,
          const float *bias, const float *freqs, T *tokens)
{
    size_t c = walk_column(2);
    if (c >= D)
        return;
    float factor[6], shift[2];
    load_parameters(w + 3 * c, factor);
    load_parameters(bias + c, shift);
    for (size_t b = blockIdx.z; b < B; b += gridDim.z) {
        size_t valid = counts ? (size_t)counts[b] : N;
        for (size_t n = walk_row(); n < N; n += walk_stride()) {
            const float *pixel = pixels + (b * N + n) * 3;
            float x[2] = {}, u = pixel[0], v = pixel[1], value = pixel[2];
            if (n < valid) {
                position_features(u, v, freqs, D, c / 2, x);
                for (int i = 0; i < 2; i++)
                    x[i] += shift[i] + factor[3 * i] * u + factor[3 * i + 1] * v + factor[3 * i + 2] * value;
            }
            store_pair<even>(tokens + (b * (N + 1) + 1 + n) * D + c, x);
        }
    }
}

void cuda_embed_pixels(struct op_ctx *ctx, size_t B, size_t N, size_t D, const float *pixels,
                       const int32_t *counts, const float *w, const float *bias, const float *freqs,
                       act *tokens)
{
    by_act(ctx, [&](auto *type) {
        typedef std::remove_reference_t<decltype(*type)> T;
        struct walk walk = walk_all(ctx, B, N, D / 2);
        launch(ctx, walk.grid, walk.block, 0, place<T>(tokens) % 2 ? embed<T, false> : embed<T, true>, B, N,
               D, pixels, counts, w, bias, freqs, (T *)tokens);
    });
}

/* The sums of dtokens over a frame's pixels, times u, v, value and 1. */
template <typename T, int width> struct embed_row {
    static constexpr int K = 4, V = width;
    size_t N, D;
    const float *pixels;
    const int32_t *counts;
    const T *dtokens;

    __device__ __forceinline__ size_t rows(size_t b) const
    {
        return counts ? (size_t)counts[b] : N;
    }

    __device__ __forceinline__ void add(size_t b, size_t n, size_t c, float (&sum)[K][V]) const
    {
        const float *pixel = pixels + (b * N + n) * 3;
        float d[V], u = pixel[0], v = pixel[1], value = pixel[2];
        load_row(dtokens + (b * (N + 1) + 1 + n) * D + c, d);
#pragma unroll
        for (int i = 0; i < V; i++) {
            sum[0][i] += d[i] * u;
            sum[1][i] += d[i] * v;
            sum[2][i] += d[i] * value;
            sum[3][i] += d[i];
        }
    }
};

struct embed_done {
    float *dw, *dbias;

    __device__ __forceinline__ void operator()(size_t, size_t c, const double (&sum)[4]) const
    {
        for (int i = 0; i < 3; i++)
            dw[3 * c + i] += (float)sum[i];
        dbias[c] += (float)sum[3];
    }
};

void cuda_embed_pixels_backward(struct op_ctx *ctx, size_t B, size_t N, size_t D, const float *pixels,
                                const int32_t *counts, const act *dtokens, float *dw, float *dbias)
{
    by_act(ctx, [&](auto *type) {
        typedef std::remove_reference_t<decltype(*type)> T;
        by_width<T>(D | place<T>(dtokens), [&](auto w) {
            constexpr int V = decltype(w)::V;
            struct walk walk = walk_sums(ctx, B, N, D / V);
            struct embed_row<T, V> row = {
                N, D, pixels, counts, (const T *)dtokens
            };
            struct embed_done done = {dw, dbias};
            float *partial = (float *)cuda_scratch_or_note(ctx, partial_bytes(&walk, B, 4, D));
            if (!partial)
                return;
            launch_sums(ctx, &walk, row, B, D, partial);
            /* The frames' parts are parts of one sum. */
            launch_finish<4>(ctx, done, 1, (unsigned)B * walk.grid.y, D, partial);
        });
    });
}
