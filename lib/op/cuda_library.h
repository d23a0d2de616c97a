/* libsgaps-cuda.so, loaded when a CUDA device is asked for, so that one program runs with and without a GPU. */
#ifndef SGAPS_OP_CUDA_LIBRARY_H
#define SGAPS_OP_CUDA_LIBRARY_H

#include "op/op.h"

/* The library's table and how many devices it sees, at least one; or ERR_UNAVAILABLE with the reason. Looked for once a
 * process; any thread. */
int cuda_library_table(const struct op_table **table, int *devices, struct err *e);

#endif
