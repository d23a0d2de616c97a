/* Copies of parameter blocks in bf16, which products on the tensor cores read. */
#ifndef SGAPS_OP_CUDA_PARAMETERS_CUH
#define SGAPS_OP_CUDA_PARAMETERS_CUH

#include "op/cuda/cuda.cuh"

int cuda_mirrors_open(struct cuda_mirrors **m, struct err *e);
void cuda_mirrors_close(struct cuda_mirrors *m);
void cuda_mirrors_forget(struct op_ctx *ctx, const void *p);

/* The bf16 copy of n parameters from w on: inside a block that parameters_changed was told of, for which it costs
 * nothing, else rounded now into `room` (n elements of the caller's scratch memory). */
const bf16 *cuda_parameters_bf16(struct op_ctx *ctx, const float *w, size_t n, bf16 *room);
/* Whether w lies in a block with a copy, so that no room is needed. */
bool cuda_parameters_mirrored(struct op_ctx *ctx, const float *w, size_t n);
/* Where adamw writes the rounded parameters beside p (n), or NULL. */
bf16 *cuda_parameters_copy(struct op_ctx *ctx, const float *p, size_t n);

#endif
