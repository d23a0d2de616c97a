/* The reference operations, one file for each kind. Shapes and meaning are op.h's; only op_ref.c includes this. */
#ifndef SGAPS_OP_REF_REF_H
#define SGAPS_OP_REF_REF_H

#include "op/host_device.h"
#include "op/op.h"

/* device_ref.c */
int ref_open(struct op_ctx *ctx, struct err *e);
void ref_close(struct op_ctx *ctx);
const char *ref_device_name(struct op_ctx *ctx);

/* linear_ref.c */
int ref_linear(struct op_ctx *ctx, const struct op_linear *p, const act *x, act *y, struct err *e);
int ref_linear_backward_data(struct op_ctx *ctx, const struct op_linear *p, const act *dy, act *dx,
                             int accumulate, struct err *e);
int ref_linear_backward_weight(struct op_ctx *ctx, const struct op_linear *p, const act *x, const act *dy,
                               float *dw, float *dbias, struct err *e);

/* attention_ref.c */
int ref_attention(struct op_ctx *ctx, const struct op_attention *p, const act *q, const act *k, const act *v,
                  act *out, float *lse, struct err *e);
int ref_attention_backward(struct op_ctx *ctx, const struct op_attention *p, const act *q, const act *k,
                           const act *v, const act *out, const float *lse, const act *dout, act *dq, act *dk,
                           act *dv, struct err *e);
int ref_attention_importance(struct op_ctx *ctx, const struct op_attention *p, enum op_importance kind,
                             const act *q, const act *k, const float *lse, const float *values, float *map,
                             struct err *e);

/* conv_ref.c */
int ref_conv3x3(struct op_ctx *ctx, const struct op_conv *p, const act *x, act *y, struct err *e);
int ref_conv3x3_backward_data(struct op_ctx *ctx, const struct op_conv *p, const act *dy, act *dx,
                              struct err *e);
int ref_conv3x3_backward_weight(struct op_ctx *ctx, const struct op_conv *p, const act *x, const act *dy,
                                float *dw, float *dbias, struct err *e);

/* norm_ref.c */
void ref_batch_norm(struct op_ctx *ctx, const struct op_batch_norm *p, const act *x, act *y, float *mean,
                    float *rstd, float *running_mean, float *running_var);
void ref_batch_norm_infer(struct op_ctx *ctx, const struct op_batch_norm *p, const act *x, act *y,
                          const float *running_mean, const float *running_var);
void ref_batch_norm_backward(struct op_ctx *ctx, const struct op_batch_norm *p, const act *x, const act *y,
                             const float *mean, const float *rstd, const act *dy, act *dx, act *dresidual,
                             float *dgamma, float *dbeta);
void ref_layer_norm(struct op_ctx *ctx, size_t rows, size_t D, size_t ldy, const act *x, const float *gamma,
                    const float *beta, act *y, float *mean, float *rstd);
void ref_layer_norm_backward(struct op_ctx *ctx, size_t rows, size_t D, size_t lddy, const act *x,
                             const float *gamma, const float *mean, const float *rstd, const act *dy, act *dx,
                             int accumulate, float *dgamma, float *dbeta);

/* rows_ref.c */
void ref_position_encode(struct op_ctx *ctx, size_t rows, size_t D, const float *uv, const float *freqs,
                         act *y);
void ref_embed_pixels(struct op_ctx *ctx, size_t B, size_t N, size_t D, const float *pixels,
                      const int32_t *counts, const float *w, const float *bias, const float *freqs,
                      act *tokens);
void ref_embed_pixels_backward(struct op_ctx *ctx, size_t B, size_t N, size_t D, const float *pixels,
                               const int32_t *counts, const act *dtokens, float *dw, float *dbias);
void ref_copy_rows(struct op_ctx *ctx, size_t rows, size_t n, const act *src, size_t lds, act *dst,
                   size_t ldd, int accumulate);
void ref_mean_tokens(struct op_ctx *ctx, size_t B, size_t T, size_t D, const int32_t *counts,
                     const act *tokens, act *mean);
void ref_mean_tokens_backward(struct op_ctx *ctx, size_t B, size_t T, size_t D, const int32_t *counts,
                              const act *dmean, act *dtokens);
void ref_add_frame_row(struct op_ctx *ctx, size_t B, size_t T, size_t D, float weight, const act *row,
                       act *x);
void ref_add_frame_row_backward(struct op_ctx *ctx, size_t B, size_t T, size_t D, float weight, const act *dx,
                                act *drow);
void ref_sum_frames(struct op_ctx *ctx, size_t B, size_t n, const act *x, act *y);

/* element_ref.c */
void ref_add(struct op_ctx *ctx, size_t n, const act *x, act *y);
void ref_relu_backward(struct op_ctx *ctx, size_t n, float factor, const act *y, const act *dy, act *dx);
void ref_dropout(struct op_ctx *ctx, size_t n, const struct op_dropout *p, const act *x, act *y);
void ref_sigmoid(struct op_ctx *ctx, size_t n, const act *x, act *y);
void ref_sigmoid_backward(struct op_ctx *ctx, size_t n, const act *y, const act *dy, act *dx);
void ref_pixel_shuffle(struct op_ctx *ctx, size_t B, size_t h, size_t w, size_t C, size_t p, size_t ldy,
                       const act *x, act *y);
void ref_pixel_shuffle_backward(struct op_ctx *ctx, size_t B, size_t h, size_t w, size_t C, size_t p,
                                size_t lddy, const act *dy, act *dx);
/* The factor of element i under dropout: 0, or 1/(1-p). */
float ref_dropout_factor(const struct op_dropout *p, uint64_t i);

/* loss_ref.c */
int ref_loss_pixels(struct op_ctx *ctx, enum op_pixel_loss kind, size_t n, double weight, const float *pred,
                    const float *target, double *loss, float *dpred, struct err *e);
int ref_loss_sampled(struct op_ctx *ctx, size_t B, size_t N, size_t pixels, double weight, const float *pred,
                     const int32_t *index, const float *value, const uint8_t *select, double *loss,
                     float *dpred, struct err *e);
int ref_loss_ssim(struct op_ctx *ctx, size_t B, size_t H, size_t W, double weight, const float *pred,
                  const float *target, double *loss, float *dpred, struct err *e);
int ref_loss_gradient(struct op_ctx *ctx, size_t B, size_t H, size_t W, double weight, const float *pred,
                      const float *target, double *loss, float *dpred, struct err *e);

/* optimiser_ref.c */
int ref_loss_nll(struct op_ctx *ctx, size_t n, double weight, const float *pred, const float *z,
                 const float *target, double *loss, float *dpred, float *dz, struct err *e);
void ref_sum_squares(struct op_ctx *ctx, size_t n, const float *x, double *sum);
void ref_scale(struct op_ctx *ctx, size_t n, float factor, float *x);
void ref_adamw(struct op_ctx *ctx, const struct op_adamw *a, size_t n, float *p, const float *g, float *m,
               float *v);

#endif
