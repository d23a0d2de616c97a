/* 3x3 convolution in fp32 where one side has few channels: the tile with its border is in shared memory, read once for nine
 * taps. Memory moves x and y once; more channels than a few and cuBLASLt's products win by their tiles of registers. */
#include "op/cuda/conv.cuh"
#include "op/cuda/number.cuh"

enum {
    SIDE = 16, /* pixels of a tile in a row, and threads */
    PITCH = SIDE + 2,
    THREADS = 256,
    CHANNELS = 8 /* of the image in shared memory at a time */
};

/* Block (tile, group of OUTPUTS output channels); thread (row, column) of the tile holds the sums of its pixel. */
template <int OUTPUTS>
static __global__ void __launch_bounds__(THREADS)
    direct(struct conv p, int across, int down, const float *x, float *y)
{
    __shared__ float image[CHANNELS * PITCH * PITCH], weights[CHANNELS * 9 * OUTPUTS];
    size_t tile = blockIdx.x, frame = tile / across / down;
    int x0 = (int)(tile % across) * SIDE, y0 = (int)(tile / across % down) * SIDE, o0 = blockIdx.y * OUTPUTS;
    int row = threadIdx.x / SIDE, column = threadIdx.x % SIDE;
    const float *from = x + frame * p.H * p.W * p.C;
    float sum[OUTPUTS] = {};
    for (int c0 = 0; c0 < p.C; c0 += CHANNELS) {
        int channels = min((int)CHANNELS, p.C - c0);
        for (int i = threadIdx.x; i < CHANNELS * PITCH * PITCH; i += THREADS) {
            int c = i % CHANNELS, pixel = i / CHANNELS, yy = y0 + pixel / PITCH - 1,
                xx = x0 + pixel % PITCH - 1;
            bool inside = c < channels && yy >= 0 && yy < p.H && xx >= 0 && xx < p.W;
            image[c * PITCH * PITCH + pixel] = inside ? from[((size_t)yy * p.W + xx) * p.C + c0 + c] : 0;
        }
        for (int i = threadIdx.x; i < channels * 9 * OUTPUTS; i += THREADS) {
            int o = i % OUTPUTS, t = i / OUTPUTS % 9, c = i / OUTPUTS / 9;
            weights[i] = o0 + o < p.O ? p.w[conv_weight_at(p, o0 + o, c0 + c, t)] : 0;
        }
        __syncthreads();
        for (int c = 0; c < channels; c++)
#pragma unroll
            for (int t = 0; t < 9; t++) {
                float v = image[c * PITCH * PITCH + (row + t / 3) * PITCH + column + t % 3];
#pragma unroll
                for (int o = 0; o < OUTPUTS; o++)
                    sum[o] = fmaf(v, weights[(c * 9 + t) * OUTPUTS + o], sum[o]);
            }
        __syncthreads();
    }
    if (y0 + row >= p.H || x0 + column >= p.W)
        return;
    size_t to = ((frame * p.H + y0 + row) * p.W + x0 + column) * p.O + o0;
#pragma unroll
    for (int o = 0; o < OUTPUTS; o++)
        if (o0 + o < p.O) {
            float v = sum[o];
            if (p.bias)
                v += p.bias[o0 + o];
            if (p.residual)
                v += ((const float *)p.residual)[to + o];
            y[to + o] = p.relu ? fmaxf(v, 0) : v;
        }
}

int conv_direct(struct op_ctx *ctx, const struct conv *p, const float *x, float *y, struct err *)
{
    int across = (int)blocks_for(p->W, SIDE), down = (int)blocks_for(p->H, SIDE);
    unsigned tiles = (unsigned)(p->B * across * down);
    if (p->O == 1)
        launch(ctx, tiles, THREADS, 0, direct<1>, *p, across, down, x, y);
    else
        launch(ctx, dim3(tiles, blocks_for(p->O, 16)), THREADS, 0, direct<16>, *p, across, down, x, y);
    return 0;
}

enum {
    ROWS = 4,
    PIXELS = ROWS * SIDE,
    HALO = (ROWS + 2) * PITCH,
    GROUP = 16 /* channels of a block, each side */
};

