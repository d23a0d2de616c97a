#!/bin/sh
# The golden cases on the CUDA device in fp32.
exec "$SGAPS_TESTS/golden/golden" -b "cuda fp32"
