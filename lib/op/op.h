/* The operations a model is made of: one table of functions for each backend.
 *
 *   ref   plain C, sums in double: the oracle of every test         lib/op/ref
 *   cpu   oneDNN matrix products and convolutions, OpenMP loops      lib/op/cpu
 *   cuda  a shared object loaded at run time: libsgaps-cuda.so       lib/op/cuda
 *
 * Conventions
 * - Row-major. A token matrix is (rows, D); an image is (B,H,W,C), which is the same memory as (B*H*W, C) rows.
 * - act is an activation: float where ctx->bf16 is 0, bfloat16 where it is 1 (cuda; cpu where AVX-512 BF16 is).
 *   Parameters, gradients of parameters, statistics and sums are always float.
 * - Pointers are the backend's: memory comes from op_table.alloc, moves with upload and download.
 * - "+=" in a comment accumulates, "=" overwrites. Gradients of parameters always accumulate; gradients of
 *   activations say which.
 * - An operation that can fail returns 0 or an error; sizes that cannot be are asserted, not reported.
 * - Random masks are never stored: they are drawn again from (seed, stream, index) with Philox4x32-10, where element i
 *   uses word i % 4 of the block with counter {i/4 low, i/4 high, stream low, stream high} and key {seed low, seed high}
 *   (base/philox.h), is kept when word >= p * 2^32, and then scaled by 1/(1-p). Equal on every backend.
 * - Results do not depend on the number of threads being scheduled differently: fixed order of summation for a given
 *   thread count.
 */
#ifndef SGAPS_OP_OP_H
#define SGAPS_OP_OP_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef void act; /* float, or bfloat16 when ctx->bf16 */

struct op_table;

/* One device and its scratch memory; one thread at a time. */
struct op_ctx {
    const struct op_table *ops;
    int threads; /* CPU threads */
    int bf16;    /* activations are bfloat16 */
    int tf32;    /* cuda: fp32 products may round their factors to tf32 */
    int device;  /* cuda: which one, from 0 */
    size_t
        tile_rows; /* set by open: how many rows of queries are best taken through the layers at once in evaluation */
    void *state; /* the backend's own: primitives by shape, scratch, stream */
};

/* p = 0 turns dropout off. stream tells the places of a network and its steps apart. */
struct op_dropout {
    float p;
    uint64_t seed, stream;
};

/* Y(M,N) = dropout(relu(X(M,K) W(N,K)^T + bias)) + residual.
 * ldx, ldy, ldr: elements from one row to the next (0: K, N, N). bias (N) or NULL. relu: max(0, .).
 * dropout: of element index m*N+n; the forward pass only, what comes back through it is the caller's. residual: added
 * last; row m takes residual row m % residual_rows (0: M), so a term that all frames of a batch share is stored once.
 * residual may be y itself. */
struct op_linear {
    size_t M, N, K, ldx, ldy, ldr, residual_rows;
    int relu;
    const float *w, *bias;
    const act *residual;
    struct op_dropout dropout;
};

/* Scaled dot-product attention, softmax(q k^T / sqrt(head)) v for each frame b and head h.
 * q (B,Tq,.) rows of ldq elements, head h at h*head; q_batch elements from one frame to the next (0: all frames
 * share q). k and v (B,Tk,.) rows of ldkv elements, frames kv_batch elements apart (v usually inside the same rows).
 * keys[b] in 1..Tk are valid, the rest is padding (NULL: all). out (B,Tq,heads*head) contiguous.
 * lse (B,heads,Tq) float: log of the sum of exp(q k / sqrt(head)) over the valid keys, natural logarithm.
 * Dropout applies to the normalised weights, element index ((b*heads+h)*Tq+i)*Tk+j. */
struct op_attention {
    size_t B, heads, head, Tq, Tk, ldq, ldkv, q_batch, kv_batch;
    const int32_t *keys; /* device */
    struct op_dropout dropout;
};

enum op_importance { OP_IMPORTANCE_ENTROPY, OP_IMPORTANCE_VARIANCE };

