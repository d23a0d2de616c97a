/* The kinds that work on rows of tokens and on single elements. */
#include "op/op_kind.h"

/* --- positions: rows, D --- */

static void position_operands(struct op_case_run *r)
{
    operand(r, "uv", OP_CONSTANT, OP_FLOAT, OP_FILL_UNIT, 2 * r->c->s[0]);
    operand(r, "frequencies", OP_CONSTANT, OP_FLOAT, OP_FILL_POSITIVE, r->c->s[1] / 4);
    operand(r, "y", OP_SAVED, OP_ACT, OP_FILL_NORMAL, r->c->s[0] * r->c->s[1]);
}

static int position_forward(struct op_case_run *r, struct err *e)
{
    (void)e;
    OPS->position_encode(r->ctx, r->c->s[0], r->c->s[1], AT(0), AT(1), AT(2));
    return 0;
}

const struct op_kind kind_position = {"position_encode", position_operands, position_forward, NULL, 0, NULL};

/* --- pixel embedding: B, N, D --- */

enum { EMB_PIXELS, EMB_COUNTS, EMB_W, EMB_BIAS, EMB_FREQS, EMB_TOKENS, EMB_DTOKENS, EMB_DW, EMB_DBIAS };

static void embed_operands(struct op_case_run *r)
{
    size_t B = r->c->s[0], N = r->c->s[1], D = r->c->s[2];
    operand(r, "pixels", OP_CONSTANT, OP_FLOAT, OP_FILL_UNIT, B * N * 3);
    counts(r, "counts", B, N);
    int w = input(r, "w", OP_FLOAT, 3 * D), bias = input(r, "bias", OP_FLOAT, D);
    operand(r, "frequencies", OP_CONSTANT, OP_FLOAT, OP_FILL_POSITIVE, D / 4);
    int tokens = output(r, "tokens", OP_ACT, B * (N + 1) * D);
    gradient(r, "dtokens", tokens, 0);
    gradient(r, "dw", w, 1);
    gradient(r, "dbias", bias, 1);
}

static int embed_forward(struct op_case_run *r, struct err *e)
{
    (void)e;
    OPS->embed_pixels(r->ctx, r->c->s[0], r->c->s[1], r->c->s[2], AT(EMB_PIXELS),
                      flagged(r, RAGGED, EMB_COUNTS), AT(EMB_W), AT(EMB_BIAS), AT(EMB_FREQS), AT(EMB_TOKENS));
    return 0;
}

static int embed_backward(struct op_case_run *r, struct err *e)
{
    (void)e;
    OPS->embed_pixels_backward(r->ctx, r->c->s[0], r->c->s[1], r->c->s[2], AT(EMB_PIXELS),
                               flagged(r, RAGGED, EMB_COUNTS), AT(EMB_DTOKENS), AT(EMB_DW), AT(EMB_DBIAS));
    return 0;
}

const struct op_kind kind_embed = {"embed_pixels", embed_operands, embed_forward, embed_backward, 0, NULL};

/* --- mean of tokens: B, N, D --- */

enum { MEAN_TOKENS, MEAN_COUNTS, MEAN_Y, MEAN_DY, MEAN_DTOKENS };

static void mean_operands(struct op_case_run *r)
{
    size_t B = r->c->s[0], N = r->c->s[1], D = r->c->s[2];
    int tokens = input(r, "tokens", OP_ACT, B * (N + 1) * D);
    counts(r, "counts", B, N);
    int y = output(r, "mean", OP_ACT, B * D);
    gradient(r, "dmean", y, 0);
    gradient(r, "dtokens", tokens, 1);
}

static int mean_forward(struct op_case_run *r, struct err *e)
{
    (void)e;
    OPS->mean_tokens(r->ctx, r->c->s[0], r->c->s[1] + 1, r->c->s[2], flagged(r, RAGGED, MEAN_COUNTS),
                     AT(MEAN_TOKENS), AT(MEAN_Y));
    return 0;
}

static int mean_backward(struct op_case_run *r, struct err *e)
{
    (void)e;
    OPS->mean_tokens_backward(r->ctx, r->c->s[0], r->c->s[1] + 1, r->c->s[2], flagged(r, RAGGED, MEAN_COUNTS),
                              AT(MEAN_DY), AT(MEAN_DTOKENS));
    return 0;
}

const struct op_kind kind_mean_tokens = {"mean_tokens", mean_operands, mean_forward, mean_backward, 0, NULL};

/* --- a row added to every token of a frame: B, T, D; x starts from a copy, so that a second pass gives the same --- */

enum { FRAME_ROW, FRAME_FROM, FRAME_X, FRAME_DX, FRAME_DROW };

