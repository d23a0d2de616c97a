/* Private to op_case.c and op_kind.c: what a row of the table needs to know about its operation. */
#ifndef SGAPS_OP_OP_KIND_H
#define SGAPS_OP_OP_KIND_H

#include "op/op_case.h"

struct op_kind {
    const char *name;
    void (*operands)(struct op_case_run *r);
    int (*forward)(struct op_case_run *r, struct err *e);
    int (*backward)(struct op_case_run *r, struct err *e); /* after forward; NULL: none */
    unsigned forward_only;                                 /* rows with any of these flags have no backward */
    double (*flops)(const struct op_case *c, int backward);
};

/* In the order of the names in op_case_name. */
enum {
    BIAS = 1,
    RELU = 2,
    RESIDUAL = 4,
    IN_PLACE = 8,
    SHARED = 16,
    STRIDED = 32,
    RAGGED = 64,
    DROP = 128,
    ACCUMULATE = 256,
    WIDE = 512
};

extern const struct op_kind kind_linear, kind_attention, kind_self_attention, kind_importance, kind_conv3x3,
    kind_batch_norm, kind_layer_norm, kind_position, kind_embed, kind_mean_tokens, kind_frame_row,
    kind_sum_frames, kind_shuffle, kind_convert, kind_copy, kind_relu, kind_dropout, kind_sigmoid, kind_l1,
    kind_l2, kind_charbonnier, kind_sampled, kind_ssim, kind_gradient, kind_nll, kind_optimiser;

/* Operands are declared in order; each returns its index. */
static inline int operand(struct op_case_run *r, const char *name, enum op_role role, enum op_store store,
                          enum op_fill fill, size_t n)
{
    r->operand[r->operands] =
        (struct op_operand){.name = name, .role = role, .store = store, .fill = fill, .n = n};
    return (int)r->operands++;
}

static inline int input(struct op_case_run *r, const char *name, enum op_store store, size_t n)
{
    return operand(r, name, OP_INPUT, store, OP_FILL_NORMAL, n);
}

static inline int output(struct op_case_run *r, const char *name, enum op_store store, size_t n)
{
    return operand(r, name, OP_OUTPUT, store, OP_FILL_NORMAL, n);
}

static inline int saved(struct op_case_run *r, const char *name, size_t n)
{
    return operand(r, name, OP_SAVED, OP_FLOAT, OP_FILL_POSITIVE, n);
}

/* One that is moved on from what it was. */
static inline int moved(struct op_case_run *r, const char *name, size_t n)
{
    int i = saved(r, name, n);
    r->operand[i].accumulates = 1;
    return i;
}

/* The gradient of operand `of`; parameters' gradients accumulate. */
static inline int gradient(struct op_case_run *r, const char *name, int of, int accumulates)
{
    const struct op_operand *o = r->operand + of;
    enum op_role role = o->role == OP_OUTPUT ? OP_OUTPUT_GRADIENT : OP_INPUT_GRADIENT;
    int i = operand(r, name, role, o->store, OP_FILL_NORMAL, o->n);
    r->operand[i].of = of;
    r->operand[i].accumulates = accumulates;
    return i;
}

static inline int counts(struct op_case_run *r, const char *name, size_t n, size_t limit)
{
    int i = operand(r, name, OP_CONSTANT, OP_INT32, OP_FILL_COUNT, n);
    r->operand[i].limit = limit;
    return i;
}

static inline void *flagged(const struct op_case_run *r, unsigned flag, int i)
{
    return r->c->flags & flag ? r->device[i] : NULL;
}

/* In a kind's functions: the backend's table, and an operand in its memory. */
#define OPS (r->ctx->ops)
#define AT(i) (r->device[i])

#endif