/* Block (16 input channels, 16 output channels, part of the tiles); thread o * 16 + c holds the nine taps of one pair and
 * slides a window of 3x3 pixels along each row of the tile. */
static __global__ void __launch_bounds__(THREADS)
    direct_weight(struct conv p, int across, int down, int tiles, const float *x, const float *dy,
                  float *part)
{
    __shared__ float image[HALO * GROUP], gradient[PIXELS * GROUP];
    int c0 = blockIdx.x * GROUP, o0 = blockIdx.y * GROUP, c = threadIdx.x % GROUP, o = threadIdx.x / GROUP;
    int first = (int)((long long)tiles * blockIdx.z / gridDim.z);
    int last = (int)((long long)tiles * (blockIdx.z + 1) / gridDim.z);
    float sum[9] = {};
    for (int tile = first; tile < last; tile++) {
        size_t frame = tile / across / down;
        int x0 = tile % across * SIDE, y0 = tile / across % down * ROWS;
        for (int i = threadIdx.x; i < HALO * GROUP; i += THREADS) {
            int k = c0 + i % GROUP, yy = y0 + i / GROUP / PITCH - 1, xx = x0 + i / GROUP % PITCH - 1;
            bool inside = k < p.C && yy >= 0 && yy < p.H && xx >= 0 && xx < p.W;
            image[i] = inside ? x[((frame * p.H + yy) * p.W + xx) * p.C + k] : 0;
        }
        for (int i = threadIdx.x; i < PIXELS * GROUP; i += THREADS) {
            int k = o0 + i % GROUP, yy = y0 + i / GROUP / SIDE, xx = x0 + i / GROUP % SIDE;
            bool inside = k < p.O && yy < p.H && xx < p.W;
            gradient[i] = inside ? dy[((frame * p.H + yy) * p.W + xx) * p.O + k] : 0;
        }
        __syncthreads();
        for (int row = 0; row < ROWS; row++) {
            const float *line = image + row * PITCH * GROUP + c;
            float window[3][3];
#pragma unroll
            for (int r = 0; r < 3; r++)
#pragma unroll
                for (int s = 0; s < 2; s++)
                    window[r][s] = line[(r * PITCH + s) * GROUP];
#pragma unroll
            for (int column = 0; column < SIDE; column++) {
                float d = gradient[(row * SIDE + column) * GROUP + o];
#pragma unroll
                for (int r = 0; r < 3; r++) {
                    window[r][(column + 2) % 3] = line[(r * PITCH + column + 2) * GROUP];
#pragma unroll
                    for (int s = 0; s < 3; s++)
                        sum[r * 3 + s] = fmaf(d, window[r][(column + s) % 3], sum[r * 3 + s]);
                }
            }
        }
        __syncthreads();
    }
    if (c0 + c >= p.C || o0 + o >= p.O)
        return;
#pragma unroll
    for (int t = 0; t < 9; t++)
        part[(((size_t)blockIdx.z * 9 + t) * p.O + o0 + o) * p.C + c0 + c] = sum[t];
}

int conv_direct_weight(struct op_ctx *ctx, const struct conv *p, const float *x, const float *dy, float *dw,
                       struct err *e)
{
    int across = (int)blocks_for(p->W, SIDE), down = (int)blocks_for(p->H, ROWS),
        tiles = p->B * across * down;
    dim3 grid(blocks_for(p->C, GROUP), blocks_for(p->O, GROUP));
    int parts = conv_parts(ctx, tiles, (size_t)grid.x * grid.y, 2);
    void *part;
    int r = cuda_scratch(ctx, (size_t)parts * 9 * p->O * p->C * sizeof(float), &part, e);
    if (r)
        return r;
    grid.z = parts;
    launch(ctx, grid, THREADS, 0, direct_weight, *p, across, down, tiles, x, dy, (float *)part);
    conv_add_parts(ctx, parts, p->O, p->C, p->O, p->C, (const float *)part, dw);
    return 0;
}
