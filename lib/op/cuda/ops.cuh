/* The operations of the backend, each in the file of its name; shapes and meaning are op.h's. */
#ifndef SGAPS_OP_CUDA_OPS_CUH
#define SGAPS_OP_CUDA_OPS_CUH

#include "op/cuda/cuda.cuh"

int cuda_open(struct op_ctx *ctx, struct err *e);
void cuda_close(struct op_ctx *ctx);
int cuda_alloc(struct op_ctx *ctx, void **p, size_t bytes, struct err *e);
void cuda_free(struct op_ctx *ctx, void *p);
void cuda_upload(struct op_ctx *ctx, void *device, const void *host, size_t bytes);
void cuda_download(struct op_ctx *ctx, void *host, const void *device, size_t bytes);
void cuda_upload_act(struct op_ctx *ctx, act *device, const float *host, size_t n);
void cuda_download_act(struct op_ctx *ctx, float *host, const act *device, size_t n);
void cuda_zero(struct op_ctx *ctx, void *p, size_t bytes);
void cuda_synchronise(struct op_ctx *ctx);
void cuda_to_float(struct op_ctx *ctx, size_t n, const act *x, const float *base, float *y);
void cuda_to_act(struct op_ctx *ctx, size_t n, const float *x, act *y);
int cuda_check(struct op_ctx *ctx, struct err *e);
const char *cuda_device_name(struct op_ctx *ctx);
void cuda_memory(struct op_ctx *ctx, size_t *available, size_t *total);
int cuda_parameters_changed(struct op_ctx *ctx, const float *p, size_t n, struct err *e);
int cuda_record_begin(struct op_ctx *ctx, struct err *e);
int cuda_record_end(struct op_ctx *ctx, void **recording, struct err *e);
int cuda_record_run(struct op_ctx *ctx, void *recording, struct err *e);
void cuda_record_free(struct op_ctx *ctx, void *recording);
int cuda_linear(struct op_ctx *ctx, const struct op_linear *p, const act *x, act *y, struct err *e);
int cuda_linear_backward_data(struct op_ctx *ctx, const struct op_linear *p, const act *dy, act *dx,
                              int accumulate, struct err *e);
int cuda_linear_backward_weight(struct op_ctx *ctx, const struct op_linear *p, const act *x, const act *dy,
                                float *dw, float *dbias, struct err *e);
int cuda_attention(struct op_ctx *ctx, const struct op_attention *p, const act *q, const act *k, const act *v,
                   act *out, float *lse, struct err *e);
int cuda_attention_backward(struct op_ctx *ctx, const struct op_attention *p, const act *q, const act *k,
                            const act *v, const act *out, const float *lse, const act *dout, act *dq, act *dk,
                            act *dv, struct err *e);
int cuda_attention_importance(struct op_ctx *ctx, const struct op_attention *p, enum op_importance kind,
                              const act *q, const act *k, const float *lse, const float *values, float *map,
                              struct err *e);
int cuda_conv3x3(struct op_ctx *ctx, const struct op_conv *p, const act *x, act *y, struct err *e);
int cuda_conv3x3_backward_data(struct op_ctx *ctx, const struct op_conv *p, const act *dy, act *dx,
                               struct err *e);
int cuda_conv3x3_backward_weight(struct op_ctx *ctx, const struct op_conv *p, const act *x, const act *dy,
                                 float *dw, float *dbias, struct err *e);
void cuda_batch_norm(struct op_ctx *ctx, const struct op_batch_norm *p, const act *x, act *y, float *mean,
                     float *rstd, float *running_mean, float *running_var);
void cuda_batch_norm_infer(struct op_ctx *ctx, const struct op_batch_norm *p, const act *x, act *y,
                           const float *running_mean, const float *running_var);
void cuda_batch_norm_backward(struct op_ctx *ctx, const struct op_batch_norm *p, const act *x, const act *y,
                              const float *mean, const float *rstd, const act *dy, act *dx, act *dresidual,
                              float *dgamma, float *dbeta);
