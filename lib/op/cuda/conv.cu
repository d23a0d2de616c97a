/* 3x3 convolution: which kernel takes which shape. */
#include "op/cuda/conv.cuh"

#include "op/cuda/column_sums.cuh"
#include "op/cuda/ops.cuh"

enum path { DIRECT, GEMM, SHIFTED };

/* bf16: the tensor-core kernels take what they can copy 16 bytes at a time, and the few channels they can gather in smaller
 * pieces without waiting long. fp32: a product with few rows or columns leaves cuBLASLt's tiles empty while it moves a whole
 * image nine times. */
static enum path path_of(const struct op_ctx *ctx, const struct conv *c)
{
    if (!ctx->bf16)
        return c->C <= 24 || c->O <= 16 ? DIRECT : SHIFTED;
    return c->C % 8 && c->C > 32 ? SHIFTED : GEMM;
}

static struct conv conv_of(const struct op_conv *p)
{
    struct conv c = {};
    c.B = (int)p->B;
    c.H = (int)p->H;
    c.W = (int)p->W;
    c.C = (int)p->C;
    c.O = (int)p->O;
    c.w = p->w;
    return c;
}

static int run(struct op_ctx *ctx, const struct conv *c, const act *x, act *y, struct err *e)
{
    switch (path_of(ctx, c)) {
    case GEMM:
        return conv_gemm(ctx, c, (const bf16 *)x, (bf16 *)y, e);
    case DIRECT:
        return conv_direct(ctx, c, (const float *)x, (float *)y, e);
    default:
        return conv_shifted(ctx, c, x, y, e);
    }
}

int cuda_conv3x3(struct op_ctx *ctx, const struct op_conv *p, const act *x, act *y, struct err *e)
{
    struct conv c = conv_of(p);
    c.relu = p->relu;
    c.bias = p->bias;
    c.residual = p->residual;
    return run(ctx, &c, x, y, e);
}

int cuda_conv3x3_backward_data(struct op_ctx *ctx, const struct op_conv *p, const act *dy, act *dx,
                               struct err *e)
{
    struct conv c = conv_of(p);
    c.C = (int)p->O;
    c.O = (int)p->C;
    c.flipped = true;
    c.residual = p->residual;
    return run(ctx, &c, dy, dx, e);
}

int cuda_conv3x3_backward_weight(struct op_ctx *ctx, const struct op_conv *p, const act *x, const act *dy,
                                 float *dw, float *dbias, struct err *e)
{
    struct conv c = conv_of(p);
    int r = 0;
    switch (path_of(ctx, &c)) {
    case GEMM:
        r = conv_gemm_weight(ctx, &c, (const bf16 *)x, (const bf16 *)dy, dw, e);
        break;
    case DIRECT:
        r = conv_direct_weight(ctx, &c, (const float *)x, (const float *)dy, dw, e);
        break;
    case SHIFTED:
        r = conv_shifted_weight(ctx, &c, x, dy, dw, e);
        break;
    }
    return r || !dbias ? r : cuda_add_column_sums(ctx, p->B * p->H * p->W, p->O, dy, p->O, dbias, e);
}
