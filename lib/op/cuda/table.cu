/* The table, and the door of libsgaps-cuda.so. */
#include "op/cuda/ops.cuh"

static const struct op_table table = {
    .name = "cuda",
    .open = cuda_open,
    .close = cuda_close,
    .alloc = cuda_alloc,
    .free = cuda_free,
    .upload = cuda_upload,
    .download = cuda_download,
    .upload_act = cuda_upload_act,
    .download_act = cuda_download_act,
    .zero = cuda_zero,
    .synchronise = cuda_synchronise,
    .to_float = cuda_to_float,
    .to_act = cuda_to_act,
    .check = cuda_check,
    .device_name = cuda_device_name,
    .memory = cuda_memory,
    .parameters_changed = cuda_parameters_changed,
    .record_begin = cuda_record_begin,
    .record_end = cuda_record_end,
    .record_run = cuda_record_run,
    .record_free = cuda_record_free,
    .linear = cuda_linear,
    .linear_backward_data = cuda_linear_backward_data,
    .linear_backward_weight = cuda_linear_backward_weight,
    .attention = cuda_attention,
    .attention_backward = cuda_attention_backward,
    .attention_importance = cuda_attention_importance,
    .conv3x3 = cuda_conv3x3,
    .conv3x3_backward_data = cuda_conv3x3_backward_data,
    .conv3x3_backward_weight = cuda_conv3x3_backward_weight,
    .batch_norm = cuda_batch_norm,
    .batch_norm_infer = cuda_batch_norm_infer,
    .batch_norm_backward = cuda_batch_norm_backward,
    .layer_norm = cuda_layer_norm,
    .layer_norm_backward = cuda_layer_norm_backward,
    .position_encode = cuda_position_encode,
    .embed_pixels = cuda_embed_pixels,
    .embed_pixels_backward = cuda_embed_pixels_backward,
    .copy_rows = cuda_copy_rows,
    .mean_tokens = cuda_mean_tokens,
    .mean_tokens_backward = cuda_mean_tokens_backward,
    .add_frame_row = cuda_add_frame_row,
    .add_frame_row_backward = cuda_add_frame_row_backward,
    .sum_frames = cuda_sum_frames,
    .add = cuda_add,
    .relu_backward = cuda_relu_backward,
    .dropout = cuda_dropout,
    .sigmoid = cuda_sigmoid,
    .sigmoid_backward = cuda_sigmoid_backward,
    .pixel_shuffle = cuda_pixel_shuffle,
    .pixel_shuffle_backward = cuda_pixel_shuffle_backward,
    .loss_pixels = cuda_loss_pixels,
    .loss_sampled = cuda_loss_sampled,
    .loss_ssim = cuda_loss_ssim,
    .loss_gradient = cuda_loss_gradient,
    .loss_nll = cuda_loss_nll,
    .sum_squares = cuda_sum_squares,
    .scale = cuda_scale,
    .adamw = cuda_adamw,
};

static int device_count(struct err *e)
{
    int count = 0;
    cudaError_t status = cudaGetDeviceCount(&count);
    if (status != cudaSuccess || count < 1)
        err_set(e, ERR_UNAVAILABLE, "no CUDA device: %s",
                status != cudaSuccess ? cudaGetErrorString(status) : "none found");
    return status == cudaSuccess ? count : 0;
}

extern "C" {
/* The cudaStream_t that the operations of an open context run on, for who times them with events (tests/gpu). */
__attribute__((visibility("default"))) void *sgaps_cuda_stream(struct op_ctx *ctx)
{
    return (void *)cuda_state_of(ctx)->stream;
}

extern __attribute__((visibility("default"))) const struct op_cuda_backend sgaps_cuda_backend;
const struct op_cuda_backend sgaps_cuda_backend = {
    .version = OP_CUDA_VERSION,
    .table_size = sizeof(struct op_table),
    .ctx_size = sizeof(struct op_ctx),
    .table = &table,
    .device_count = device_count,
};
}
