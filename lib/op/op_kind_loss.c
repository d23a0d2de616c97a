/* The losses: frames B, H, W; the value is the one output, its gradient a weight of 1. */
#include "op/op_kind.h"

enum { LOSS_PRED, LOSS_TARGET, LOSS_VALUE, LOSS_DVALUE, LOSS_DPRED, LOSS_INDEX, LOSS_SAMPLE, LOSS_SELECT };
enum { SAMPLES = 7 };

static const double weight = 0.8;

static size_t frame_pixels(const struct op_case *c)
{
    return c->s[1] * c->s[2];
}

static void loss_operands(struct op_case_run *r)
{
    size_t B = r->c->s[0], n = B * frame_pixels(r->c);
    int pred = operand(r, "pred", OP_INPUT, OP_FLOAT, OP_FILL_UNIT, n);
    operand(r, "target", OP_CONSTANT, OP_FLOAT, OP_FILL_UNIT, n);
    int value = output(r, "loss", OP_FLOAT, 1);
    gradient(r, "dloss", value, 0);
    gradient(r, "dpred", pred, 1);
    int index = operand(r, "index", OP_CONSTANT, OP_INT32, OP_FILL_INDEX, B * SAMPLES);
    r->operand[index].limit = frame_pixels(r->c);
    operand(r, "sample", OP_CONSTANT, OP_FLOAT, OP_FILL_UNIT, B * SAMPLES);
    operand(r, "select", OP_CONSTANT, OP_BYTE, OP_FILL_BIT, B * SAMPLES);
}

enum loss { L1, L2, CHARBONNIER, SAMPLED, SSIM, GRADIENT };

/* A backward pass weighs the loss by its output's gradient. */
static int loss(struct op_case_run *r, enum loss which, int backward, struct err *e)
{
    size_t B = r->c->s[0], H = r->c->s[1], W = r->c->s[2], n = B * H * W;
    float k = 1, *dpred = backward ? AT(LOSS_DPRED) : NULL;
    double value = 0, w;
    int code = 0;
    if (backward)
        OPS->download(r->ctx, &k, AT(LOSS_DVALUE), sizeof k);
    w = weight * (double)k;
    switch (which) {
    case L1:
    case L2:
    case CHARBONNIER:
        code = OPS->loss_pixels(r->ctx,
                                which == L1   ? OP_LOSS_L1
                                : which == L2 ? OP_LOSS_L2
                                              : OP_LOSS_CHARBONNIER,
                                n, w, AT(LOSS_PRED), AT(LOSS_TARGET), &value, dpred, e);
        break;
    case SAMPLED:
        code = OPS->loss_sampled(r->ctx, B, SAMPLES, H * W, w, AT(LOSS_PRED), AT(LOSS_INDEX), AT(LOSS_SAMPLE),
                                 AT(LOSS_SELECT), &value, dpred, e);
        break;
    case SSIM:
        code = OPS->loss_ssim(r->ctx, B, H, W, w, AT(LOSS_PRED), AT(LOSS_TARGET), &value, dpred, e);
        break;
    case GRADIENT:
        code = OPS->loss_gradient(r->ctx, B, H, W, w, AT(LOSS_PRED), AT(LOSS_TARGET), &value, dpred, e);
        break;
    }
    if (!code && !backward)
        OPS->upload(r->ctx, AT(LOSS_VALUE), &(float){(float)value}, sizeof(float));
    return code;
}

#define LOSS_KIND(NAME, WHICH)                                                                               \
    static int NAME##_forward(struct op_case_run *r, struct err *e)                                          \
    {                                                                                                        \
        return loss(r, WHICH, 0, e);                                                                         \
    }                                                                                                        \
    static int NAME##_backward(struct op_case_run *r, struct err *e)                                         \
    {                                                                                                        \
        return loss(r, WHICH, 1, e);                                                                         \
    }                                                                                                        \
    const struct op_kind kind_##NAME = {"loss " #NAME, loss_operands, NAME##_forward, NAME##_backward, 0,    \
                                        NULL};
LOSS_KIND(l1, L1)
LOSS_KIND(l2, L2)
LOSS_KIND(charbonnier, CHARBONNIER)
LOSS_KIND(sampled, SAMPLED)
LOSS_KIND(ssim, SSIM)
LOSS_KIND(gradient, GRADIENT)

/* The error head's has an input and a gradient more. WIDE: raw scales from nothing to 48 times the picture. */
enum { NLL_PRED, NLL_TARGET, NLL_VALUE, NLL_DVALUE, NLL_DPRED, NLL_Z, NLL_DZ };

static void nll_operands(struct op_case_run *r)
{
    size_t n = r->c->s[0] * frame_pixels(r->c);
    int pred = operand(r, "pred", OP_INPUT, OP_FLOAT, OP_FILL_UNIT, n);
    operand(r, "target", OP_CONSTANT, OP_FLOAT, OP_FILL_UNIT, n);
    int value = output(r, "loss", OP_FLOAT, 1);
    gradient(r, "dloss", value, 0);
    gradient(r, "dpred", pred, 1);
    int z = operand(r, "z", OP_INPUT, OP_FLOAT, r->c->flags & WIDE ? OP_FILL_WIDE : OP_FILL_NORMAL, n);
    gradient(r, "dz", z, 1);
}

static int nll(struct op_case_run *r, int backward, struct err *e)
{
    float k = 1;
    double value = 0;
    if (backward)
        OPS->download(r->ctx, &k, AT(NLL_DVALUE), sizeof k);
    int code = OPS->loss_nll(r->ctx, r->c->s[0] * frame_pixels(r->c), weight * (double)k, AT(NLL_PRED),
                             AT(NLL_Z), AT(NLL_TARGET), &value, backward ? AT(NLL_DPRED) : NULL,
                             backward ? AT(NLL_DZ) : NULL, e);
    if (!code && !backward)
        OPS->upload(r->ctx, AT(NLL_VALUE), &(float){(float)value}, sizeof(float));
    return code;
}

static int nll_forward(struct op_case_run *r, struct err *e)
{
    return nll(r, 0, e);
}

static int nll_backward(struct op_case_run *r, struct err *e)
{
    return nll(r, 1, e);
}

const struct op_kind kind_nll = {"loss nll", nll_operands, nll_forward, nll_backward, 0, NULL};
