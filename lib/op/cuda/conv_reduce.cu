/* The end of a gradient of weights: partial sums added up in a fixed order. */
#include "op/cuda/conv.cuh"
#include "op/cuda/number.cuh"

enum { GROUPS = 3 };

/* Warp t * GROUPS + g sums tap t of 32 neighbouring weights (o,c) over one third of the parts, reading whole lines; the nine
 * taps then leave together, since they are neighbours in dw. */
static __global__ void __launch_bounds__(WARP * 9 * GROUPS)
    add_parts(int parts, int O, int C, int O_room, int C_room, const float *part, float *dw)
{
    __shared__ float room[9 * GROUPS * WARP];
    int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, t = warp / GROUPS, g = warp % GROUPS;
    size_t first = blockIdx.x * (size_t)WARP, n = (size_t)O_room * C_room;
    float sum = 0;
    if (first + lane < n)
#pragma unroll 4
        for (int s = g; s < parts; s += GROUPS)
            sum += part[((size_t)s * 9 + t) * n + first + lane];
    room[warp * WARP + lane] = sum;
    __syncthreads();
    size_t i = first + threadIdx.x / 9, o = i / C_room, c = i % C_room;
    int tap = threadIdx.x % 9;
    if (threadIdx.x >= 9 * WARP || o >= (size_t)O || c >= (size_t)C)
        return;
    sum = 0;
    for (int k = 0; k < GROUPS; k++)
        sum += room[(tap * GROUPS + k) * WARP + threadIdx.x / 9];
    dw[(o * C + c) * 9 + tap] += sum;
}

void conv_add_parts(struct op_ctx *ctx, int parts, int O, int C, int O_room, int C_room, const float *part,
                    float *dw)
{
    launch(ctx, blocks_for((size_t)O_room * C_room, WARP), WARP * 9 * GROUPS, 0, add_parts, parts, O, C,
           O_room, C_room, part, dw);
}
