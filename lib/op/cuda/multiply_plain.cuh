/* The product that cuBLASLt refuses, and the oracle of the one it does not. */
#ifndef SGAPS_OP_CUDA_MULTIPLY_PLAIN_CUH
#define SGAPS_OP_CUDA_MULTIPLY_PLAIN_CUH

#include "op/cuda/linear.cuh"

/* cuda_multiply by FFMA, any alignment and leading dimension; the bias stays float. */
int cuda_multiply_plain(struct op_ctx *ctx, const struct cuda_product *p, const void *A, const void *B,
                        const void *C, void *D);

#endif
