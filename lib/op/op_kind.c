/* How each operation of the table is called on the operands of a row. */
#include "op/op_kind.h"

/* --- linear: M, N, K --- */

enum { LIN_X, LIN_W, LIN_BIAS, LIN_RESIDUAL, LIN_Y, LIN_DY, LIN_DX, LIN_DW, LIN_DBIAS };

static size_t lin_pad(const struct op_case *c)
{
    return c->flags & STRIDED ? 3 : 0;
}

static int lin_accumulates(const struct op_case *c)
{
    return !!(c->flags & BIAS);
}

static void linear_operands(struct op_case_run *r)
{
    const struct op_case *c = r->c;
    size_t M = c->s[0], N = c->s[1], K = c->s[2], pad = lin_pad(c);
    int x = input(r, "x", OP_ACT, M * (K + pad));
    int w = input(r, "w", OP_FLOAT, N * K);
    int bias = input(r, "bias", OP_FLOAT, N);
    operand(r, "residual", OP_CONSTANT, OP_ACT, OP_FILL_NORMAL, (c->flags & SHARED ? M / 4 : M) * N);
    int y = output(r, "y", OP_ACT, M * (N + pad));
    gradient(r, "dy", y, 0);
    gradient(r, "dx", x, lin_accumulates(c));
    gradient(r, "dw", w, 1);
    if (c->flags & BIAS)
        gradient(r, "dbias", bias, 1);
}

static struct op_linear linear_of(const struct op_case_run *r)
{
    const struct op_case *c = r->c;
    struct op_linear p = {
        .M = c->s[0], .N = c->s[1], .K = c->s[2], .relu = !!(c->flags & RELU), .w = AT(LIN_W)};
    p.bias = flagged(r, BIAS, LIN_BIAS);
    p.residual = c->flags & IN_PLACE ? AT(LIN_Y) : flagged(r, RESIDUAL, LIN_RESIDUAL);
    p.residual_rows = c->flags & SHARED ? p.M / 4 : 0;
    p.ldx = lin_pad(c) ? p.K + lin_pad(c) : 0;
    p.ldy = lin_pad(c) ? p.N + lin_pad(c) : 0;
    if (c->flags & DROP)
        p.dropout = (struct op_dropout){0.25f, 0x123456789abcdef0u, 78};
    return p;
}

static int linear_forward(struct op_case_run *r, struct err *e)
{
    struct op_linear p = linear_of(r);
    if (r->c->flags & IN_PLACE)
        OPS->copy_rows(r->ctx, p.M, p.N, AT(LIN_RESIDUAL), p.N, AT(LIN_Y), p.N, 0);
    return OPS->linear(r->ctx, &p, AT(LIN_X), AT(LIN_Y), e);
}

static int linear_backward(struct op_case_run *r, struct err *e)
{
    struct op_linear p = linear_of(r);
    int code = OPS->linear_backward_data(r->ctx, &p, AT(LIN_DY), AT(LIN_DX), lin_accumulates(r->c), e);
    if (code)
        return code;
    return OPS->linear_backward_weight(r->ctx, &p, AT(LIN_X), AT(LIN_DY), AT(LIN_DW),
                                       flagged(r, BIAS, LIN_DBIAS), e);
}

static double linear_flops(const struct op_case *c, int backward)
{
    return (backward ? 4.0 : 2.0) * (double)c->s[0] * (double)c->s[1] * (double)c->s[2];
}

const struct op_kind kind_linear = {"linear",        linear_operands, linear_forward,
                                    linear_backward, RELU | DROP,     linear_flops};

/* --- attention: B, heads, head, Tq, Tk; k and v lie side by side; STRIDED: q's rows are 8 elements longer;
 *     WIDE: its numbers are 16 times as large --- */

enum {
    ATT_Q,
    ATT_KV,
    ATT_KEYS,
    ATT_VALUES,
    ATT_OUT,
    ATT_LSE,
    ATT_ENTROPY,
    ATT_VARIANCE,
    ATT_DOUT,
    ATT_DQ,
    ATT_DKV,
    ATT_DQS
};

