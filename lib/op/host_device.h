/* The device of the ref and cpu backends: the host itself, where every move is a copy and nothing runs behind one's back. */
#ifndef SGAPS_OP_HOST_DEVICE_H
#define SGAPS_OP_HOST_DEVICE_H

#include "op/op.h"

int host_alloc(struct op_ctx *ctx, void **p, size_t bytes, struct err *e);
void host_free(struct op_ctx *ctx, void *p);
void host_copy(struct op_ctx *ctx, void *to, const void *from, size_t bytes);
void host_upload_act(struct op_ctx *ctx, act *to, const float *from, size_t n);
void host_download_act(struct op_ctx *ctx, float *to, const act *from, size_t n);
void host_to_float(struct op_ctx *ctx, size_t n, const act *x, const float *base, float *y);
void host_to_act(struct op_ctx *ctx, size_t n, const float *x, act *y);
void host_zero(struct op_ctx *ctx, void *p, size_t bytes);
void host_synchronise(struct op_ctx *ctx);
int host_check(struct op_ctx *ctx, struct err *e);
void host_memory(struct op_ctx *ctx, size_t *available, size_t *total);
int host_parameters_changed(struct op_ctx *ctx, const float *p, size_t n, struct err *e);

/* The part of a table that is the same for both. */
#define HOST_DEVICE                                                                                          \
    .alloc = host_alloc, .free = host_free, .upload = host_copy, .download = host_copy,                      \
    .upload_act = host_upload_act, .download_act = host_download_act, .zero = host_zero,                     \
    .synchronise = host_synchronise, .to_float = host_to_float, .to_act = host_to_act, .check = host_check,  \
    .memory = host_memory, .parameters_changed = host_parameters_changed

#endif