/* 3x3 convolution, padding 1, stride 1: y(B,H,W,O) = x(B,H,W,C) * w(O,C,3,3) + bias, torch's layout of w.
 * ReLU and a residual (B,H,W,O) as an epilogue in that order: y = relu(conv + bias + residual); either may be off. */
struct op_conv {
    size_t B, H, W, C, O;
    int relu;
    const float *w, *bias;
    const act *residual;
};

/* Batch norm over rows x C. */
struct op_batch_norm {
    size_t rows, C;
    float eps, momentum; /* 1e-5, 0.1 */
    int relu;            /* after the residual */
    const float *gamma, *beta;
    const act *residual; /* (rows,C), added before ReLU, or NULL */
};

/* The least scale of a pixel's error in loss_nll, white = 1: a quarter of a grey value, below which 8-bit frames tell nothing. */
#define OP_SCALE_LEAST 1e-3f

enum op_pixel_loss { OP_LOSS_L1, OP_LOSS_L2, OP_LOSS_CHARBONNIER };

struct op_adamw {
    double lr, beta1, beta2, eps, weight_decay;
    int64_t step; /* 1 for the first */
};

struct op_table {
    const char *name;

    /* --- device and memory --- */
    int (*open)(struct op_ctx *ctx, struct err *e); /* ctx->threads and bf16 are set by the caller */
    void (*close)(struct op_ctx *ctx);
    int (*alloc)(struct op_ctx *ctx, void **p, size_t bytes, struct err *e); /* zeroed, 64-byte aligned */
    void (*free)(struct op_ctx *ctx, void *p);
    void (*upload)(struct op_ctx *ctx, void *device, const void *host, size_t bytes);
    void (*download)(struct op_ctx *ctx, void *host, const void *device, size_t bytes);
    /* float on the host <-> activations on the device; n elements */
    void (*upload_act)(struct op_ctx *ctx, act *device, const float *host, size_t n);
    void (*download_act)(struct op_ctx *ctx, float *host, const act *device, size_t n);
    void (*zero)(struct op_ctx *ctx, void *p, size_t bytes);
    void (*synchronise)(struct op_ctx *ctx);
    /* Activations to floats and back, on the device; n elements. y = x, plus `base` where there is one (else NULL): the sum
     * is of floats. Where activations are floats y may be x. */
    void (*to_float)(struct op_ctx *ctx, size_t n, const act *x, const float *base, float *y);
    void (*to_act)(struct op_ctx *ctx, size_t n, const float *x, act *y);
    /* Waits, and returns the first failure of what was started before: operations that return nothing fail here, and
     * everything they wrote is void. ERR_UNAVAILABLE: the device is lost. */
    int (*check)(struct op_ctx *ctx, struct err *e);
    /* What the device is called, and its memory in bytes: for the start-up line, and to say what would fit. */
    const char *(*device_name)(struct op_ctx *ctx);
    void (*memory)(struct op_ctx *ctx, size_t *available, size_t *total);
    /* The caller has written to the parameters p (n floats, one block of alloc). A backend that multiplies in bf16
     * keeps a rounded copy of every block it was told of; adamw keeps that up to date itself. n = 0: forget p. */
    int (*parameters_changed)(struct op_ctx *ctx, const float *p, size_t n, struct err *e);
    /* A sequence of operations on the same memory, recorded once and run again as one, where launches cost more than
     * work. Between record_begin and record_end operations are noted, not run; none of them may take memory, wait, or
     * return a number, so the same sequence has run once before. record_end's *recording is freed by record_free; any
     * memory it used stays where it is until then. NULL where a backend has none of this. */
    int (*record_begin)(struct op_ctx *ctx, struct err *e);
    int (*record_end)(struct op_ctx *ctx, void **recording, struct err *e);
    int (*record_run)(struct op_ctx *ctx, void *recording, struct err *e);
    void (*record_free)(struct op_ctx *ctx, void *recording);