static void attention_operands(struct op_case_run *r)
{
    const size_t *s = r->c->s, D = s[1] * s[2];
    size_t frames = r->c->flags & SHARED ? 1 : s[0];
    int q = operand(r, "q", OP_INPUT, OP_ACT, r->c->flags & WIDE ? OP_FILL_WIDE : OP_FILL_NORMAL,
                    frames * s[3] * (D + (r->c->flags & STRIDED ? 8 : 0)));
    int kv = input(r, "kv", OP_ACT, s[0] * s[4] * 2 * D);
    counts(r, "keys", s[0], s[4]);
    operand(r, "values", OP_CONSTANT, OP_FLOAT, OP_FILL_UNIT, s[0] * s[4]);
    int out = output(r, "out", OP_ACT, s[0] * s[3] * D);
    saved(r, "lse", s[0] * s[1] * s[3]);
    saved(r, "entropy", s[0] * s[3]);
    saved(r, "variance", s[0] * s[3]);
    gradient(r, "dout", out, 0);
    gradient(r, "dq", q, 0);
    gradient(r, "dkv", kv, 0);
    if (r->c->flags & SHARED)
        operand(r, "dq of each frame", OP_CONSTANT, OP_ACT, OP_FILL_NORMAL, s[0] * s[3] * D);
}

static struct op_attention attention_of(const struct op_case_run *r)
{
    const size_t *s = r->c->s, D = s[1] * s[2];
    struct op_attention p = {
        .B = s[0], .heads = s[1], .head = s[2], .Tq = s[3], .Tk = s[4], .ldq = D, .ldkv = 2 * D};
    if (r->c->flags & STRIDED)
        p.ldq += 8;
    p.q_batch = r->c->flags & SHARED ? 0 : s[3] * p.ldq;
    p.kv_batch = s[4] * 2 * D;
    p.keys = flagged(r, RAGGED, ATT_KEYS);
    if (r->c->flags & DROP)
        p.dropout = (struct op_dropout){0.25f, 0x123456789abcdef0u, 77};
    return p;
}

static act *values_half(const struct op_case_run *r, int kv)
{
    return (char *)AT(kv) + r->c->s[1] * r->c->s[2] * (r->ctx->bf16 ? 2 : 4);
}

static int attention_forward(struct op_case_run *r, struct err *e)
{
    struct op_attention p = attention_of(r);
    return OPS->attention(r->ctx, &p, AT(ATT_Q), AT(ATT_KV), values_half(r, ATT_KV), AT(ATT_OUT), AT(ATT_LSE),
                          e);
}

static int attention_backward(struct op_case_run *r, struct err *e)
{
    struct op_attention p = attention_of(r);
    int shared = !!(r->c->flags & SHARED);
    int code = OPS->attention_backward(r->ctx, &p, AT(ATT_Q), AT(ATT_KV), values_half(r, ATT_KV), AT(ATT_OUT),
                                       AT(ATT_LSE), AT(ATT_DOUT), AT(shared ? ATT_DQS : ATT_DQ), AT(ATT_DKV),
                                       values_half(r, ATT_DKV), e);
    if (!code && shared)
        OPS->sum_frames(r->ctx, p.B, p.Tq * p.ldq, AT(ATT_DQS), AT(ATT_DQ));
    return code;
}

static double attention_flops(const struct op_case *c, int backward)
{
    return (backward ? 10.0 : 4.0) * (double)(c->s[0] * c->s[1] * c->s[2]) * (double)(c->s[3] * c->s[4]);
}

const struct op_kind kind_attention = {"attention",        attention_operands, attention_forward,
                                       attention_backward, STRIDED | WIDE,     attention_flops};

/* --- self-attention: B, heads, head, T; q, k and v lie in one row, as one projection leaves them, and so do their
 *     gradients --- */

enum { SELF_QKV, SELF_KEYS, SELF_OUT, SELF_LSE, SELF_DOUT, SELF_DQKV };

