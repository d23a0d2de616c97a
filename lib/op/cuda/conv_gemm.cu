/* 3x3 convolution in bf16 as one matrix product, (pixels, 9C) by (9C, O), whose left factor is never stored.
 *
 * A block holds the sums of a tile of ROWS x 16 pixels by COLUMNS output channels and goes through the input channels 16 at a
 * time. One stage in shared memory is the tile of the image with its border for those 16 channels, which all nine taps read,
 * and the nine taps' weights. While one stage is multiplied, two more are on their way. Reading the tile once and not once
 * for each tap is what keeps the second-level cache out of the way: see SPEED.md for the arithmetic.
 *
 * A warp holds WARP_ROWS rows of the tile by WARP_COLUMNS channels: a row of 16 pixels is the 16 rows of an mma. For a given
 * column of the window (s) the rows that the three taps (r) need overlap, so WARP_ROWS + 2 fragments serve 3 * WARP_ROWS. */
#include "op/cuda/conv.cuh"
#include "op/cuda/conv_tile.cuh"

enum { STAGES = 3, CHUNK = 16, PLANES = CHUNK / UNIT, TAPS = 9 };

/* BLOCKS: that many are to fit into the registers of a multiprocessor. */
template <int ROWS, int COLUMNS, int WARP_ROWS, int WARP_COLUMNS, int BLOCKS> struct gemm_shape {
    static constexpr int blocks = BLOCKS;
    static constexpr int rows = ROWS, columns = COLUMNS, warp_rows = WARP_ROWS, warp_columns = WARP_COLUMNS;
    static constexpr int warps_across = COLUMNS / WARP_COLUMNS;
    static constexpr int threads = ROWS / WARP_ROWS * warps_across * WARP;
    static constexpr int pixels = ROWS * TILE_WIDTH, halo = (ROWS + 2) * TILE_PITCH;
    static constexpr int plane = plane_bytes(halo, PLANES), image = PLANES * plane;
    /* (plane, tap, output channel, unit), as arrange leaves them in global memory: eight channels are 128 bytes in a row */
    static constexpr int weight_plane = TAPS * COLUMNS * UNIT_BYTES, weights = PLANES * weight_plane;
    static constexpr int stage = image + weights;
    static constexpr int copies = (halo * PLANES + threads - 1) / threads; /* of the image by one thread */
    /* The sums on their way out: rows 8 or 24 words apart modulo 32, so that no two of the four rows that half a warp writes
     * eight bytes each of share a bank. */
    static constexpr int sums_pitch = COLUMNS + 8;
    static constexpr int shared =
        STAGES * stage > pixels *sums_pitch * 4 ? STAGES *stage : pixels *sums_pitch * 4;
};

/* to (chunk of 16 channels, group of `columns` outputs, plane, tap, output, 8 channels): a stage's weights are one run of
 * memory in the order shared memory has them in; zeros for channels and outputs that do not exist. A thread writes the nine
 * taps of one unit, which lie together in w. */
static __global__ void arrange(struct conv p, int columns, bf16 *to)
{
    int groups = (p.O + columns - 1) / columns, chunks = (p.C + CHUNK - 1) / CHUNK;
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= chunks * groups * PLANES * columns)
        return;
    int column = i % columns, plane = i / columns % PLANES, group = i / columns / PLANES % groups,
        chunk = i / columns / PLANES / groups;
    int o = group * columns + column, c0 = chunk * CHUNK + plane * UNIT;
    to += (((size_t)(chunk * groups + group) * PLANES + plane) * TAPS * columns + column) * UNIT;
#pragma unroll
    for (int t = 0; t < TAPS; t++) {
        float v[UNIT];
#pragma unroll
        for (int k = 0; k < UNIT; k++)
            v[k] = o < p.O && c0 + k < p.C ? p.w[conv_weight_at(p, o, c0 + k, t)] : 0;
        store_row(to + (size_t)t * columns * UNIT, v);
    }
}

/* Where a block's tile lies. */
struct place {
    int y0, x0, o0;
    size_t frame;
};