    /* --- matrix products --- */
    int (*linear)(struct op_ctx *ctx, const struct op_linear *p, const act *x, act *y, struct err *e);
    /* dx(M,K) = dy(M,N) w, or += when accumulate. Uses M, N, K, ldx (of dx), ldy (of dy), w. */
    int (*linear_backward_data)(struct op_ctx *ctx, const struct op_linear *p, const act *dy, act *dx,
                                int accumulate, struct err *e);
    /* dw(N,K) += dy^T x; dbias(N) += column sums of dy (NULL: none). */
    int (*linear_backward_weight)(struct op_ctx *ctx, const struct op_linear *p, const act *x, const act *dy,
                                  float *dw, float *dbias, struct err *e);

    /* --- attention --- */
    int (*attention)(struct op_ctx *ctx, const struct op_attention *p, const act *q, const act *k,
                     const act *v, act *out, float *lse, struct err *e);
    /* dq, dk, dv have the layout of q, k, v and are overwritten (rows of padding: zero). With q_batch = 0, dq has B
     * frames of Tq*ldq elements all the same: sum_frames adds them up afterwards. */
    int (*attention_backward)(struct op_ctx *ctx, const struct op_attention *p, const act *q, const act *k,
                              const act *v, const act *out, const float *lse, const act *dout, act *dq,
                              act *dk, act *dv, struct err *e);
    /* From q, k and lse, without ever storing Tq x Tk for all heads: A = mean over heads of the weights, then
     * entropy  -sum_j A_ij log(A_ij + 1e-9) over all keys, or
     * variance sum_j a_ij (value_j - mean_i)^2 over keys 1.., a = A without key 0 renormalised; values (B,Tk-1).
     * map (B,Tq) float. Dropout is not applied. */
    int (*attention_importance)(struct op_ctx *ctx, const struct op_attention *p, enum op_importance kind,
                                const act *q, const act *k, const float *lse, const float *values, float *map,
                                struct err *e);

    /* --- convolution and batch norm --- */
    int (*conv3x3)(struct op_ctx *ctx, const struct op_conv *p, const act *x, act *y, struct err *e);
    /* dx = what dy comes to there, plus p->residual, which here has the shape of x and is not dx, or NULL. Bias and ReLU are
     * not looked at. */
    int (*conv3x3_backward_data)(struct op_ctx *ctx, const struct op_conv *p, const act *dy, act *dx,
                                 struct err *e);
    int (*conv3x3_backward_weight)(struct op_ctx *ctx, const struct op_conv *p, const act *x, const act *dy,
                                   float *dw, float *dbias, struct err *e); /* += */
    /* Training: statistics of this batch (biased variance) to normalise, saved in mean(C) and rstd(C); running_mean
     * and running_var (unbiased) move by momentum. y may be x. */
    void (*batch_norm)(struct op_ctx *ctx, const struct op_batch_norm *p, const act *x, act *y, float *mean,
                       float *rstd, float *running_mean, float *running_var);
    /* Evaluation: running statistics. */
    void (*batch_norm_infer)(struct op_ctx *ctx, const struct op_batch_norm *p, const act *x, act *y,
                             const float *running_mean, const float *running_var);
    /* y is the output of the forward pass (for ReLU). dx = ; dresidual = (NULL: none; where ReLU passed dy);
     * dgamma, dbeta +=. dx may be dy. */
    void (*batch_norm_backward)(struct op_ctx *ctx, const struct op_batch_norm *p, const act *x, const act *y,
                                const float *mean, const float *rstd, const act *dy, act *dx, act *dresidual,
                                float *dgamma, float *dbeta);

