/* Private to attention_backward*.cu: what the two ways of the backward pass share.
 *
 * With weights P = exp(S scale - lse), S = q k^T, mask M (0 or 1) and its scale m, dP = dout v^T and delta = rowsum(dout out):
 *
 *   dv = m (P M)^T dout      dS = P (M dP - delta / m)      dq = scale m dS k      dk = scale m dS^T q
 *
 * so that factors are applied once, to finished sums. delta is the sum over the keys of P M m dP in another order, which
 * needs no product: the statistics kernel leaves {lse * LOG2E, delta / m} for every row, in rows of whole query tiles whose
 * padding has weights of 0.
 *
 * Blocks own keys, and chunks of the queries where keys alone would leave the device idle. The sums of each chunk go to
 * scratch memory as floats; a last kernel adds the chunks in their order and rounds. */
#ifndef SGAPS_OP_CUDA_ATTENTION_BACKWARD_CUH
#define SGAPS_OP_CUDA_ATTENTION_BACKWARD_CUH

#include "op/cuda/attention.cuh"

struct backward {
    struct attention_shape shape;
    size_t dq_batch;         /* from one frame of dq to the next */
    int rows;                /* Tq rounded up to whole tiles of queries */
    int chunks, chunk_tiles; /* of queries, and how many tiles each has; the last may have fewer */
    float2 *statistics;      /* (B,heads,rows) */
    float *partial; /* (B,heads,chunks,2,key_rows,width): dk, dv of some keys, before their factors */
    int key_first, key_rows, width;
    float factor, value_factor; /* scale * m, m */
};

/* Operands of one call, elements of type T. */
template <typename T> struct backward_operands {
    const T *q, *k, *v, *out, *dout;
    T *dq, *dk, *dv;
};

/* Chooses b->chunks and b->chunk_tiles: of `tiles` tiles of queries, each walked by `owners` blocks, when the device holds
 * `resident` blocks at once. Depends on the shape and the device alone, as the order of the sums does on it. */
void backward_choose_chunks(struct backward *b, size_t tiles, size_t owners, size_t resident);

/* Bytes of statistics and of partial sums for b's sizes, multiples of 256. */
size_t backward_statistics_bytes(const struct backward *b);
size_t backward_partial_bytes(const struct backward *b);

/* Fills b->statistics. */
template <typename T>
void backward_statistics(struct op_ctx *ctx, const struct backward *b, const T *out, const T *dout,
                         const float *lse);

/* Adds the chunks up: rows key_first.. of dk and dv, at most key_rows, those of padding with zeros. */
template <typename T> void backward_finish_keys(struct op_ctx *ctx, const struct backward *b, T *dk, T *dv);

/* bf16 on tensor cores; whether it can serve p with these pointers. */
bool backward_tensor_serves(const struct op_attention *p, const struct backward_operands<bf16> *x);
int backward_tensor(struct op_ctx *ctx, const struct op_attention *p, const float *lse,
                    const struct backward_operands<bf16> *x, struct err *e);

/* Either type, any size. */
template <typename T>
int backward_general(struct op_ctx *ctx, const struct op_attention *p, const float *lse,
                     const struct backward_operands<T> *x, struct err *e);

struct backward backward_of(const struct op_attention *p, size_t query_tile);

#endif
