/* Sums over the rows of a matrix: gradients of biases. */
#ifndef SGAPS_OP_CUDA_COLUMN_SUMS_CUH
#define SGAPS_OP_CUDA_COLUMN_SUMS_CUH

#include "op/cuda/cuda.cuh"

/* How many floats of scratch memory cuda_add_column_sums needs. */
size_t cuda_column_sums_room(const struct op_ctx *ctx, size_t rows, size_t columns);
/* sums(columns) += the column sums of x (rows, columns), rows ld elements apart; in a fixed order. */
void cuda_add_column_sums(struct op_ctx *ctx, size_t rows, size_t columns, const act *x, size_t ld,
                          float *room, float *sums);

#endif