    /* --- rows --- */
    /* y = (x - mean) / sqrt(var + 1e-5) * gamma + beta for each row of D; mean, rstd (rows) are kept. y rows are ldy
     * elements apart (0: D). */
    void (*layer_norm)(struct op_ctx *ctx, size_t rows, size_t D, size_t ldy, const act *x,
                       const float *gamma, const float *beta, act *y, float *mean, float *rstd);
    /* dx = or += ; dgamma, dbeta +=. dy rows lddy apart (0: D). */
    void (*layer_norm_backward)(struct op_ctx *ctx, size_t rows, size_t D, size_t lddy, const act *x,
                                const float *gamma, const float *mean, const float *rstd, const act *dy,
                                act *dx, int accumulate, float *dgamma, float *dbeta);
    /* uv (rows,2) -> y (rows,D): for u then v, sin and cos of float(2 pi f) * u interleaved; freqs (D/4). */
    void (*position_encode)(struct op_ctx *ctx, size_t rows, size_t D, const float *uv, const float *freqs,
                            act *y);
    /* tokens (B,N+1,D): row 1+n = w(D,3) pixel + bias + position of (u,v); pixels (B,N,3). Row 0 is left alone;
     * rows past counts[b] (device, NULL: N) become 0. */
    void (*embed_pixels)(struct op_ctx *ctx, size_t B, size_t N, size_t D, const float *pixels,
                         const int32_t *counts, const float *w, const float *bias, const float *freqs,
                         act *tokens);
    void (*embed_pixels_backward)(struct op_ctx *ctx, size_t B, size_t N, size_t D, const float *pixels,
                                  const int32_t *counts, const act *dtokens, float *dw,
                                  float *dbias); /* += */
    /* Rows of width n: dst row r at r*ldd = (or += when accumulate) src row r at r*lds. */
    void (*copy_rows)(struct op_ctx *ctx, size_t rows, size_t n, const act *src, size_t lds, act *dst,
                      size_t ldd, int accumulate);
    /* Mean of the valid pixel tokens 1..counts[b]: mean (B,D) from tokens (B,T,D). Backward: dtokens += . */
    void (*mean_tokens)(struct op_ctx *ctx, size_t B, size_t T, size_t D, const int32_t *counts,
                        const act *tokens, act *mean);
    void (*mean_tokens_backward)(struct op_ctx *ctx, size_t B, size_t T, size_t D, const int32_t *counts,
                                 const act *dmean, act *dtokens);
    /* x (B,T,D) += weight * row (B,D) in every one of the T rows. Backward: drow (B,D) = weight * sum over T of dx. */
    void (*add_frame_row)(struct op_ctx *ctx, size_t B, size_t T, size_t D, float weight, const act *row,
                          act *x);
    void (*add_frame_row_backward)(struct op_ctx *ctx, size_t B, size_t T, size_t D, float weight,
                                   const act *dx, act *drow);
    /* y (n) = sum over b of x (B,n): gradient of what all frames share. */
    void (*sum_frames)(struct op_ctx *ctx, size_t B, size_t n, const act *x, act *y);

    /* --- elements --- */
    /* dx = factor * dy where y > 0. y may be a ReLU's output or that after dropout, which is 0 where it dropped: the
     * backward pass of both is one with factor 1/(1-p), and draws nothing. dx may be dy. */
    void (*relu_backward)(struct op_ctx *ctx, size_t n, float factor, const act *y, const act *dy, act *dx);
    void (*dropout)(struct op_ctx *ctx, size_t n, const struct op_dropout *p, const act *x,
                    act *y); /* its own backward */
    void (*sigmoid)(struct op_ctx *ctx, size_t n, const act *x, act *y);
    void (*sigmoid_backward)(struct op_ctx *ctx, size_t n, const act *y, const act *dy, act *dx);
    /* (B,h,w,C*p*p) -> (B,h*p,w*p,C), torch's pixel_shuffle: channel c*p*p + i*p + j goes to (y*p+i, x*p+j, c).
     * y's pixels are ldy elements apart (0: C), so a wider image is filled in place. The inverse gathers gradients. */
    void (*pixel_shuffle)(struct op_ctx *ctx, size_t B, size_t h, size_t w, size_t C, size_t p, size_t ldy,
                          const act *x, act *y);
    void (*pixel_shuffle_backward)(struct op_ctx *ctx, size_t B, size_t h, size_t w, size_t C, size_t p,
                                   size_t lddy, const act *dy, act *dx);

