/* The linear layer: its products go to cuBLASLt with what its epilogues can carry (bias, ReLU, a sum with the residual);
 * one pass over the rows adds what they cannot. */
#include "op/cuda/linear.cuh"

#include "op/cuda/column_sums.cuh"
#include "op/cuda/number.cuh"
#include "op/cuda/ops.cuh"
#include "op/cuda/parameters.cuh"
#include "op/cuda/philox.cuh"

static constexpr int THREADS = 256;
static constexpr size_t SHARED_ROWS =
    256; /* a residual shared in shorter pieces makes products too small for the device */
static constexpr size_t SPLIT_ROWS =
    1024; /* a weight gradient is cut into pieces of at least this many rows, */
static constexpr size_t SPLIT_MULTIPLE = 8; /* and of a multiple of these, so that they stay aligned */
static constexpr size_t SPLIT_TILE = 128;   /* a block's share of its results, each way */

static size_t or_else(size_t given, size_t otherwise)
{
    return given ? given : otherwise;
}

static size_t act_size(const struct op_ctx *ctx)
{
    return ctx->bf16 ? sizeof(bf16) : sizeof(float);
}

static const void *act_at(const struct op_ctx *ctx, const void *x, size_t i)
{
    return (const char *)x + i * act_size(ctx);
}

static void *act_at(const struct op_ctx *ctx, void *x, size_t i)
{
    return (char *)x + i * act_size(ctx);
}

/* y row m = mask * x row m + residual row m % cycle, where there is a mask, where there is a residual. A warp takes a row, its
 * lanes `each` neighbours at a time: four, and they share a block of Philox; or one. */
template <int each, typename T>
static __global__ void __launch_bounds__(THREADS)
    finish_rows(size_t rows, size_t columns, struct dropout_mask mask, const T *x, size_t ldx,
                const T *residual, size_t ldr, size_t cycle, T *y, size_t ldy)
{
    int lane = threadIdx.x % WARP;
    size_t warps = (size_t)gridDim.x * (THREADS / WARP);
    for (size_t m = blockIdx.x * (size_t)(THREADS / WARP) + threadIdx.x / WARP; m < rows; m += warps) {
        const T *from = x + m * ldx, *r = residual ? residual + m % cycle * ldr : NULL;
        T *to = y + m * ldy;
        for (size_t n = (size_t)lane * each; n < columns; n += WARP * each)
            if constexpr (each == 4) {
                float4 a = load4(from + n), b = r ? load4(r + n) : make_float4(0, 0, 0, 0);
                if (mask.on) {
                    float4 factor = dropout_factors4(mask, (m * columns + n) / 4);
                    a = make_float4(a.x * factor.x, a.y * factor.y, a.z * factor.z, a.w * factor.w);
                }
                store4(to + n, make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w));
            } else {
                float factor = mask.on ? dropout_factor(mask, m * columns + n) : 1.0f;
                store(to + n, to_float(from[n]) * factor + (r ? to_float(r[n]) : 0.0f));
            }
    }
}

static void finish(struct op_ctx *ctx, const struct op_linear *p, const act *x, size_t ldx, size_t ldr,
                   size_t cycle, act *y, size_t ldy)
{
    size_t four = 4 * act_size(ctx);
    bool aligned = !(p->N % 4 || ldx % 4 || ldr % 4 || ldy % 4 ||
                     ((uintptr_t)x | (uintptr_t)p->residual | (uintptr_t)y) % four);
    unsigned grid = busy_blocks(ctx, p->M, THREADS / WARP, 16);
    struct dropout_mask mask = dropout_mask_of(&p->dropout);
    by_act(ctx, [&](auto *type) {
        using T = std::remove_reference_t<decltype(*type)>;
        launch(ctx, grid, THREADS, 0, aligned ? finish_rows<4, T> : finish_rows<1, T>, p->M, p->N, mask,
               (const T *)x, ldx, (const T *)p->residual, ldr, cycle, (T *)y, ldy);
    });
}

