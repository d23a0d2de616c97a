/* 3x3 convolution inside the room; conv.cu chooses the kernel by shape.
 *
 *   conv_gemm*     bf16 on the tensor cores: all of the network's convolutions
 *   conv_direct*   fp32, few channels on one side
 *   conv_shifted   nine shifted matrix products of cuBLASLt: fp32 with many channels, bf16 with many channels that are no
 *                  multiple of eight; the oracle of the others, since it has no index arithmetic but a shift
 *   conv_reduce    what the gradients of the weights end with: one sum over the parts they were cut into
 */
#ifndef SGAPS_OP_CUDA_CONV_CUH
#define SGAPS_OP_CUDA_CONV_CUH

#include "op/cuda/cuda.cuh"

/* x (B,H,W,C) -> y (B,H,W,O). The gradient of the input is the convolution of dy (then C channels) with the same weights
 * the other way round: flipped, w is (C,O,3,3) and its taps are read backwards. */
struct conv {
    int B, H, W, C, O;
    bool flipped, relu;
    const float *w, *bias;
    const act *residual;
};

/* Where the weight of tap t (row t / 3, column t % 3 of the 3x3 window) from channel c to channel o is in w. */
static __device__ __forceinline__ size_t conv_weight_at(const struct conv &p, int o, int c, int t)
{
    return p.flipped ? ((size_t)c * p.O + o) * 9 + 8 - t : ((size_t)o * p.C + c) * 9 + t;
}

/* y = relu(conv + bias + residual), each in the precision of the context (gemm: bf16, direct: fp32). */
int conv_gemm(struct op_ctx *ctx, const struct conv *p, const bf16 *x, bf16 *y, struct err *e);
int conv_direct(struct op_ctx *ctx, const struct conv *p, const float *x, float *y, struct err *e);
int conv_shifted(struct op_ctx *ctx, const struct conv *p, const act *x, act *y, struct err *e);

/* dw (O,C,3,3) += sum over pixels of dy (B,H,W,O) and the shifted x (B,H,W,C). */
int conv_gemm_weight(struct op_ctx *ctx, const struct conv *p, const bf16 *x, const bf16 *dy, float *dw,
                     struct err *e);
int conv_direct_weight(struct op_ctx *ctx, const struct conv *p, const float *x, const float *dy, float *dw,
                       struct err *e);
int conv_shifted_weight(struct op_ctx *ctx, const struct conv *p, const act *x, const act *dy, float *dw,
                        struct err *e);

/* dw (O,C,3,3) += the sum of `parts` partial gradients (parts,9,O_room,C_room), in a fixed order. */
void conv_add_parts(struct op_ctx *ctx, int parts, int O, int C, int O_room, int C_room, const float *part,
                    float *dw);

/* How many parts the pixels are cut into, so that `blocks` blocks for each part fill the device `depth` blocks deep. */
static inline int conv_parts(struct op_ctx *ctx, size_t tiles, size_t blocks, int depth)
{
    size_t parts = (size_t)cuda_state_of(ctx)->multiprocessors * depth / blocks;
    parts = parts < tiles ? parts : tiles;
    return parts ? (int)parts : 1;
}

#endif