/* The sums, by way of shared memory, to y: 16 bytes a thread where y's rows allow (wide). */
template <typename S>
static __device__ __forceinline__ void finish(const struct conv &p, const struct place &at, bool wide,
                                              const float *sums, bf16 *y)
{
    for (int i = threadIdx.x; i < S::pixels * (S::columns / UNIT); i += S::threads) {
        int unit = i % (S::columns / UNIT), pixel = i / (S::columns / UNIT);
        int yy = at.y0 + pixel / TILE_WIDTH, xx = at.x0 + pixel % TILE_WIDTH, o = at.o0 + unit * UNIT;
        if (yy >= p.H || xx >= p.W || o >= p.O)
            continue;
        size_t to = ((at.frame * p.H + yy) * p.W + xx) * p.O + o;
        const bf16 *residual = p.residual ? (const bf16 *)p.residual + to : NULL;
        float v[UNIT], more[UNIT] = {};
        load_row(sums + pixel * S::sums_pitch + unit * UNIT, v);
        if (residual && wide)
            load_row(residual, more);
#pragma unroll
        for (int k = 0; k < UNIT; k++) {
            if (o + k >= p.O)
                break;
            if (residual && !wide)
                more[k] = to_float(residual[k]);
            if (p.bias)
                v[k] += p.bias[o + k];
            v[k] += more[k];
            if (p.relu)
                v[k] = fmaxf(v[k], 0);
            if (!wide)
                store(y + to + k, v[k]);
        }
        if (wide)
            store_row(y + to, v);
    }
}

/* grain: of x; ASYNC: it is known to be a unit. */
template <typename S, bool ASYNC>
static __global__ void __launch_bounds__(S::threads, S::blocks)
    convolve(struct conv p, int across, int down, int grain, bool wide, const bf16 *weights, const bf16 *x,
             bf16 *y)
{
    char *shared = shared_memory();
    int groups = (p.O + S::columns - 1) / S::columns, chunks = (p.C + CHUNK - 1) / CHUNK;
    /* Blocks of one tile and different outputs follow each other: the second finds the image in the cache. */
    int group = blockIdx.x % groups, tile = blockIdx.x / groups;
    struct place at = {tile / across % down * S::rows, tile % across * TILE_WIDTH, group * S::columns,
                       (size_t)(tile / across / down)};
    int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    int warp_row = warp / S::warps_across * S::warp_rows,
        warp_column = warp % S::warps_across * S::warp_columns;

    /* The units of the image that this thread copies: those of chunk 0, NULL for zeros. They are the same pixels in every
     * chunk, so this is all the arithmetic of borders there is. */
    const bf16 *source[S::copies];
#pragma unroll
    for (int k = 0; k < S::copies; k++) {
        int i = k * S::threads + threadIdx.x, plane = i % PLANES, pixel = i / PLANES;
        int yy = at.y0 + pixel / TILE_PITCH - 1, xx = at.x0 + pixel % TILE_PITCH - 1;
        bool inside = yy >= 0 && yy < p.H && xx >= 0 && xx < p.W;
        source[k] = inside ? x + ((at.frame * p.H + yy) * p.W + xx) * p.C + plane * UNIT : NULL;
    }
    auto load = [&](int chunk) {
        char *image = shared + chunk % STAGES * S::stage, *to = image + S::image;
        int c0 = chunk * CHUNK;
#pragma unroll
        for (int k = 0; k < S::copies; k++) {
            int i = k * S::threads + threadIdx.x, plane = i % PLANES;
            int left = source[k] ? p.C - c0 - plane * UNIT : 0;
            if (i < S::halo * PLANES)
                copy_unit(ASYNC ? (int)UNIT : grain, image + plane * S::plane + i / PLANES * UNIT_BYTES,
                          left > 0 ? source[k] + c0 : x, left);
        }
        const char *from = (const char *)weights + (size_t)(chunk * groups + group) * S::weights;
        for (int i = threadIdx.x * UNIT_BYTES; i < S::weights; i += S::threads * UNIT_BYTES)
            copy_async(to + i, from + i, true);
    };

    /* Lane 8i + r gives row r of matrix i. Left factor: matrices (pixels 0-7, 8-15) of plane 0, then of plane 1. Right
     * factor: planes 0 and 1 of outputs 0-7, then of outputs 8-15. */
    int left_at = lane / 16 * S::plane + (warp_row * TILE_PITCH + lane % 16) * UNIT_BYTES;
    int right_at =
        S::image + lane / 8 % 2 * S::weight_plane + (warp_column + lane / 16 * 8 + lane % 8) * UNIT_BYTES;
    float sum[S::warp_rows][S::warp_columns / 8][4] = {};

    for (int k = 0; k < STAGES - 1; k++) {
        if (k < chunks)
            load(k);
        copy_commit();
    }
    for (int chunk = 0; chunk < chunks; chunk++) {
        copy_wait<STAGES - 2>();
        __syncthreads(); /* this chunk is there for all, and all are done with the one that is overwritten next */
        if (chunk + STAGES - 1 < chunks)
            load(chunk + STAGES - 1);
        copy_commit();
        const char *stage = shared + chunk % STAGES * S::stage;
#pragma unroll
        for (int s = 0; s < 3; s++) {
            uint32_t left[S::warp_rows + 2][4];
#pragma unroll
            for (int i = 0; i < S::warp_rows + 2; i++)
                load_matrices(left[i], stage + left_at + (i * TILE_PITCH + s) * UNIT_BYTES);
#pragma unroll
            for (int r = 0; r < 3; r++) {
                uint32_t right[S::warp_columns / 16][4];
#pragma unroll
                for (int j = 0; j < S::warp_columns / 16; j++)
                    load_matrices(right[j],
                                  stage + right_at + ((r * 3 + s) * S::columns + j * 16) * UNIT_BYTES);
#pragma unroll
                for (int i = 0; i < S::warp_rows; i++)
#pragma unroll
                    for (int j = 0; j < S::warp_columns / 8; j++)
                        mma_16x8x16(sum[i][j], left[i + r], right[j / 2] + j % 2 * 2);
            }
        }
    }
    copy_wait<0>();
    __syncthreads();

    /* Lane (g, t) holds pixels g and g + 8, outputs 2t and 2t + 1 of each 16 x 8. */
    float *sums = (float *)shared;
#pragma unroll
    for (int i = 0; i < S::warp_rows; i++)
#pragma unroll
        for (int j = 0; j < S::warp_columns / 8; j++) {
            float *to = sums + ((warp_row + i) * TILE_WIDTH + lane / 4) * S::sums_pitch + warp_column +
                        j * 8 + lane % 4 * 2;
            *(float2 *)to = make_float2(sum[i][j][0], sum[i][j][1]);
            *(float2 *)(to + 8 * S::sums_pitch) = make_float2(sum[i][j][2], sum[i][j][3]);
        }
    __syncthreads();
    finish<S>(p, at, wide, sums, y);
}

