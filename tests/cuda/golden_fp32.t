#!/bin/sh
# The golden cases on the CUDA device in fp32: the one SGAPS_CUDA_LIBRARY names, else the emulated one. A sanitiser sees two.
cases=$SGAPS_ROOT/tests/golden
exec "$SGAPS_TESTS/golden/golden" -b "cuda fp32" ${SAN:+"$cases/ragged" "$cases/patch-prefill"}
