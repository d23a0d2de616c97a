/* Yardsticks: what a device reaches in its own operations, in a quarter of a second. The progress line of training and
 * sgaps-bench hold against them what the network reaches. */
#ifndef SGAPS_OP_PROBE_H
#define SGAPS_OP_PROBE_H

#include "op/op.h"

/* Floating point operations a second of a large matrix product in the precision of ctx. */
int op_peak_flops(struct op_ctx *ctx, double *flops, struct err *e);
/* Bytes a second, read and written, of a copy that no cache holds. */
int op_peak_bandwidth(struct op_ctx *ctx, double *bytes, struct err *e);

#endif
