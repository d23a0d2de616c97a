/* One row of lib/op/op_case.c on one backend, and its results against another's. */
#ifndef SGAPS_TESTS_OP_COMPARE_H
#define SGAPS_TESTS_OP_COMPARE_H

#include "op/op_case.h"

/* Is it a result? */
int op_compare_written(const struct op_operand *o);
enum {
    OP_COMPARE_BF16 = 1,   /* every float is rounded to bfloat16 first: what a backend in bf16 starts from */
    OP_COMPARE_SHIFTED = 2 /* operands that are aligned to their elements only */
};
/* From fresh operands to downloaded results; results are NaN before, unless what is there is read. op_case_close(r) in any
 * case. */
int op_compare_run(struct op_case_run *r, const struct op_case *c, struct op_ctx *ctx, unsigned how,
                   struct err *e);
/* The largest ||have - want|| / ||want|| of the results, whose name goes to *where; infinite where one has written what
 * the other has not. */
double op_compare_distance(const struct op_case_run *have, const struct op_case_run *want,
                           const char **where);
/* The same results to the bit? */
int op_compare_same(const struct op_case_run *a, const struct op_case_run *b);

#endif