void cuda_layer_norm(struct op_ctx *ctx, size_t rows, size_t D, size_t ldy, const act *x, const float *gamma,
                     const float *beta, act *y, float *mean, float *rstd);
void cuda_layer_norm_backward(struct op_ctx *ctx, size_t rows, size_t D, size_t lddy, const act *x,
                              const float *gamma, const float *mean, const float *rstd, const act *dy,
                              act *dx, int accumulate, float *dgamma, float *dbeta);
void cuda_position_encode(struct op_ctx *ctx, size_t rows, size_t D, const float *uv, const float *freqs,
                          act *y);
void cuda_embed_pixels(struct op_ctx *ctx, size_t B, size_t N, size_t D, const float *pixels,
                       const int32_t *counts, const float *w, const float *bias, const float *freqs,
                       act *tokens);
void cuda_embed_pixels_backward(struct op_ctx *ctx, size_t B, size_t N, size_t D, const float *pixels,
                                const int32_t *counts, const act *dtokens, float *dw, float *dbias);
void cuda_copy_rows(struct op_ctx *ctx, size_t rows, size_t n, const act *src, size_t lds, act *dst,
                    size_t ldd, int accumulate);
void cuda_mean_tokens(struct op_ctx *ctx, size_t B, size_t T, size_t D, const int32_t *counts,
                      const act *tokens, act *mean);
void cuda_mean_tokens_backward(struct op_ctx *ctx, size_t B, size_t T, size_t D, const int32_t *counts,
                               const act *dmean, act *dtokens);
void cuda_add_frame_row(struct op_ctx *ctx, size_t B, size_t T, size_t D, float weight, const act *row,
                        act *x);
void cuda_add_frame_row_backward(struct op_ctx *ctx, size_t B, size_t T, size_t D, float weight,
                                 const act *dx, act *drow);
void cuda_sum_frames(struct op_ctx *ctx, size_t B, size_t n, const act *x, act *y);
void cuda_add(struct op_ctx *ctx, size_t n, const act *x, act *y);
void cuda_relu_backward(struct op_ctx *ctx, size_t n, float factor, const act *y, const act *dy, act *dx);
void cuda_dropout(struct op_ctx *ctx, size_t n, const struct op_dropout *p, const act *x, act *y);
void cuda_sigmoid(struct op_ctx *ctx, size_t n, const act *x, act *y);
void cuda_sigmoid_backward(struct op_ctx *ctx, size_t n, const act *y, const act *dy, act *dx);
void cuda_pixel_shuffle(struct op_ctx *ctx, size_t B, size_t h, size_t w, size_t C, size_t p, size_t ldy,
                        const act *x, act *y);
void cuda_pixel_shuffle_backward(struct op_ctx *ctx, size_t B, size_t h, size_t w, size_t C, size_t p,
                                 size_t lddy, const act *dy, act *dx);
int cuda_loss_pixels(struct op_ctx *ctx, enum op_pixel_loss kind, size_t n, double weight, const float *pred,
                     const float *target, double *loss, float *dpred, struct err *e);
int cuda_loss_sampled(struct op_ctx *ctx, size_t B, size_t N, size_t pixels, double weight, const float *pred,
                      const int32_t *index, const float *value, const uint8_t *select, double *loss,
                      float *dpred, struct err *e);
int cuda_loss_ssim(struct op_ctx *ctx, size_t B, size_t H, size_t W, double weight, const float *pred,
                   const float *target, double *loss, float *dpred, struct err *e);
int cuda_loss_gradient(struct op_ctx *ctx, size_t B, size_t H, size_t W, double weight, const float *pred,
                       const float *target, double *loss, float *dpred, struct err *e);
int cuda_loss_nll(struct op_ctx *ctx, size_t n, double weight, const float *pred, const float *z,
                  const float *target, double *loss, float *dpred, float *dz, struct err *e);
void cuda_sum_squares(struct op_ctx *ctx, size_t n, const float *x, double *sum);
void cuda_scale(struct op_ctx *ctx, size_t n, float factor, float *x);
void cuda_adamw(struct op_ctx *ctx, const struct op_adamw *a, size_t n, float *p, const float *g, float *m,
                float *v);

#endif
