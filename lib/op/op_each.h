/* The operations of struct op_table by name: OP_EACH(f) is f(linear) f(linear_backward_data) ... From it a backend whose
 * functions are called after them declares them and fills its table; what each does, and its arguments, stand in op.h alone. */
#ifndef SGAPS_OP_OP_EACH_H
#define SGAPS_OP_OP_EACH_H

#include "op/op.h"

// clang-format off
#define OP_EACH(f)                                                                                                   \
    f(linear) f(linear_backward_data) f(linear_backward_weight)                                                      \
    f(attention) f(attention_backward) f(attention_importance)                                                       \
    f(conv3x3) f(conv3x3_backward_data) f(conv3x3_backward_weight)                                                   \
    f(batch_norm) f(batch_norm_infer) f(batch_norm_backward)                                                         \
    f(layer_norm) f(layer_norm_backward)                                                                             \
    f(position_encode) f(embed_pixels) f(embed_pixels_backward)                                                      \
    f(copy_rows) f(mean_tokens) f(mean_tokens_backward)                                                              \
    f(add_frame_row) f(add_frame_row_backward) f(sum_frames)                                                         \
    f(relu_backward) f(dropout) f(sigmoid) f(sigmoid_backward) f(pixel_shuffle) f(pixel_shuffle_backward)            \
    f(loss_pixels) f(loss_sampled) f(loss_ssim) f(loss_gradient) f(loss_nll)                                         \
    f(sum_squares) f(scale) f(adamw)

/* Memory, moves and recordings, of a device that has its own. */
#define OP_EACH_OF_DEVICE(f)                                                                                         \
    f(open) f(close) f(alloc) f(free) f(upload) f(download) f(upload_act) f(download_act) f(zero) f(synchronise)     \
    f(to_float) f(to_act) f(check) f(device_name) f(memory) f(parameters_changed)                                    \
    f(record_begin) f(record_end) f(record_run) f(record_free)
// clang-format on

#endif