static void frame_operands(struct op_case_run *r)
{
    size_t B = r->c->s[0], T = r->c->s[1], D = r->c->s[2];
    int row = input(r, "row", OP_ACT, B * D);
    operand(r, "x before", OP_CONSTANT, OP_ACT, OP_FILL_NORMAL, B * T * D);
    int x = output(r, "x", OP_ACT, B * T * D);
    gradient(r, "dx", x, 0);
    gradient(r, "drow", row, 0);
}

static int frame_forward(struct op_case_run *r, struct err *e)
{
    (void)e;
    size_t B = r->c->s[0], T = r->c->s[1], D = r->c->s[2];
    OPS->copy_rows(r->ctx, B * T, D, AT(FRAME_FROM), D, AT(FRAME_X), D, 0);
    OPS->add_frame_row(r->ctx, B, T, D, 0.7f, AT(FRAME_ROW), AT(FRAME_X));
    return 0;
}

static int frame_backward(struct op_case_run *r, struct err *e)
{
    (void)e;
    OPS->add_frame_row_backward(r->ctx, r->c->s[0], r->c->s[1], r->c->s[2], 0.7f, AT(FRAME_DX),
                                AT(FRAME_DROW));
    return 0;
}

const struct op_kind kind_frame_row = {
    "add_frame_row", frame_operands, frame_forward, frame_backward, 0, NULL};

/* --- the sum of frames: B, n --- */

static void sum_operands(struct op_case_run *r)
{
    operand(r, "x", OP_CONSTANT, OP_ACT, OP_FILL_NORMAL, r->c->s[0] * r->c->s[1]);
    operand(r, "y", OP_SAVED, OP_ACT, OP_FILL_NORMAL, r->c->s[1]);
}

static int sum_forward(struct op_case_run *r, struct err *e)
{
    (void)e;
    OPS->sum_frames(r->ctx, r->c->s[0], r->c->s[1], AT(0), AT(1));
    return 0;
}

const struct op_kind kind_sum_frames = {"sum_frames", sum_operands, sum_forward, NULL, 0, NULL};

/* --- pixel shuffle: B, h, w, C, p --- */

static size_t shuffle_pixel(const struct op_case *c)
{
    return c->s[3] + (c->flags & STRIDED ? 2 : 0);
}

static void shuffle_operands(struct op_case_run *r)
{
    const size_t *s = r->c->s, blocks = s[0] * s[1] * s[2], p2 = s[4] * s[4];
    int x = input(r, "x", OP_ACT, blocks * s[3] * p2),
        y = output(r, "y", OP_ACT, blocks * p2 * shuffle_pixel(r->c));
    gradient(r, "dy", y, 0);
    gradient(r, "dx", x, 0);
}

static int shuffle_forward(struct op_case_run *r, struct err *e)
{
    (void)e;
    const size_t *s = r->c->s;
    OPS->pixel_shuffle(r->ctx, s[0], s[1], s[2], s[3], s[4], shuffle_pixel(r->c), AT(0), AT(1));
    return 0;
}

static int shuffle_backward(struct op_case_run *r, struct err *e)
{
    (void)e;
    const size_t *s = r->c->s;
    OPS->pixel_shuffle_backward(r->ctx, s[0], s[1], s[2], s[3], s[4], shuffle_pixel(r->c), AT(2), AT(3));
    return 0;
}

const struct op_kind kind_shuffle = {
    "pixel_shuffle", shuffle_operands, shuffle_forward, shuffle_backward, 0, NULL};

/* --- elements: n --- */

enum { EL_X, EL_Y, EL_DY, EL_DX };

static void element_operands(struct op_case_run *r)
{
    int x = input(r, "x", OP_ACT, r->c->s[0]), y = output(r, "y", OP_ACT, r->c->s[0]);
    gradient(r, "dy", y, 0);
    gradient(r, "dx", x, 0);
}

static const struct op_dropout element_dropout = {0.25f, 0xfedcba9876543210u, 0x100000001u};

static int dropout_forward(struct op_case_run *r, struct err *e)
{
    (void)e;
    OPS->dropout(r->ctx, r->c->s[0], &element_dropout, AT(EL_X), AT(EL_Y));
    return 0;
}

static int dropout_backward(struct op_case_run *r, struct err *e)
{
    (void)e;
    OPS->dropout(r->ctx, r->c->s[0], &element_dropout, AT(EL_DY), AT(EL_DX));
    return 0;
}

const struct op_kind kind_dropout = {"dropout", element_operands, dropout_forward, dropout_backward, 0, NULL};

static int sigmoid_forward(struct op_case_run *r, struct err *e)
{
    (void)e;
    OPS->sigmoid(r->ctx, r->c->s[0], AT(EL_X), AT(EL_Y));
    return 0;
}

static int sigmoid_backward(struct op_case_run *r, struct err *e)
{
    (void)e;
    OPS->sigmoid_backward(r->ctx, r->c->s[0], AT(EL_Y), AT(EL_DY), AT(EL_DX));
    return 0;
}

