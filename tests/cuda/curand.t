#!/bin/sh
# cuRAND's Philox as the oracle of ours, on the CPU: its header needs no GPU.
root=${SGAPS_ROOT:-.}
for folder in "${CUDA_HOME:-/usr/local/cuda}/include" /usr/include /usr/local/include; do
    [ -r "$folder/curand_philox4x32_x.h" ] && break
    folder=
done
if [ -z "$folder" ]; then
    echo "1..0 # SKIP no curand_philox4x32_x.h (part of the CUDA toolkit: libcurand-dev)"
    exit 0
fi
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
# The emulator's headers go before the toolkit's.
if ! ${CC:-cc} -std=c11 -D_GNU_SOURCE -O2 -I"$root/lib" -c "$root/lib/base/philox.c" -o "$work/philox.o" ||
    ! ${CXX:-g++} -std=c++20 -O2 -Wno-unknown-pragmas -I"$root/tests/cuda/emulator" -I"$root/lib" -idirafter "$folder" \
        "$root/tests/cuda/curand.cpp" "$work/philox.o" -o "$work/curand"; then
    echo "1..1"
    echo "not ok 1 - tests/cuda/curand.cpp compiles"
    exit 1
fi
"$work/curand"
