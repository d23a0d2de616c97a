/* linear.cu's plans: what cuBLASLt wants to know of a product, found once for each shape. */
#ifndef SGAPS_OP_CUDA_LINEAR_CUH
#define SGAPS_OP_CUDA_LINEAR_CUH

#include "op/cuda/cuda.cuh"

int cuda_linear_open(struct cuda_linear_plans **plans, struct err *e);
void cuda_linear_close(struct cuda_linear_plans *plans);

/* One product on cuBLASLt in row-major terms: D (M,N) = epilogue(alpha op(A) op(B) + beta C + bias). op(A) is (M,K), op(B)
 * is (K,N); a_transposed: A is stored (K,M), b_transposed: B is stored (N,K). Leading dimensions are elements from one
 * stored row to the next. A, B and (float where d_float) C and D are activations; sums are float. bias (N) float or NULL, added
 * to each row, then ReLU. batch > 1: that many products, the strides elements apart (0: shared). */
struct cuda_product {
    size_t M, N, K, lda, ldb, ldc, ldd;
    bool a_transposed, b_transposed, d_float, relu;
    const float *bias;
    float alpha, beta;
    size_t batch;
    long long stride_a, stride_b, stride_c, stride_d;
};
/* C may be D; with beta = 0 C is not read. */
int cuda_multiply(struct op_ctx *ctx, const struct cuda_product *p, const void *A, const void *B,
                  const void *C, void *D, struct err *e);

#endif
