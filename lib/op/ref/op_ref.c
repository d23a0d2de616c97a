/* The table of the reference backend. */
#include "op/ref/ref.h"

// clang-format off
#define ROW(operation) .operation = ref_##operation,
const struct op_table op_ref = {
    .name = "ref",
    .open = ref_open,
    .close = ref_close,
    HOST_DEVICE,
    .device_name = ref_device_name,
    OP_EACH(ROW)
};
// clang-format on
