#!/bin/sh
# The operations that choose their kernel by the shared memory there is, on a device whose blocks have 99 KB (compute capability
# 8.6, 8.9, 12.0). Emulated only: a GPU has what it has.
export SGAPS_EMULATOR_SHARED=101376 SGAPS_CUDA_LIBRARY="$SGAPS_TESTS/cuda/libsgaps-cuda-emulated.so"
exec "$SGAPS_TESTS/op/ops_cuda" "attention 2" attention_importance 72x130
