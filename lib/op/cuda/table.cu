/* The table, and the door of libsgaps-cuda.so. */
#include "op/cuda/ops.cuh"

// clang-format off
#define ROW(operation) .operation = cuda_##operation,
static const struct op_table table = {
    .name = "cuda",
    OP_EACH_OF_DEVICE(ROW)
    OP_EACH(ROW)
};
// clang-format on

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
