#!/bin/sh
# Everything that is to be known of a GPU, on a machine that has one: tests/gpu/run.sh FOLDER [PART...]
#   check      make check-gpu: operations, golden cases, training steps, the same bits twice
#   sanitize   the operations once more under compute-sanitizer, memcheck and racecheck
#   bench      forward passes and training steps beside PyTorch's, all presets; or bench:MODEL
#   profile    where the time of a pass goes, kernel by kernel, and the counters of the three largest kinds of kernel (ncu)
# No parts: all. Results lie in FOLDER; the last lines are the summary. Nothing outside it and build/, bin/ is written, no setting
# of the GPU is touched. Needs make, a C compiler, nvcc, python3 with numpy and h5py; bench also torch. $LIMIT: seconds a part may
# take (540).
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
here=$root/tests/gpu
out=${1:?"run.sh FOLDER [PART...]"}
shift
[ $# -gt 0 ] || set -- check sanitize bench profile
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$root" || exit 1
limit=${LIMIT:-540}
python=${PYTHON:-python3}
for folder in /usr/local/cuda/bin /opt/nvidia/nsight-compute/*; do
    [ -d "$folder" ] && PATH=$PATH:$folder
done
export PATH PYTHONDONTWRITEBYTECODE=1
cores=$(nproc)
summary=$out/summary.txt
: >"$summary"

say() {
    echo "$*" | tee -a "$summary"
}

# run NAME COMMAND...: within the limit, all of its output in FOLDER/NAME.txt.
run() {
    name=$1
    shift
    began=$(date +%s)
    timeout -k 10 "$limit" "$@" >"$out/$name.txt" 2>&1
    code=$?
    say "$name: exit $code after $(($(date +%s) - began)) s"
    return $code
}

nvidia-smi --query-gpu=name,driver_version,memory.total,compute_cap,clocks.sm,clocks.mem --format=csv 2>&1 | tee -a "$summary"
# Only for this GPU: a build for all takes as long again for each.
case $(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -1) in
9.0) targets=90a ;;
*) targets=80 ;;
esac
run build make -j"$cores" CUDA_TARGETS="$targets" cuda gpu-programs || {
    tail -30 "$out/build.txt"
    exit 1
}
programs=$(make -s CUDA_TARGETS="$targets" gpu-folder)
export SGAPS_ROOT="$root" SGAPS_NETWORK="$programs/libsgaps-network.so"
export SGAPS_CUDA_LIBRARY="${SGAPS_CUDA_LIBRARY:-$root/bin/libsgaps-cuda.so}"

check() {
    run check sh "$here/check.sh" "$programs"
    code=$?
    grep -E '^(passed|FAILED|make check-gpu)|^not ok' "$out/check.txt" | tee -a "$summary"
    cat "$programs"/log/* >"$out/check-log.txt"
    return $code
}

sanitize() {
    for tool in memcheck racecheck; do
        run "$tool" compute-sanitizer --tool "$tool" --error-exitcode 9 "$programs/ops_cuda"
        grep -E 'ERROR SUMMARY|RACECHECK SUMMARY' "$out/$tool.txt" | tee -a "$summary"
    done
}

bench() {
    for model in ${1:-spt-base spt-fast spt-seed}; do
        run "bench-$model" "$python" "$here/bench.py" --model "$model" --seconds $((limit - 90)) --out "$out/bench-$model.json"
        grep -vE '^#' "$out/bench-$model.txt" | tee -a "$summary"
    done
}

profile() {
    ncu="ncu --clock-control none"
    for kind in infer train; do
        run "kernels-$kind" $ncu --csv --metrics gpu__time_duration.sum,dram__bytes.sum \
            "$python" "$here/one_pass.py" --kind "$kind" --batch 8 --passes 1
        "$python" "$here/kernels.py" "$out/kernels-$kind.txt" 2>&1 | tee "$out/kernels-$kind.sum.txt" | head -25 | tee -a "$summary"
    done
    for kernel in attention conv norm; do
        run "ncu-$kernel" $ncu --set full --kernel-name "regex:$kernel" --launch-skip 4 --launch-count 6 \
            "$python" "$here/one_pass.py" --kind train --batch 8 --passes 1
    done
}

failed=0
for part; do
    case $part in
    check | sanitize | bench | profile) "$part" || failed=1 ;;
    bench:*) bench "${part#bench:}" || failed=1 ;;
    *)
        echo "run.sh: $part: no such part (check, sanitize, bench, bench:MODEL, profile)" >&2
        exit 64
        ;;
    esac
done
exit $failed
