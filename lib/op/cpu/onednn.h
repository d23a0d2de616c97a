/* All of oneDNN that is used, behind three functions: matrix products and 3x3 convolutions in float. Primitives are
 * made once per shape and kept; weights are reordered on every call, for training changes them in place (a reorder
 * costs a thousandth of the product). A struct onednn serves one thread at a time. */
#ifndef SGAPS_OP_CPU_ONEDNN_H
#define SGAPS_OP_CPU_ONEDNN_H

#include <stddef.h>

#include "base/err.h"

struct onednn;

int onednn_open(struct onednn **d, int threads, struct err *e);
void onednn_close(struct onednn *d);

/* Row-major c(M,N) = a b, or += when accumulate. a is (M,K), or (K,M) read across when transpose_a; b is (K,N), or
 * (N,K) when transpose_b. lda, ldb, ldc: elements from one stored row to the next. */
struct onednn_product {
    int transpose_a, transpose_b, accumulate;
    size_t M, N, K, lda, ldb, ldc;
    const float *a, *b;
    float *c;
};
int onednn_multiply(struct onednn *d, const struct onednn_product *p, struct err *e);

enum onednn_direction { ONEDNN_FORWARD, ONEDNN_BACKWARD_DATA, ONEDNN_BACKWARD_WEIGHT };

/* 3x3, padding 1, stride 1; images (B,H,W,C), weights (O,C,3,3). The direction says which pointer is written: y, x
 * or w. */
struct onednn_conv {
    enum onednn_direction direction;
    size_t B, H, W, C, O;
    float *x, *w, *y;
};
int onednn_convolve(struct onednn *d, const struct onednn_conv *p, struct err *e);

/* "2.6.3", and the instruction set it chose. */
const char *onednn_version(void);
const char *onednn_isa(void);

#endif
