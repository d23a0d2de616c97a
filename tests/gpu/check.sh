#!/bin/sh
# check.sh FOLDER: what make check-gpu runs, with the programs in FOLDER. Without prove or bats, which a GPU machine may lack:
# a step's output is kept in FOLDER/log, and shown where it fails. $SANITIZE=1, $PYTHON, $SGAPS_ROOT, $SGAPS_CUDA_LIBRARY.
set -u
programs=$1
here=$SGAPS_ROOT/tests/gpu
logs=$programs/log
mkdir -p "$logs"
export SGAPS_NETWORK="$programs/libsgaps-network.so" PYTHONDONTWRITEBYTECODE=1
failed=0
steps=0

# step NAME COMMAND...: at most fifteen minutes. --foreground: who ends this script ends the command with it.
step() {
    name=$1
    shift
    steps=$((steps + 1))
    if timeout --foreground 900 "$@" >"$logs/$name" 2>&1; then
        echo "passed  $name: $(grep -c '^ok' "$logs/$name") checks, $(grep -c '^ok.*# SKIP' "$logs/$name") of them skipped"
    else
        code=$?
        failed=$((failed + 1))
        echo "FAILED  $name (exit $code), $logs/$name:"
        grep -E -A3 '^not ok' "$logs/$name" | head -60
        tail -15 "$logs/$name"
    fi
}

sanitizer() {
    command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null
}

"$programs/gpu_device" || exit 1
step operations "$programs/ops_cuda"
step state "$programs/state_cuda"
step recordings "$programs/recordings_cuda"
step large "$programs/large_cuda"
if [ -x "$programs/curand_device" ]; then
    step curand "$programs/curand_device"
else
    echo "left out  curand: this toolkit has no curand_kernel.h"
fi
for python in golden steps; do
    step "$python" "${PYTHON:-python3}" "$here/$python.py"
done
if [ "${SANITIZE:-}" = 1 ]; then
    tool=$(sanitizer) || {
        echo "make check-gpu: SANITIZE=1 needs compute-sanitizer of the CUDA toolkit" >&2
        exit 1
    }
    for check in memcheck racecheck; do
        step "$check" "$tool" --tool "$check" --error-exitcode 9 "$programs/ops_cuda"
    done
fi
echo "make check-gpu: $((steps - failed)) of $steps steps passed"
[ "$failed" = 0 ]