static void self_operands(struct op_case_run *r)
{
    const size_t *s = r->c->s, D = s[1] * s[2];
    int qkv = input(r, "qkv", OP_ACT, s[0] * s[3] * 3 * D);
    counts(r, "keys", s[0], s[3]);
    int out = output(r, "out", OP_ACT, s[0] * s[3] * D);
    saved(r, "lse", s[0] * s[1] * s[3]);
    gradient(r, "dout", out, 0);
    gradient(r, "dqkv", qkv, 0);
}

static struct op_attention self_of(const struct op_case_run *r)
{
    const size_t *s = r->c->s, width = 3 * s[1] * s[2];
    struct op_attention p = {
        .B = s[0], .heads = s[1], .head = s[2], .Tq = s[3], .Tk = s[3], .ldq = width, .ldkv = width};
    p.q_batch = p.kv_batch = s[3] * width;
    p.keys = flagged(r, RAGGED, SELF_KEYS);
    if (r->c->flags & DROP)
        p.dropout = (struct op_dropout){0.125f, 0x0fedcba987654321u, 78};
    return p;
}

/* q, k or v of a packed row. */
static act *third(const struct op_case_run *r, int packed, size_t i)
{
    return (char *)AT(packed) + i * r->c->s[1] * r->c->s[2] * (r->ctx->bf16 ? 2 : 4);
}

static int self_forward(struct op_case_run *r, struct err *e)
{
    struct op_attention p = self_of(r);
    return OPS->attention(r->ctx, &p, third(r, SELF_QKV, 0), third(r, SELF_QKV, 1), third(r, SELF_QKV, 2),
                          AT(SELF_OUT), AT(SELF_LSE), e);
}

static int self_backward(struct op_case_run *r, struct err *e)
{
    struct op_attention p = self_of(r);
    return OPS->attention_backward(r->ctx, &p, third(r, SELF_QKV, 0), third(r, SELF_QKV, 1),
                                   third(r, SELF_QKV, 2), AT(SELF_OUT), AT(SELF_LSE), AT(SELF_DOUT),
                                   third(r, SELF_DQKV, 0), third(r, SELF_DQKV, 1), third(r, SELF_DQKV, 2), e);
}

static double self_flops(const struct op_case *c, int backward)
{
    return (backward ? 10.0 : 4.0) * (double)(c->s[0] * c->s[1] * c->s[2]) * (double)(c->s[3] * c->s[3]);
}

const struct op_kind kind_self_attention = {"self_attention", self_operands, self_forward, self_backward, 0,
                                            self_flops};

/* The maps, from the log-sum-exp of a forward pass without dropout. */
static int importance_forward(struct op_case_run *r, struct err *e)
{
    struct op_attention p = attention_of(r);
    int code = attention_forward(r, e);
    if (!code)
        code = OPS->attention_importance(r->ctx, &p, OP_IMPORTANCE_ENTROPY, AT(ATT_Q), AT(ATT_KV),
                                         AT(ATT_LSE), AT(ATT_VALUES), AT(ATT_ENTROPY), e);
    if (!code)
        code = OPS->attention_importance(r->ctx, &p, OP_IMPORTANCE_VARIANCE, AT(ATT_Q), AT(ATT_KV),
                                         AT(ATT_LSE), AT(ATT_VALUES), AT(ATT_VARIANCE), e);
    return code;
}

const struct op_kind kind_importance = {"importance",   attention_operands, importance_forward, NULL, 0,
                                        attention_flops};

/* --- 3x3 convolution: B, H, W, C, O --- */

/* ACCUMULATE: dx on to what it was, which is put aside first. */
enum { CONV_X, CONV_W, CONV_BIAS, CONV_RESIDUAL, CONV_Y, CONV_DY, CONV_DX, CONV_BEFORE, CONV_DW, CONV_DBIAS };