template <typename S>
static int run(struct op_ctx *ctx, const struct conv *p, const bf16 *x, bf16 *y, struct err *e)
{
    int groups = (int)blocks_for(p->O, S::columns), chunks = (int)blocks_for(p->C, CHUNK);
    int across = (int)blocks_for(p->W, TILE_WIDTH), down = (int)blocks_for(p->H, S::rows);
    unsigned blocks = (unsigned)((size_t)p->B * across * down * groups);
    void *weights;
    int r = cuda_scratch(ctx, (size_t)chunks * groups * S::weights, &weights, e);
    if (r)
        return r;
    launch(ctx, blocks_for((size_t)chunks * groups * PLANES * S::columns, 128), 128, 0, arrange, *p,
           S::columns, (bf16 *)weights);
    const bf16 *residual = (const bf16 *)p->residual;
    bool wide = grain_of(y, p->O) == UNIT && grain_of(residual, p->O) == UNIT;
    int grain = grain_of(x, p->C);
    launch(ctx, blocks, S::threads, S::shared, grain == UNIT ? convolve<S, true> : convolve<S, false>, *p,
           across, down, grain, wide, (const bf16 *)weights, x, y);
    return 0;
}

/* A warp's 64 x 64 sums need the least of shared memory for each product and nearly all registers: eight such warps on a
 * multiprocessor, as one block or two. Few outputs, or too few tiles for the device, take smaller ones; so do devices whose
 * blocks have 99 KB (compute capability 8.6, 8.9, 12.0), since the largest takes 139. */
int conv_gemm(struct op_ctx *ctx, const struct conv *p, const bf16 *x, bf16 *y, struct err *e)
{
    size_t tiles = (size_t)p->B * blocks_for(p->W, TILE_WIDTH) * blocks_for(p->H, 16);
    size_t multiprocessors = (size_t)cuda_state_of(ctx)->multiprocessors;
    typedef gemm_shape<16, 128, 4, 64, 1> largest;
    if (p->O <= 32)
        return run<gemm_shape<16, 16, 2, 16, 4>>(ctx, p, x, y, e);
    if (p->O > 64 && largest::shared <= cuda_state_of(ctx)->shared_max &&
        tiles * blocks_for(p->O, 128) >= multiprocessors)
        return run<largest>(ctx, p, x, y, e);
    if (tiles * blocks_for(p->O, 64) >= multiprocessors)
        return run<gemm_shape<16, 64, 4, 64, 2>>(ctx, p, x, y, e);
    return run<gemm_shape<4, 64, 2, 32, 3>>(ctx, p, x, y, e);
}