const struct op_kind kind_sigmoid = {"sigmoid", element_operands, sigmoid_forward, sigmoid_backward, 0, NULL};

static void pair_operands(struct op_case_run *r)
{
    operand(r, "a", OP_CONSTANT, OP_ACT, OP_FILL_NORMAL, r->c->s[0]);
    operand(r, "b", OP_CONSTANT, OP_ACT, OP_FILL_NORMAL, r->c->s[0]);
    operand(r, "y", OP_SAVED, OP_ACT, OP_FILL_NORMAL, r->c->s[0]);
}

static int relu_forward(struct op_case_run *r, struct err *e)
{
    (void)e;
    OPS->relu_backward(r->ctx, r->c->s[0], 1.25f, AT(0), AT(1), AT(2));
    return 0;
}

const struct op_kind kind_relu = {"relu_backward", pair_operands, relu_forward, NULL, 0, NULL};

/* --- activations as floats, with floats added where there is a residual, and those as activations: n --- */

enum { CONVERT_X, CONVERT_BASE, CONVERT_FLOATS, CONVERT_Y };

static void convert_operands(struct op_case_run *r)
{
    operand(r, "x", OP_CONSTANT, OP_ACT, OP_FILL_NORMAL, r->c->s[0]);
    operand(r, "base", OP_CONSTANT, OP_FLOAT, OP_FILL_NORMAL, r->c->s[0]);
    saved(r, "floats", r->c->s[0]);
    operand(r, "y", OP_SAVED, OP_ACT, OP_FILL_NORMAL, r->c->s[0]);
}

static int convert_forward(struct op_case_run *r, struct err *e)
{
    (void)e;
    OPS->to_float(r->ctx, r->c->s[0], AT(CONVERT_X), flagged(r, RESIDUAL, CONVERT_BASE), AT(CONVERT_FLOATS));
    OPS->to_act(r->ctx, r->c->s[0], AT(CONVERT_FLOATS), AT(CONVERT_Y));
    return 0;
}

const struct op_kind kind_convert = {"convert", convert_operands, convert_forward, NULL, 0, NULL};

/* --- rows, n, between rows of other lengths; strided: of lengths that keep every row aligned as the first --- */

static size_t copy_from(const struct op_case *c)
{
    return c->s[1] + (c->flags & STRIDED ? 16 : 3);
}

static size_t copy_to(const struct op_case *c)
{
    return c->s[1] + (c->flags & STRIDED ? 8 : 1);
}

static void copy_operands(struct op_case_run *r)
{
    operand(r, "src", OP_CONSTANT, OP_ACT, OP_FILL_NORMAL, r->c->s[0] * copy_from(r->c));
    int dst = operand(r, "dst", OP_SAVED, OP_ACT, OP_FILL_NORMAL, r->c->s[0] * copy_to(r->c));
    r->operand[dst].accumulates = !!(r->c->flags & ACCUMULATE);
}

static int copy_forward(struct op_case_run *r, struct err *e)
{
    (void)e;
    OPS->copy_rows(r->ctx, r->c->s[0], r->c->s[1], AT(0), copy_from(r->c), AT(1), copy_to(r->c),
                   !!(r->c->flags & ACCUMULATE));
    return 0;
}

const struct op_kind kind_copy = {"copy_rows", copy_operands, copy_forward, NULL, 0, NULL};

/* --- the optimiser's: n --- */

enum { OPT_P, OPT_G, OPT_M, OPT_V, OPT_SCALED, OPT_SUM };

static void optimiser_operands(struct op_case_run *r)
{
    size_t n = r->c->s[0];
    moved(r, "p", n);
    operand(r, "g", OP_CONSTANT, OP_FLOAT, OP_FILL_NORMAL, n);
    moved(r, "m", n);
    moved(r, "v", n);
    moved(r, "scaled", n);
    saved(r, "sum of squares", 1);
}

static int optimiser_forward(struct op_case_run *r, struct err *e)
{
    (void)e;
    const struct op_adamw a = {1e-3, 0.9, 0.999, 1e-8, 0.01, 3};
    size_t n = r->c->s[0];
    double sum = -1;
    OPS->adamw(r->ctx, &a, n, AT(OPT_P), AT(OPT_G), AT(OPT_M), AT(OPT_V));
    OPS->scale(r->ctx, n, 0.3f, AT(OPT_SCALED));
    OPS->sum_squares(r->ctx, n, AT(OPT_G), &sum);
    OPS->upload(r->ctx, AT(OPT_SUM), &(float){(float)sum}, sizeof(float));
    return 0;
}

const struct op_kind kind_optimiser = {"optimiser", optimiser_operands, optimiser_forward, NULL, 0, NULL};
