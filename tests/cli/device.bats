#!/usr/bin/env bats
# --device and --precision at the doors of every tool that computes. What a CUDA device computes is tests/cuda's to show.

bats_require_minimum_version 1.5.0
load ../support/doors

setup_file() {
    export DIR=$BATS_FILE_TMPDIR
    export PATH=$SGAPS_BIN:$PATH
    export LC_ALL=C OMP_NUM_THREADS=1
    unset SGAPS_CUDA_LIBRARY
    cd "$DIR"
    cp "$SGAPS_ROOT"/tests/golden/tiny/checkpoint.h5 tiny.h5
    cp "$SGAPS_ROOT"/tests/golden/tiny/recording.h5 rec.h5
    mkdir -p models/default
    cp tiny.h5 models/default/best.h5
}

setup() {
    cd "$DIR"
}

# refuses CODE PATTERN TOOL ARGUMENT...
refuses() {
    local code=$1 says=$2 TOOL=sgaps-$3
    shift 3
    run --separate-stderr "$TOOL" "$@"
    fails "$code" "$says"
}

# Every tool that has a device refuses these options with this exit code and one line like $2.
every_tool() {
    local code=$1 says=$2
    shift 2
    refuses "$code" "$says" reconstruct -m tiny.h5 rec.h5 -o out.h5 "$@"
    refuses "$code" "$says" eval -m tiny.h5 rec.h5 "$@"
    refuses "$code" "$says" sample -m tiny.h5 -n 9 --pattern adaptive rec.h5 -o out.h5 "$@"
    refuses "$code" "$says" serve --checkpoints models -p 0 "$@"
    refuses "$code" "$says" bench infer --model tiny.h5 -n 9 -r 1 "$@"
    refuses "$code" "$says" train -o run --set model=spt-tiny "$@" rec.h5
    [ ! -e out.h5 ]
}

@test "a CUDA device that is not there: one line that says why, and what to do" {
    ldconfig -p | grep -q libcuda.so.1 && skip "there is a CUDA driver"
    every_tool 69 "--device cuda: there is no CUDA driver.*--device cpu" --device cuda
}

@test "a library that is not there, or is another" {
    SGAPS_CUDA_LIBRARY=$DIR/nowhere.so every_tool 69 "cannot be loaded.*nowhere.so" --device cuda
    SGAPS_CUDA_LIBRARY=libz.so.1 refuses 69 "--device cuda:1: .*another version" bench infer --device cuda:1
    SGAPS_CUDA_LIBRARY=$DIR/nowhere.so run -0 sgaps-bench --version
    [[ $output == *"cuda "*"nowhere.so"* ]]
}

@test "auto is the CPU where there is nothing else" {
    SGAPS_CUDA_LIBRARY=$DIR/nowhere.so run -0 --separate-stderr sgaps-bench infer --model tiny.h5 -n 9 -r 1 --device auto --json
    [ "$(jq -r .device <<<"$output")" = cpu ]
    [[ $(jq -r .device_name <<<"$output") == "cpu "*", fp32" ]]
    SGAPS_CUDA_LIBRARY=$DIR/nowhere.so run -0 --separate-stderr sgaps-train -o run --set model=spt-tiny --set model.resolution=[16,16] rec.h5 --dry-run --json
    [[ $(jq -r .device <<<"$output") == "cpu "*", fp32" ]]
    SGAPS_CUDA_LIBRARY=$DIR/nowhere.so run -0 --separate-stderr sgaps-serve --checkpoints models --dry-run
    [[ $output == *"device       cpu "*", fp32"* ]]
}

@test "precisions of the CPU" {
    every_tool 69 "bf16 is not built for the cpu.*fp32" --device cpu --precision bf16
    every_tool 69 "tf32 is a CUDA device's.*fp32" --device cpu --precision tf32
    every_tool 64 "'fp64' is not one of fp32|tf32|bf16|auto" --precision fp64
    for p in fp32 auto; do
        run -0 --separate-stderr sgaps-reconstruct -m tiny.h5 rec.h5 -o $p.h5 --device cpu --precision $p --no-history
    done
    cmp fp32.h5 auto.h5
}

@test "training.precision, and --precision over it" {
    refuses 69 "bf16" train -o run --set model=spt-tiny --set training.precision=bf16 --device cpu rec.h5
    run -0 --separate-stderr sgaps-train -o run --set model=spt-tiny --set model.resolution=[16,16] --set training.precision=bf16 --device cpu --precision fp32 rec.h5 --dry-run
    [[ $output == *", fp32"* ]]
    refuses 78 "'half' is not one of fp32|bf16|tf32|auto" train -o run --set training.precision=half rec.h5
}

@test "an emulated device: its name, its numbers, its memory" {
    lib=$SGAPS_TESTS/cuda/libsgaps-cuda-emulated.so
    [ -e "$lib" ] || skip "no emulated device is built"
    export SGAPS_CUDA_LIBRARY=$lib
    run -0 sgaps-train --version
    [[ $output == *"cuda       available"* ]]
    refuses 69 "1 CUDA device, numbered from 0" reconstruct -m tiny.h5 rec.h5 -o bad.h5 --device cuda:1
    for d in auto cuda cuda:0; do
        run -0 --separate-stderr sgaps-train -o run --set model=spt-tiny --set model.resolution=[16,16] rec.h5 --dry-run --json --device $d
        [ "$(jq -r .device <<<"$output")" = "emulated CUDA device, bf16" ]
    done
    for p in fp32 tf32 bf16; do
        run -0 --separate-stderr sgaps-train -o run --set model=spt-tiny --set model.resolution=[16,16] rec.h5 --dry-run --json --precision $p
        [ "$(jq -r .device <<<"$output")" = "emulated CUDA device, $p" ]
    done
}

@test "an emulated device: too large a batch is told with what would fit, before anything is written" {
    lib=$SGAPS_TESTS/cuda/libsgaps-cuda-emulated.so
    [ -e "$lib" ] || skip "no emulated device is built"
    export SGAPS_CUDA_LIBRARY=$lib
    SGAPS_EMULATOR_MEMORY=1000000000 refuses 70 "training.batch_size .*emulated CUDA device has .* GB free: [1-9][0-9]* frames a batch fit" train -o large --set model=spt-tiny --set model.resolution=[64,64] \
        --set training.batch_size=4096 --device cuda "$SGAPS_ROOT"/examples/data/doom.h5
    [ ! -e large/last.h5 ]
}
