/* The gradient of a 3x3 convolution's weights in bf16: nine matrix products (O, pixels) by (pixels, C), one for each tap, of
 * the same dy and nine shifts of the same x.
 *
 * A block holds the sums of OUTPUTS output channels by 32 input channels by nine taps, and goes through its share of the tiles
 * of 8 x 16 pixels. One stage in shared memory is a tile of dy and a tile of x with its border; while one is multiplied, two
 * more are on their way. The shares' sums are written as they are and added up in order afterwards: no atomics.
 *
 * A warp holds 16 * M16 outputs by 8 channels by nine taps. The 16 pixels of a row are the 16 products of an mma's sum; dy and
 * x lie with channels inside pixels, so both factors are read transposed. The rows of x that a row of dy needs are those of the
 * row before and one more: three rows by three shifts of fragments roll through registers, three new ones for each row. */
#include "op/cuda/conv.cuh"
#include "op/cuda/conv_tile.cuh"

enum {
    STAGES = 3,
    ROWS = 8,
    PIXELS = ROWS * TILE_WIDTH,
    HALO = (ROWS + 2) * TILE_PITCH,
    CHANNELS = 32, /* of a block; a warp takes 8 */
    X_PLANES = CHANNELS / UNIT,
    X_PLANE = plane_bytes(HALO, X_PLANES),
    TAPS = 9
};

template <int M16, int WARPS_DOWN> struct weight_shape {
    static constexpr int m16 = M16, outputs = 16 * M16 * WARPS_DOWN, threads = WARPS_DOWN * X_PLANES * WARP;
    static constexpr int planes = outputs / UNIT, plane = plane_bytes(PIXELS, planes);
    static constexpr int gradient = planes * plane, stage = gradient + X_PLANES * X_PLANE,
                         shared = STAGES * stage;
};

/* Which tiles there are, and how rows of x and dy may be read. */
struct weight_plan {
    int across, down, tiles;
    int grain_x, grain_dy;
};

/* Starts copying tile `tile`; ASYNC: both grains are known to be a unit. */
template <typename S, bool ASYNC>
static __device__ __forceinline__ void load_tile(const struct conv &p, const struct weight_plan &plan,
                                                 int tile, int o0, int c0, const bf16 *x, const bf16 *dy,
                                                 char *stage)
{
    size_t frame = tile / plan.across / plan.down;
    int x0 = tile % plan.across * TILE_WIDTH, y0 = tile / plan.across % plan.down * ROWS;
    for (int i = threadIdx.x; i < PIXELS * S::planes; i += S::threads) {
        int plane = i % S::planes, pixel = i / S::planes, o = o0 + plane * UNIT;
        int yy = y0 + pixel / TILE_WIDTH, xx = x0 + pixel % TILE_WIDTH;
        int left = yy < p.H && xx < p.W ? p.O - o : 0;
        copy_unit(ASYNC ? (int)UNIT : plan.grain_dy, stage + plane * S::plane + pixel * UNIT_BYTES,
                  left > 0 ? dy + ((frame * p.H + yy) * p.W + xx) * p.O + o : dy, left);
    }
    for (int i = threadIdx.x; i < HALO * X_PLANES; i += S::threads) {
        int plane = i % X_PLANES, pixel = i / X_PLANES, c = c0 + plane * UNIT;
        int yy = y0 + pixel / TILE_PITCH - 1, xx = x0 + pixel % TILE_PITCH - 1;
        int left = yy >= 0 && yy < p.H && xx >= 0 && xx < p.W ? p.C - c : 0;
        copy_unit(ASYNC ? (int)UNIT : plan.grain_x,
                  stage + S::gradient + plane * X_PLANE + pixel * UNIT_BYTES,
                  left > 0 ? x + ((frame * p.H + yy) * p.W + xx) * p.C + c : x, left);
    }
}

