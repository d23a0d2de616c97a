/* The operations of the backend, each in the file of its name; shapes and meaning are op.h's. */
#ifndef SGAPS_OP_CUDA_OPS_CUH
#define SGAPS_OP_CUDA_OPS_CUH

#include <type_traits>

#include "op/cuda/cuda.cuh"

extern "C" {
#include "op/op_each.h"
}

/* cuda_NAME, of the type that the table wants. */
#define CUDA_DECLARED(name) std::remove_pointer_t<decltype(op_table::name)> cuda_##name;
OP_EACH_OF_DEVICE(CUDA_DECLARED)
OP_EACH(CUDA_DECLARED)
#undef CUDA_DECLARED

#endif