static void conv_operands(struct op_case_run *r)
{
    const size_t *s = r->c->s, pixels = s[0] * s[1] * s[2];
    int x = input(r, "x", OP_ACT, pixels * s[3]);
    int w = input(r, "w", OP_FLOAT, s[4] * s[3] * 9);
    int bias = input(r, "bias", OP_FLOAT, s[4]);
    operand(r, "residual", OP_CONSTANT, OP_ACT, OP_FILL_NORMAL, pixels * s[4]);
    int y = output(r, "y", OP_ACT, pixels * s[4]);
    gradient(r, "dy", y, 0);
    gradient(r, "dx", x, !!(r->c->flags & ACCUMULATE));
    operand(r, "dx before", OP_SAVED, OP_ACT, OP_FILL_NORMAL, r->c->flags & ACCUMULATE ? pixels * s[3] : 1);
    gradient(r, "dw", w, 1);
    if (r->c->flags & BIAS)
        gradient(r, "dbias", bias, 1);
}

static struct op_conv conv_of(const struct op_case_run *r)
{
    const size_t *s = r->c->s;
    return (struct op_conv){.B = s[0],
                            .H = s[1],
                            .W = s[2],
                            .C = s[3],
                            .O = s[4],
                            .relu = !!(r->c->flags & RELU),
                            .w = AT(CONV_W),
                            .bias = flagged(r, BIAS, CONV_BIAS),
                            .residual = flagged(r, RESIDUAL, CONV_RESIDUAL)};
}

static int conv_forward(struct op_case_run *r, struct err *e)
{
    struct op_conv p = conv_of(r);
    return OPS->conv3x3(r->ctx, &p, AT(CONV_X), AT(CONV_Y), e);
}

static int conv_backward(struct op_case_run *r, struct err *e)
{
    struct op_conv p = conv_of(r);
    size_t n = p.B * p.H * p.W * p.C;
    p.residual = flagged(r, ACCUMULATE, CONV_BEFORE);
    if (p.residual)
        OPS->copy_rows(r->ctx, 1, n, AT(CONV_DX), n, AT(CONV_BEFORE), n, 0);
    int code = OPS->conv3x3_backward_data(r->ctx, &p, AT(CONV_DY), AT(CONV_DX), e);
    if (code)
        return code;
    return OPS->conv3x3_backward_weight(r->ctx, &p, AT(CONV_X), AT(CONV_DY), AT(CONV_DW),
                                        flagged(r, BIAS, CONV_DBIAS), e);
}

static double conv_flops(const struct op_case *c, int backward)
{
    return (backward ? 36.0 : 18.0) * (double)(c->s[0] * c->s[1] * c->s[2]) * (double)(c->s[3] * c->s[4]);
}

const struct op_kind kind_conv3x3 = {"conv3x3", conv_operands, conv_forward, conv_backward, RELU, conv_flops};

/* --- batch norm: rows, C --- */

enum {
    BN_X,
    BN_GAMMA,
    BN_BETA,
    BN_RESIDUAL,
    BN_Y,
    BN_MEAN,
    BN_RSTD,
    BN_RUNNING,
    BN_VARIANCE,
    BN_INFER,
    BN_DY,
    BN_DX,
    BN_DGAMMA,
    BN_DBETA,
    BN_DRESIDUAL
};

static void batch_norm_operands(struct op_case_run *r)
{
    size_t C = r->c->s[1], n = r->c->s[0] * C;
    int x = input(r, "x", OP_ACT, n), gamma = input(r, "gamma", OP_FLOAT, C),
        beta = input(r, "beta", OP_FLOAT, C);
    int residual =
        operand(r, "residual", r->c->flags & RESIDUAL ? OP_INPUT : OP_CONSTANT, OP_ACT, OP_FILL_NORMAL, n);
    int y = output(r, "y", OP_ACT, n);
    saved(r, "mean", C);
    saved(r, "rstd", C);
    moved(r, "running mean", C);
    moved(r, "running variance", C);
    operand(r, "y in evaluation", OP_SAVED, OP_ACT, OP_FILL_NORMAL, n);
    gradient(r, "dy", y, 0);
    gradient(r, "dx", x, 0);
    gradient(r, "dgamma", gamma, 1);
    gradient(r, "dbeta", beta, 1);
    if (r->c->flags & RESIDUAL)
        gradient(r, "dresidual", residual, 0);
}