/* X W^T with bias and ReLU, on to the residual where C is given. */
static struct cuda_product forward_product(const struct op_linear *p, size_t ldy)
{
    struct cuda_product y = {};
    y.M = p->M, y.N = p->N, y.K = p->K;
    y.lda = or_else(p->ldx, p->K), y.ldb = p->K, y.ldd = ldy;
    y.b_transposed = true;
    y.bias = p->bias, y.relu = p->relu;
    y.alpha = 1;
    return y;
}

/* Each frame's rows as one product of a batch, all on to the same residual; the rows of a part of a frame follow. */
static int multiply_frames(struct op_ctx *ctx, struct cuda_product y, size_t cycle, const act *x,
                           const void *w, const act *residual, act *to, struct err *e)
{
    size_t M = y.M, frames = M / cycle, rest = M % cycle;
    y.M = cycle;
    y.batch = frames;
    y.stride_a = (long long)(cycle * y.lda);
    y.stride_d = (long long)(cycle * y.ldd);
    int r = cuda_multiply(ctx, &y, x, w, residual, to, e);
    y.M = rest;
    y.batch = 1;
    return r || !rest ? r
                      : cuda_multiply(ctx, &y, act_at(ctx, x, frames * cycle * y.lda), w, residual,
                                      act_at(ctx, to, frames * cycle * y.ldd), e);
}

int cuda_linear(struct op_ctx *ctx, const struct op_linear *p, const act *x, act *y, struct err *e)
{
    size_t ldy = or_else(p->ldy, p->N), ldr = or_else(p->ldr, p->N), cycle = or_else(p->residual_rows, p->M);
    const act *residual = p->residual;
    const void *w = p->w;
    if (!p->M)
        return 0;
    cycle = cycle < p->M ? cycle : p->M;
    /* an epilogue's sum comes before ReLU, the residual's after; dropout needs a pass of its own */
    bool drop = p->dropout.p > 0;
    bool in_product = residual && !p->relu && !drop && (residual != y || (ldr == ldy && cycle == p->M)) &&
                      (cycle == p->M || cycle >= SHARED_ROWS);
    /* a residual that the product would overwrite */
    bool aside = residual == y && residual && !in_product;
    size_t rounded = ctx->bf16 && !cuda_parameters_mirrored(ctx, p->w, p->N * p->K) ? p->N * p->K : 0;
    size_t room_w = (rounded * sizeof(bf16) + 255) / 256 * 256;
    void *room = NULL;
    if (rounded || aside) {
        int r = cuda_scratch(ctx, room_w + (aside ? p->M * p->N * act_size(ctx) : 0), &room, e);
        if (r)
            return r;
    }
    if (ctx->bf16)
        w = cuda_parameters_bf16(ctx, p->w, p->N * p->K, (bf16 *)room);
    act *product = aside ? (act *)((char *)room + room_w) : y;
    struct cuda_product form = forward_product(p, aside ? p->N : ldy);
    if (in_product) {
        form.beta = 1;
        form.ldc = ldr;
        return cycle == p->M ? cuda_multiply(ctx, &form, x, w, residual, y, e)
                             : multiply_frames(ctx, form, cycle, x, w, residual, y, e);
    }
    int r = cuda_multiply(ctx, &form, x, w, NULL, product, e);
    if (!r && (residual || drop))
        finish(ctx, p, product, form.ldd, ldr, cycle, y, ldy);
    return r;
}

int cuda_linear_backward_data(struct op_ctx *ctx, const struct op_linear *p, const act *dy, act *dx,
                              int accumulate, struct err *e)
{
    const void *w = p->w;
    if (ctx->bf16) {
        void *room = NULL;
        int r = cuda_parameters_mirrored(ctx, p->w, p->N * p->K)
                    ? 0
                    : cuda_scratch(ctx, p->N * p->K * sizeof(bf16), &room, e);
        if (r)
            return r;
        w = cuda_parameters_bf16(ctx, p->w, p->N * p->K, (bf16 *)room);
    }
    struct cuda_product d = {};
    d.M = p->M, d.N = p->K, d.K = p->N;
    d.lda = or_else(p->ldy, p->N), d.ldb = p->K;
    d.ldc = d.ldd = or_else(p->ldx, p->K);
    d.alpha = 1, d.beta = accumulate ? 1 : 0;
    return cuda_multiply(ctx, &d, dy, w, dx, dx, e);
}

