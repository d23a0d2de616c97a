#!/bin/sh
# The golden cases on the CUDA device in bf16: the one SGAPS_CUDA_LIBRARY names, else the emulated one. A sanitiser sees two.
cases=$SGAPS_ROOT/tests/golden
exec "$SGAPS_TESTS/golden/golden" -b "cuda bf16" ${SAN:+"$cases/ragged" "$cases/patch-prefill"}
