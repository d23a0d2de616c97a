/* The reference operations: ref_NAME of each in op.h, one file for each kind. */
#ifndef SGAPS_OP_REF_REF_H
#define SGAPS_OP_REF_REF_H

#include "op/host_device.h"
#include "op/op_each.h"

int ref_open(struct op_ctx *ctx, struct err *e);
void ref_close(struct op_ctx *ctx);
const char *ref_device_name(struct op_ctx *ctx);

#define REF_DECLARED(name) __typeof__(*op_ref.name) ref_##name;
OP_EACH(REF_DECLARED)
#undef REF_DECLARED

/* The factor of element i under dropout: 0, or 1/(1-p). */
float ref_dropout_factor(const struct op_dropout *p, uint64_t i);

#endif