/* Block (32 input channels, OUTPUTS output channels, share); part (shares,9,O,C). */
template <typename S, bool ASYNC>
static __global__ void __launch_bounds__(S::threads)
    sum_tiles(struct conv p, struct weight_plan plan, const bf16 *x, const bf16 *dy, float *part)
{
    char *shared = shared_memory();
    int c0 = blockIdx.x * CHANNELS, o0 = blockIdx.y * S::outputs;
    int first = (int)((long long)plan.tiles * blockIdx.z / gridDim.z);
    int last = (int)((long long)plan.tiles * (blockIdx.z + 1) / gridDim.z);
    int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warp_c = warp % X_PLANES,
        warp_o = warp / X_PLANES * S::m16 * 16;

    /* Lane 8i + r gives row r, a pixel, of matrix i. dy: outputs 0-7 and 8-15 of pixels 0-7, then of pixels 8-15. x: pixels
     * 0-7 and 8-15 of one shift, then of the next. */
    int left_at = (warp_o / UNIT + lane / 8 % 2) * S::plane + (lane / 16 * 8 + lane % 8) * UNIT_BYTES;
    int right_at = S::gradient + warp_c * X_PLANE + lane % 16 * UNIT_BYTES,
        next_shift = lane / 16 * UNIT_BYTES;
    float sum[S::m16][TAPS][4] = {};

    for (int k = 0; k < STAGES - 1; k++) {
        if (first + k < last)
            load_tile<S, ASYNC>(p, plan, first + k, o0, c0, x, dy, shared + k * S::stage);
        copy_commit();
    }
    for (int tile = first; tile < last; tile++) {
        copy_wait<STAGES - 2>();
        __syncthreads(); /* this tile is there for all, and all are done with the one that is overwritten next */
        if (tile + STAGES - 1 < last)
            load_tile<S, ASYNC>(p, plan, tile + STAGES - 1, o0, c0, x, dy,
                                shared + (tile - first + STAGES - 1) % STAGES * S::stage);
        copy_commit();
        const char *stage = shared + (tile - first) % STAGES * S::stage;
        /* Three shifts of row `row` of x, from its place among the rolling three: [0..1] [2..3] [4..5]. */
        uint32_t right[3][8];
        auto load_row = [&](int row) {
            const char *from = stage + right_at + row * TILE_PITCH * UNIT_BYTES;
            load_matrices_transposed(right[row % 3], from + next_shift);
            load_matrices_transposed(right[row % 3] + 4, from + 2 * UNIT_BYTES);
        };
        load_row(0);
        load_row(1);
#pragma unroll
        for (int row = 0; row < ROWS; row++) {
            load_row(row + 2);
#pragma unroll
            for (int i = 0; i < S::m16; i++) {
                uint32_t left[4];
                load_matrices_transposed(left,
                                         stage + left_at + 2 * i * S::plane + row * TILE_WIDTH * UNIT_BYTES);
#pragma unroll
                for (int t = 0; t < TAPS; t++)
                    mma_16x8x16(sum[i][t], left, right[(row + t / 3) % 3] + t % 3 * 2);
            }
        }
    }

    /* Lane (g, t) holds outputs g and g + 8, channels 2t and 2t + 1 of each 16 x 8. */
    int c = c0 + warp_c * UNIT + lane % 4 * 2;
#pragma unroll
    for (int i = 0; i < S::m16; i++)
#pragma unroll
        for (int t = 0; t < TAPS; t++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                int o = o0 + warp_o + i * 16 + half * 8 + lane / 4;
                if (o >= p.O || c >= p.C)
                    continue;
                float *to = part + (((size_t)blockIdx.z * TAPS + t) * p.O + o) * p.C + c;
                if (p.C % 2 == 0) {
                    *(float2 *)to = make_float2(sum[i][t][2 * half], sum[i][t][2 * half + 1]);
                } else {
                    to[0] = sum[i][t][2 * half];
                    if (c + 1 < p.C)
                        to[1] = sum[i][t][2 * half + 1];
                }
            }
}

template <typename S, bool ASYNC>
static int run(struct op_ctx *ctx, const struct conv *p, const struct weight_plan &plan, int depth,
               const bf16 *x, const bf16 *dy, float *dw, struct err *e)
{
    dim3 grid(blocks_for(p->C, CHANNELS), blocks_for(p->O, S::outputs));
    int parts = conv_parts(ctx, plan.tiles, (size_t)grid.x * grid.y, depth);
    void *part;
    int r = cuda_scratch(ctx, (size_t)parts * TAPS * p->O * p->C * sizeof(float), &part, e);
    if (r)
        return r;
    grid.z = parts;
    launch(ctx, grid, S::threads, S::shared, sum_tiles<S, ASYNC>, *p, plan, x, dy, (float *)part);
    conv_add_parts(ctx, parts, p->O, p->C, p->O, p->C, (const float *)part, dw);
    return 0;
}

/* As many shares as make one block for each place on the device: more would only be more sums to write and to add. 64 outputs
 * a block also where 128 would take more shared memory (132 KB) than there is. */
int conv_gemm_weight(struct op_ctx *ctx, const struct conv *p, const bf16 *x, const bf16 *dy, float *dw,
                     struct err *e)
{
    struct weight_plan plan = {};
    plan.across = (int)blocks_for(p->W, TILE_WIDTH);
    plan.down = (int)blocks_for(p->H, ROWS);
    plan.tiles = p->B * plan.across * plan.down;
    plan.grain_x = grain_of(x, p->C);
    plan.grain_dy = grain_of(dy, p->O);
    if (plan.grain_x < UNIT || plan.grain_dy < UNIT || p->O <= 16)
        return run<weight_shape<1, 1>, false>(ctx, p, plan, 2, x, dy, dw, e);
    typedef weight_shape<4, 2> largest;
    if (p->O <= 64 || largest::shared > cuda_state_of(ctx)->shared_max)
        return run<weight_shape<4, 1>, true>(ctx, p, plan, 2, x, dy, dw, e);
    return run<largest, true>(ctx, p, plan, 1, x, dy, dw, e);
}