    /* --- losses: add weight * loss to *loss (host) and weight * d loss / d pred to dpred (float, NULL: value only).
     *     pred and target (B,H,W) float, white = 1. --- */
    int (*loss_pixels)(struct op_ctx *ctx, enum op_pixel_loss kind, size_t n, double weight,
                       const float *pred, const float *target, double *loss, float *dpred,
                       struct err *e); /* mean over n; charbonnier eps 1e-3 */
    /* Mean over all selected samples of the batch: sample n of frame b counts when select[b*N+n] != 0; index (B,N) is
     * its pixel in the frame, value (B,N) its target. */
    int (*loss_sampled)(struct op_ctx *ctx, size_t B, size_t N, size_t pixels, double weight,
                        const float *pred, const int32_t *index, const float *value, const uint8_t *select,
                        double *loss, float *dpred, struct err *e);
    /* 1 - mean SSIM, 11x11 Gaussian sigma 1.5, valid windows, K1 .01 K2 .03, range 1; mean over frames. */
    int (*loss_ssim)(struct op_ctx *ctx, size_t B, size_t H, size_t W, double weight, const float *pred,
                     const float *target, double *loss, float *dpred, struct err *e);
    /* Mean absolute error of the forward differences in x, plus the same in y. */
    int (*loss_gradient)(struct op_ctx *ctx, size_t B, size_t H, size_t W, double weight, const float *pred,
                         const float *target, double *loss, float *dpred, struct err *e);
    /* Negative log likelihood of the target under Laplace's distribution around pred, mean over n of
     * |pred - target| / b + log(2 b), where b = softplus(z) + OP_SCALE_LEAST. dz (n) += its gradient by z; dpred and dz may each be NULL. */
    int (*loss_nll)(struct op_ctx *ctx, size_t n, double weight, const float *pred, const float *z,
                    const float *target, double *loss, float *dpred, float *dz, struct err *e);

    /* --- optimiser: over the whole parameter arena --- */
    void (*sum_squares)(struct op_ctx *ctx, size_t n, const float *x, double *sum); /* host result */
    void (*scale)(struct op_ctx *ctx, size_t n, float factor, float *x);
    /* torch.optim.AdamW: p -= lr wd p; m, v; p -= lr / (1-b1^t) * m / (sqrt(v/(1-b2^t)) + eps) */
    void (*adamw)(struct op_ctx *ctx, const struct op_adamw *a, size_t n, float *p, const float *g, float *m,
                  float *v);
};

/* How to compute. */
enum op_precision { OP_FP32, OP_BF16, OP_TF32, OP_PRECISION_AUTO };

/* Opens a backend: ctx is ready for use. "ref", "cpu", "cuda", "cuda:N" (the N-th device), "auto" or NULL: the first CUDA
 * device where there is one, else cpu. threads 0: all cores. OP_PRECISION_AUTO: bf16 on cuda, fp32 elsewhere.
 * ERR_UNAVAILABLE: no such device, or it has no such precision; the text says why. */
int op_open(struct op_ctx *ctx, const char *device, int threads, enum op_precision precision, struct err *e);
void op_close(struct op_ctx *ctx);
/* "fp32", "bf16", "tf32"; "auto" or NULL: OP_PRECISION_AUTO. -1: no such precision. */
int op_precision_named(const char *name);
/* "NAME OF THE GPU, bf16" or "cpu avx512, fp32": for the start-up line. */
void op_describe(const struct op_ctx *ctx, char *out, size_t size);
/* Has the device memory of its own, and work that is run behind one's back? Not the CPU. */
int op_is_cuda(const struct op_ctx *ctx);
/* 0 where a CUDA device can be used, else the reason in e. The library is looked for once: the file SGAPS_CUDA_LIBRARY
 * names, else libsgaps-cuda.so beside the program, in ../lib and in the system's folders. */
int op_cuda_available(struct err *e);

/* What libsgaps-cuda.so gives, under the name sgaps_cuda_backend. version must be OP_CUDA_VERSION of the program that
 * loads it: the two are built together. */
#define OP_CUDA_VERSION 4
struct op_cuda_backend {
    unsigned version;
    size_t table_size, ctx_size; /* sizeof: a second guard */
    const struct op_table *table;
    int (*device_count)(struct err *e); /* devices; 0 with the reason in e */
};

extern const struct op_table op_ref, op_cpu;

#endif
