/* A plain matrix product. Shapes that cuBLASLt has no algorithm for are rare and small (odd widths in bf16), so this one is
 * written to be read: 32x32 results a block, steps of 32 in K through shared memory. */
#include "op/cuda/multiply_plain.cuh"
#include "op/cuda/number.cuh"

static constexpr int TILE = 32, THREADS = 256, ROWS_EACH = TILE * TILE / THREADS;

/* Element (r,c) of op(X) lies at r * row + c * column; one of the two is 1. */
struct strides {
    size_t row, column;
};

struct plain_shape {
    size_t M, N, K, ldc, ldd, batch;
    long long stride_a, stride_b, stride_c, stride_d;
    struct strides a, b;
    float alpha, beta;
    bool relu;
};

/* to[r][c] = op(X)(row0 + r, column0 + c), zero outside rows x columns. Neighbouring threads read neighbouring memory. */
template <typename T>
static __device__ void load_tile(float (*to)[TILE + 1], const T *x, struct strides by, size_t row0,
                                 size_t column0, size_t rows, size_t columns)
{
#pragma unroll 2
    for (int i = threadIdx.x; i < TILE * TILE; i += THREADS) {
        int along = i % TILE, across = i / TILE;
        int r = by.column == 1 ? across : along, c = by.column == 1 ? along : across;
        bool inside = row0 + r < rows && column0 + c < columns;
        to[r][c] = inside ? to_float(x[(row0 + r) * by.row + (column0 + c) * by.column]) : 0.0f;
    }
}

/* Thread t holds column t % 32 and rows t / 32 + 8 i of its tile. blockIdx.x counts the tiles of a product row by row. */
template <typename From, typename To>
static __global__ void __launch_bounds__(THREADS)
    multiply_plain(struct plain_shape s, const From *A, const From *B, const float *bias, const To *C, To *D)
{
    __shared__ float a[TILE][TILE + 1], b[TILE][TILE + 1];
    size_t across = (s.N + TILE - 1) / TILE;
    size_t m0 = blockIdx.x / across * TILE, n0 = blockIdx.x % across * TILE;
    int column = threadIdx.x % TILE, row = threadIdx.x / TILE;
    for (size_t at = blockIdx.y; at < s.batch; at += gridDim.y) {
        const From *x = A + (long long)at * s.stride_a, *y = B + (long long)at * s.stride_b;
        float sum[ROWS_EACH] = {};
        for (size_t k0 = 0; k0 < s.K; k0 += TILE) {
            load_tile(a, x, s.a, m0, k0, s.M, s.K);
            load_tile(b, y, s.b, k0, n0, s.K, s.N);
            __syncthreads();
#pragma unroll 8
            for (int k = 0; k < TILE; k++)
#pragma unroll
                for (int i = 0; i < ROWS_EACH; i++)
                    sum[i] = fmaf(a[row + i * (THREADS / TILE)][k], b[k][column], sum[i]);
            __syncthreads();
        }
        size_t n = n0 + column;
        for (int i = 0; i < ROWS_EACH; i++) {
            size_t m = m0 + row + i * (THREADS / TILE);
            if (m >= s.M || n >= s.N)
                continue;
            float d = s.alpha * sum[i];
            if (s.beta != 0)
                d += s.beta * to_float(C[(long long)at * s.stride_c + m * s.ldc + n]);
            if (bias)
                d += bias[n];
            store(D + (long long)at * s.stride_d + m * s.ldd + n, s.relu ? fmaxf(d, 0.0f) : d);
        }
    }
}

template <typename From, typename To>
static void multiply_as(struct op_ctx *ctx, const struct cuda_product *p, const void *A, const void *B,
                        const void *C, void *D)
{
    struct plain_shape s = {};
    s.M = p->M, s.N = p->N, s.K = p->K, s.ldc = p->ldc, s.ldd = p->ldd;
    s.batch = p->batch > 1 ? p->batch : 1;
    if (s.batch > 1)
        s.stride_a = p->stride_a, s.stride_b = p->stride_b, s.stride_c = p->stride_c,
        s.stride_d = p->stride_d;
    s.a = p->a_transposed ? (struct strides){1, p->lda} : (struct strides){p->lda, 1};
    s.b = p->b_transposed ? (struct strides){1, p->ldb} : (struct strides){p->ldb, 1};
    s.alpha = p->alpha, s.beta = p->beta, s.relu = p->relu;
    size_t tiles = (size_t)blocks_for(s.M, TILE) * blocks_for(s.N, TILE);
    launch(ctx, dim3((unsigned)tiles, (unsigned)(s.batch < 65535 ? s.batch : 65535)), THREADS, 0,
           multiply_plain<From, To>, s, (const From *)A, (const From *)B, p->bias, (const To *)C, (To *)D);
}

int cuda_multiply_plain(struct op_ctx *ctx, const struct cuda_product *p, const void *A, const void *B,
                        const void *C, void *D)
{
    if (!ctx->bf16)
        multiply_as<float, float>(ctx, p, A, B, C, D);
    else if (p->d_float)
        multiply_as<bf16, float>(ctx, p, A, B, C, D);
    else
        multiply_as<bf16, bf16>(ctx, p, A, B, C, D);
    return 0;
}