/* sum[i] += part[0][i] + part[1][i] + ..., n elements apart, in this order. */
static __global__ void __launch_bounds__(THREADS)
    add_parts(size_t n, size_t parts, const float *part, float *sum)
{
    for (size_t i = blockIdx.x * (size_t)THREADS + threadIdx.x; i < n; i += (size_t)gridDim.x * THREADS) {
        float total = 0;
#pragma unroll 4
        for (size_t k = 0; k < parts; k++)
            total += part[k * n + i];
        sum[i] += total;
    }
}

/* How many pieces the rows of a weight gradient are cut into. Its result is small and its sums are long: 4 tiles of
 * 128x128 and a million rows in the worst place, so whole rows are dealt to all multiprocessors, twice over. Short sums are
 * also the better ones: each is rounded on its own. */
static size_t pieces_of(const struct op_ctx *ctx, const struct op_linear *p)
{
    size_t tiles = (size_t)blocks_for(p->N, SPLIT_TILE) * blocks_for(p->K, SPLIT_TILE);
    size_t wanted = 2 * (size_t)cuda_state_of(ctx)->multiprocessors / tiles;
    size_t most = p->M / SPLIT_ROWS;
    return wanted < most ? wanted : most;
}

/* dw += dy^T x, each piece of the rows in a part of its own in `part`, then all parts added up in order. */
static int multiply_pieces(struct op_ctx *ctx, struct cuda_product d, size_t pieces, const act *x,
                           const act *dy, float *part, float *dw, struct err *e)
{
    size_t rows = d.K, piece = rows / pieces / SPLIT_MULTIPLE * SPLIT_MULTIPLE, n = d.M * d.N;
    size_t done = pieces * piece;
    d.K = piece;
    d.batch = pieces;
    d.stride_a = (long long)(piece * d.lda);
    d.stride_b = (long long)(piece * d.ldb);
    d.stride_d = (long long)n;
    d.beta = 0;
    int r = cuda_multiply(ctx, &d, dy, x, NULL, part, e);
    if (!r && done < rows) {
        d.K = rows - done;
        d.batch = 1;
        d.beta = 1;
        r = cuda_multiply(ctx, &d, act_at(ctx, dy, done * d.lda), act_at(ctx, x, done * d.ldb), dw, dw, e);
    }
    if (!r)
        launch(ctx, blocks_for(n, THREADS), THREADS, 0, add_parts, n, pieces, (const float *)part, dw);
    return r;
}

int cuda_linear_backward_weight(struct op_ctx *ctx, const struct op_linear *p, const act *x, const act *dy,
                                float *dw, float *dbias, struct err *e)
{
    struct cuda_product d = {};
    d.M = p->N, d.N = p->K, d.K = p->M;
    d.lda = or_else(p->ldy, p->N), d.ldb = or_else(p->ldx, p->K);
    d.ldc = d.ldd = p->K;
    d.a_transposed = d.d_float = true;
    d.alpha = d.beta = 1;
    if (!p->M || !p->N)
        return 0;
    int r = dbias ? cuda_add_column_sums(ctx, p->M, p->N, dy, d.lda, dbias, e) : 0;
    size_t pieces = p->K ? pieces_of(ctx, p) : 0;
    if (r || pieces <= 1)
        return r ? r : cuda_multiply(ctx, &d, dy, x, dw, dw, e);
    void *part;
    r = cuda_scratch(ctx, pieces * p->N * p->K * sizeof(float), &part, e);
    return r ? r : multiply_pieces(ctx, d, pieces, x, dy, (float *)part, dw, e);
}
