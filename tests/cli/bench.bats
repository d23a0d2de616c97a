#!/usr/bin/env bats
# sgaps-bench at its doors; what it measures is not judged here.

bats_require_minimum_version 1.5.0
load ../support/doors

setup_file() {
    export DIR=$BATS_FILE_TMPDIR
    export PATH=$SGAPS_BIN:$PATH
    export LC_ALL=C OMP_NUM_THREADS=1 TMPDIR=$BATS_FILE_TMPDIR
    cd "$DIR"
    cp "$SGAPS_ROOT"/tests/golden/tiny/checkpoint.h5 tiny.h5
    cp "$SGAPS_ROOT"/tests/golden/tiny/recording.h5 rec.h5
    : >empty.h5
    echo "not a checkpoint at all, only text" >text.h5
    head -c 5000 tiny.h5 >cut.h5
    cp tiny.h5 shape.h5
    cp tiny.h5 nan.h5
    /usr/bin/python3 - <<'PY'
import h5py, numpy as np
with h5py.File("shape.h5", "a") as f:
    g = f["model_state_dict"]
    del g["pixel_embed.weight"]
    g["pixel_embed.weight"] = np.zeros((7, 3), np.float32)
with h5py.File("nan.h5", "a") as f:
    f["model_state_dict/pixel_embed.weight"][0, 0] = np.nan
PY
}

setup() {
    cd "$DIR"
}

@test "help and version" {
    run -0 --separate-stderr sgaps-bench --help
    [[ $output == *"Usage: sgaps-bench"* && -z $stderr ]]
    run -0 sgaps-bench --version
    [[ $output == "sgaps-bench "[0-9]* ]]
}

@test "JSON has machine, build, libraries, probes and times" {
    sgaps-bench infer train --model tiny.h5 -n 20 -r 3 -j 1 --json >out.json
    jq -e '.machine.cpu and .machine.instruction_set and .machine.threads == 1 and .build.compiler
           and .libraries.oneDNN and .peak.gflops > 0 and .peak.gigabytes_per_second > 0' out.json
    jq -e '[.results[] | .bench] == ["infer", "train"]' out.json
    jq -e 'all(.results[]; .runs == 3 and .median_ms > 0 and .min_ms <= .median_ms and .median_ms <= .max_ms
           and .processor_ms > 0 and .gflops > 0 and .share_of_limit > 0)' out.json
}

@test "a preset, a size and a batch" {
    run -0 --separate-stderr sgaps-bench infer --model spt-tiny --size 24x16 -n 9 --batch 2 -r 1 --tsv
    [[ ${lines[2]} == $'infer\tspt-tiny 24x16, 9 samples, batch 2\t1\t'* ]]
    run -0 --separate-stderr sgaps-bench infer --model spt-fast --size 40x24 -n 30 -r 1 --tsv
    [[ ${lines[2]} == $'infer\tspt-fast 40x24'* ]]
}

@test "files and cleaning leave nothing behind" {
    mkdir -p tmp
    TMPDIR=$DIR/tmp run -0 --separate-stderr sgaps-bench io clean -r 1 --tsv
    [ "${#lines[@]}" -eq 8 ]
    [ -z "$(ls -A tmp)" ]
}

@test "a full device and a closed pipe" {
    run -74 --separate-stderr bash -c 'sgaps-bench infer --model tiny.h5 -n 9 -r 1 >/dev/full'
    fails 74 "No space left"
    run --separate-stderr bash -c 'set -o pipefail; sgaps-bench infer --model tiny.h5 -n 9 -r 1 | true'
    [ -z "$stderr" ]
}

@test "wrong command lines" {
    run --separate-stderr sgaps-bench nope
    fails 64 "nope: no such part"
    run --separate-stderr sgaps-bench infer -r 0
    fails 64 "repetitions"
    run --separate-stderr sgaps-bench infer -n 100000 --model tiny.h5
    fails 64 "4096 pixels"
    run --separate-stderr sgaps-bench --json --tsv infer
    fails 64 "exclude"
    run --separate-stderr sgaps-bench infer --size 0x3
    fails 64 "size"
    run --separate-stderr sgaps-bench infer --device tpu
    fails 64 "tpu"
    run --separate-stderr sgaps-bench infer --what
    fails 64 "what"
    run --separate-stderr sgaps-bench infer --model spt-nope
    fails 78 "spt-nope"
}

@test "a device that is not there" {
    run --separate-stderr sgaps-bench infer --device cuda
    fails 69 "CUDA"
}

@test "bad checkpoints are refused in one line" {
    run --separate-stderr sgaps-bench infer --model missing.h5
    fails 66 "missing.h5"
    for f in empty text cut rec shape nan; do
        run --separate-stderr sgaps-bench infer --model $f.h5
        fails 65 "$f.h5"
    done
    TMPDIR=$DIR/nowhere run --separate-stderr sgaps-bench io -r 1
    fails 73 "nowhere"
}
