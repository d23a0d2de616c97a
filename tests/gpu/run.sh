#!/bin/sh
# Everything that is to be known of a GPU, on a machine that has one: tests/gpu/run.sh FOLDER [PART...]
#   check                  make check-gpu: operations, golden cases, training steps, the same bits twice
#   memcheck racecheck     the operations once more under compute-sanitizer; memcheck:ROWS: those with ROWS in their names
#   bench                  forward passes and training steps beside PyTorch's, all presets; or bench:MODEL, bench:MODEL:KIND
#   tools                  sgaps-bench --json: frames/s of spt-fast and spt-base, from samples to the picture in the host's memory;
#                          bin/sgaps-bench, or what carry.sh made of it where the machine lacks its libraries
#   profile                where the time of a pass goes, kernel by kernel (torch's profiler; ncu), and the counters of the largest
#                          (ncu); or profile:KIND
# No parts: all. $LIMIT: seconds that one call may take (540); a part gets what is left, stops in time, and keeps what it has.
# Results lie in FOLDER, and the summary of every call at the end of its summary.txt. Nothing outside it and build/, bin/ is
# written, no setting of the GPU is touched. Needs make, a C compiler, nvcc, python3 with numpy and h5py; bench also torch.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
here=$root/tests/gpu
out=${1:?"run.sh FOLDER [PART...]"}
shift
[ $# -gt 0 ] || set -- check tools bench memcheck racecheck profile
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$root" || exit 1
python=${PYTHON:-python3}
end=$(($(date +%s) + ${LIMIT:-540}))
for folder in /usr/local/cuda/bin /opt/nvidia/nsight-compute/*; do
    [ -d "$folder" ] && PATH=$PATH:$folder
done
export PATH PYTHONDONTWRITEBYTECODE=1
summary=$out/summary.txt

say() {
    echo "$*" | tee -a "$summary"
}

left() {
    echo $((end - $(date +%s)))
}

# run NAME COMMAND...: within what is left, all of its output in FOLDER/NAME.txt.
run() {
    name=$1
    shift
    began=$(date +%s)
    if [ "$(left)" -lt 20 ]; then
        say "$name: left out, no time"
        return 1
    fi
    timeout -k 5 $(($(left) - 10)) "$@" >"$out/$name.txt" 2>&1
    code=$?
    say "$name: exit $code after $(($(date +%s) - began)) s$([ $code = 124 ] && echo ', which was all the time there was')"
    return $code
}

say "--- $(date -u '+%Y-%m-%d %H:%M:%S') $*"
nvidia-smi --query-gpu=name,driver_version,memory.total,compute_cap,clocks.sm,clocks.mem --format=csv 2>&1 | tee -a "$summary"
# Only for this GPU: a build for all takes as long again for each.
case $(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -1) in
9.0) targets=90a ;;
8.*) targets=80 ;;
*) targets="80 90a" ;;
esac
run build make -j"$(nproc)" CUDA_TARGETS="$targets" cuda gpu-programs || {
    tail -30 "$out/build.txt"
    exit 1
}
programs=$(make -s CUDA_TARGETS="$targets" gpu-folder)
export SGAPS_ROOT="$root" SGAPS_NETWORK="$programs/libsgaps-network.so"
export SGAPS_CUDA_LIBRARY="${SGAPS_CUDA_LIBRARY:-$root/bin/libsgaps-cuda.so}"
if ldd "$SGAPS_CUDA_LIBRARY" | grep -q 'libcublasLt.*not found'; then # a toolkit that is not in /usr/local/cuda
    LD_LIBRARY_PATH=$(dirname "$(readlink -f "$(command -v nvcc)")")/../lib64${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    export LD_LIBRARY_PATH
fi

check() {
    run check sh "$here/check.sh" "$programs"
    code=$?
    grep -E '^(passed|FAILED|left out|make check-gpu)|^not ok' "$out/check.txt" | tee -a "$summary"
    cat "$programs"/log/* >"$out/check-log.txt" 2>/dev/null
    return $code
}

# sanitize TOOL [ROWS]
sanitize() {
    run "$1${2:+-$2}" compute-sanitizer --tool "$1" --error-exitcode 9 "$programs/ops_cuda" ${2:+"$2"}
    code=$?
    grep -E '^not ok|ERROR SUMMARY|RACECHECK SUMMARY' "$out/$1${2:+-$2}.txt" | head -20 | tee -a "$summary"
    say "$1: $(grep -c '^ok' "$out/$1${2:+-$2}.txt") checks passed under it"
    return $code
}

# bench [MODEL [KIND]]: the models share what is left.
bench() {
    bad=0
    set -- "${1:-spt-base spt-fast spt-seed}" ${2:+"$2"}
    more=$(echo "$1" | wc -w)
    for model in $1; do
        to=$out/bench-$model${2:+-$2}
        run "$(basename "$to")" "$python" "$here/bench.py" --model "$model" ${2:+--kind "$2"} --out "$to.json" \
            --seconds $((($(left) - 25) / more)) || bad=1
        grep -vE "^#" "$to.txt" 2>/dev/null | tee -a "$summary"
        more=$((more - 1))
    done
    return $bad
}

tools() {
    bench=$root/bin/sgaps-bench bad=0
    if ! "$bench" --version >/dev/null 2>&1; then
        bench=$out/carried/bench
        tar -C "$out" -xzf "$root/build/carried.tar.gz" && "$bench" --version >/dev/null || {
            say "tools: neither bin/sgaps-bench nor build/carried.tar.gz (tests/gpu/carry.sh) runs here"
            return 1
        }
    fi
    for part in infer train; do
        for model in spt-fast spt-base; do
            for batch in 1 8 32; do
                name=tools-$part-$model-$batch
                run "$name" "$bench" "$part" --device cuda --model "$model" --size 224x224 -n 500 --batch $batch --json || bad=1
                grep -E '"(name|median_ms|rate)"' "$out/$name.txt" | tr -d '\n' | tee -a "$summary"
                say ""
            done
        done
    done
    rm -rf "$out/carried"
    return $bad
}

# sum_kernels NAME SUFFIX
sum_kernels() {
    "$python" "$here/kernels.py" "$out/$1.$2" >"$out/$1.sum.txt" 2>&1
    head -25 "$out/$1.sum.txt" | tee -a "$summary"
    tail -1 "$out/$1.sum.txt" | tee -a "$summary"
}

# profile [KIND]
profile() {
    ncu="ncu --clock-control none" bad=0
    for kind in ${1:-infer train}; do
        run "trace-$kind" "$python" "$here/one_pass.py" --kind "$kind" --batch 8 --passes 1 --trace "$out/trace-$kind.json"
        sum_kernels "trace-$kind" json
    done
    for kind in ${1:-infer train}; do
        run "kernels-$kind" $ncu --csv --metrics gpu__time_duration.sum,dram__bytes.sum \
            "$python" "$here/one_pass.py" --kind "$kind" --batch 8 --passes 1 || bad=1
        sum_kernels "kernels-$kind" txt
    done
    for kernel in attention conv norm; do
        run "ncu-$kernel" $ncu --set full --kernel-name "regex:$kernel" --launch-skip 4 --launch-count 6 \
            "$python" "$here/one_pass.py" --kind train --batch 8 --passes 1 || bad=1
    done
    return $bad
}

failed=0
for part; do
    of=${part#*:}
    [ "$of" != "$part" ] || of=
    case $part in
    check | tools) "$part" || failed=1 ;;
    memcheck | racecheck | memcheck:* | racecheck:*) sanitize "${part%%:*}" ${of:+"$of"} || failed=1 ;;
    bench | bench:*)
        kind=${of#*:}
        [ "$kind" != "$of" ] || kind=
        bench "${of%%:*}" ${kind:+"$kind"} || failed=1
        ;;
    profile | profile:*) profile "$of" || failed=1 ;;
    *)
        echo "run.sh: $part: no such part (see its first lines)" >&2
        exit 64
        ;;
    esac
done
exit $failed
