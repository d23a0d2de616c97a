/* Sums over the rows of a matrix: gradients of biases. */
#ifndef SGAPS_OP_CUDA_COLUMN_SUMS_CUH
#define SGAPS_OP_CUDA_COLUMN_SUMS_CUH

#include "op/cuda/cuda.cuh"

/* sums(columns) += the column sums of x (rows, columns), rows ld elements apart; in a fixed order. Takes scratch memory:
 * an operation asks for its own afterwards. */
int cuda_add_column_sums(struct op_ctx *ctx, size_t rows, size_t columns, const act *x, size_t ld,
                         float *sums, struct err *e);

#endif
