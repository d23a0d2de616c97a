/* The operations as rows of one table: shapes, operands and how to call them. tests/op holds each backend's results
 * against ref's and gradients against finite differences from it; sgaps-bench times it. A new operation, or a shape that
 * once went wrong, is one row in op_case.c. */
#ifndef SGAPS_OP_OP_CASE_H
#define SGAPS_OP_OP_CASE_H

#include "op/op.h"

enum { OP_CASE_OPERANDS = 16, OP_CASE_SIZES = 6 };

enum op_role {
    OP_CONSTANT,        /* read */
    OP_INPUT,           /* read; the loss L = sum of <gradient, output> is differentiated by it */
    OP_OUTPUT,          /* written by forward */
    OP_SAVED,           /* written by forward, no part of L (statistics, maps) */
    OP_OUTPUT_GRADIENT, /* of operand `of`; read by backward */
    OP_INPUT_GRADIENT   /* of operand `of`; written by backward */
};
enum op_store { OP_FLOAT, OP_ACT, OP_INT32, OP_BYTE };
enum op_fill {
    OP_FILL_NORMAL,
    OP_FILL_WIDE,     /* normal, 16 times as wide */
    OP_FILL_POSITIVE, /* 0.5 .. 1.5 */
    OP_FILL_UNIT,     /* 0 .. 1 */
    OP_FILL_COUNT,    /* 1 .. limit, the first is the limit */
    OP_FILL_INDEX,    /* 0 .. limit-1 */
    OP_FILL_BIT
};

struct op_operand {
    const char *name;
    enum op_role role;
    enum op_store store;
    enum op_fill fill;
    size_t n, limit;
    int of;
    int accumulates; /* what is there before is read: a gradient that backward adds to, a moving average */
};

enum {
    OP_CASE_TEST = 1,
    OP_CASE_BENCH = 2,
    OP_CASE_GPU = 4 /* a test on a GPU alone: large enough to bring kernels that smaller rows do not */
};

struct op_case {
    const struct op_kind *kind;
    int use;                 /* OP_CASE_..., or-ed */
    unsigned flags;          /* the kind's own */
    size_t s[OP_CASE_SIZES]; /* the kind's sizes */
};

struct op_case_run {
    const struct op_case *c;
    struct op_ctx *ctx;
    size_t shift; /* elements from the start of its memory to an operand of floats */
    size_t operands;
    struct op_operand operand[OP_CASE_OPERANDS];
    void *host[OP_CASE_OPERANDS], *device[OP_CASE_OPERANDS];
};

extern const struct op_case op_cases[];
extern const size_t op_case_count;

/* "linear 37x29x13 bias+relu" */
void op_case_name(const struct op_case *c, char *out, size_t size);
int op_case_has_backward(const struct op_case *c);
/* Floating point operations, multiply-add = 2; 0 where memory is what counts. */
double op_case_flops(const struct op_case *c, int backward);
/* Bytes of the operands a pass reads and writes at least once. */
double op_case_bytes(const struct op_case_run *r, int backward);

/* Operands in host and device memory, the same numbers for the same row on every backend. ctx outlives r. */
int op_case_open(struct op_case_run *r, const struct op_case *c, struct op_ctx *ctx, struct err *e);
/* The same where no operand of floats is aligned to more than an element. */
int op_case_open_shifted(struct op_case_run *r, const struct op_case *c, struct op_ctx *ctx, struct err *e);
void op_case_close(struct op_case_run *r);
void op_case_upload(struct op_case_run *r);   /* every operand */
void op_case_download(struct op_case_run *r); /* what was written */
int op_case_forward(struct op_case_run *r, struct err *e);
int op_case_backward(struct op_case_run *r, struct err *e);

#endif
