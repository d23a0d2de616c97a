#!/bin/sh
# The golden cases on the CUDA device in bf16.
exec "$SGAPS_TESTS/golden/golden" -b "cuda bf16"