static struct op_batch_norm batch_norm_of(const struct op_case_run *r)
{
    return (struct op_batch_norm){.rows = r->c->s[0],
                                  .C = r->c->s[1],
                                  .eps = 1e-5f,
                                  .momentum = 0.1f,
                                  .relu = !!(r->c->flags & RELU),
                                  .gamma = AT(BN_GAMMA),
                                  .beta = AT(BN_BETA),
                                  .residual = flagged(r, RESIDUAL, BN_RESIDUAL)};
}

static int batch_norm_forward(struct op_case_run *r, struct err *e)
{
    (void)e;
    struct op_batch_norm p = batch_norm_of(r);
    OPS->batch_norm_infer(r->ctx, &p, AT(BN_X), AT(BN_INFER), AT(BN_RUNNING), AT(BN_VARIANCE));
    OPS->batch_norm(r->ctx, &p, AT(BN_X), AT(BN_Y), AT(BN_MEAN), AT(BN_RSTD), AT(BN_RUNNING),
                    AT(BN_VARIANCE));
    return 0;
}

static int batch_norm_backward(struct op_case_run *r, struct err *e)
{
    (void)e;
    struct op_batch_norm p = batch_norm_of(r);
    OPS->batch_norm_backward(r->ctx, &p, AT(BN_X), AT(BN_Y), AT(BN_MEAN), AT(BN_RSTD), AT(BN_DY), AT(BN_DX),
                             flagged(r, RESIDUAL, BN_DRESIDUAL), AT(BN_DGAMMA), AT(BN_DBETA));
    return 0;
}

const struct op_kind kind_batch_norm = {
    "batch_norm", batch_norm_operands, batch_norm_forward, batch_norm_backward, 0, NULL};

/* --- layer norm: rows, D --- */

enum { LN_X, LN_GAMMA, LN_BETA, LN_Y, LN_MEAN, LN_RSTD, LN_DY, LN_DX, LN_DGAMMA, LN_DBETA };

static size_t ln_pad(const struct op_case *c)
{
    return c->flags & STRIDED ? 5 : 0;
}

static void layer_norm_operands(struct op_case_run *r)
{
    size_t rows = r->c->s[0], D = r->c->s[1];
    int x = input(r, "x", OP_ACT, rows * D), gamma = input(r, "gamma", OP_FLOAT, D),
        beta = input(r, "beta", OP_FLOAT, D);
    int y = output(r, "y", OP_ACT, rows * (D + ln_pad(r->c)));
    saved(r, "mean", rows);
    saved(r, "rstd", rows);
    gradient(r, "dy", y, 0);
    gradient(r, "dx", x, !!(r->c->flags & ACCUMULATE));
    gradient(r, "dgamma", gamma, 1);
    gradient(r, "dbeta", beta, 1);
}

static int layer_norm_forward(struct op_case_run *r, struct err *e)
{
    (void)e;
    size_t rows = r->c->s[0], D = r->c->s[1], pad = ln_pad(r->c);
    OPS->layer_norm(r->ctx, rows, D, pad ? D + pad : 0, AT(LN_X), AT(LN_GAMMA), AT(LN_BETA), AT(LN_Y),
                    AT(LN_MEAN), AT(LN_RSTD));
    return 0;
}

static int layer_norm_backward(struct op_case_run *r, struct err *e)
{
    (void)e;
    size_t rows = r->c->s[0], D = r->c->s[1], pad = ln_pad(r->c);
    OPS->layer_norm_backward(r->ctx, rows, D, pad ? D + pad : 0, AT(LN_X), AT(LN_GAMMA), AT(LN_MEAN),
                             AT(LN_RSTD), AT(LN_DY), AT(LN_DX), !!(r->c->flags & ACCUMULATE), AT(LN_DGAMMA),
                             AT(LN_DBETA));
    return 0;
}

const struct op_kind kind_layer_norm = {
    "layer_norm", layer_norm_operands, layer_norm_forward, layer_norm_backward, 0, NULL};
