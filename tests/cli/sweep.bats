#!/usr/bin/env bats
# examples/sweep in a small size: whole, interrupted and gone on with, by GNU parallel and as a Slurm task.

bats_require_minimum_version 1.5.0

setup_file() {
    export DIR=$BATS_FILE_TMPDIR
    export PATH=$SGAPS_BIN:$PATH LC_ALL=C
    unset MAKEFLAGS MAKELEVEL
    sgaps-import -q --size 32x32 --stride 24 -o "$DIR/data.h5" "$SGAPS_ROOT/examples/data/doom.h5"
    export SMALL="model.embed_dim=16 model.num_heads=2 model.num_encoder_layers=1 model.num_decoder_layers=1 \
model.architecture.feedforward_dim=16 model.resolution=[16,16] training.batch_size=2"
}

setup() {
    cd "$SGAPS_ROOT/examples/sweep"
    sweep=(DATA="$DIR/data.h5" OUT="$BATS_TEST_TMPDIR/out" HELD_OUT=map12-a,map20-a MODEL=spt-tiny LOSSES="l1 l1-ssim"
        PATTERNS="grid adaptive" BUDGETS="9 25" SET="$SMALL training.max_steps=2")
    out=$BATS_TEST_TMPDIR/out
}

@test "a sweep ends in one table and one plot, and done again does nothing" {
    make -s -j2 "${sweep[@]}"
    # pattern x budget x (two losses and linear; with a guided pattern a linear for each)
    [ "$(wc -l <"$out/table.tsv")" -eq $((1 + 2 * 2 + 2 * 1 + 2 * 4)) ]
    awk -F'\t' 'NR > 1 && !($5 > 3 && $5 < 60 && $4 == 4) { exit 1 }' "$out/table.tsv"
    grep -q '<svg' "$out/plot.svg"
    [ "$(grep -c 'adaptive l1-ssim' "$out/plot.svg")" -ge 1 ]
    run make -j2 "${sweep[@]}"
    [[ $output == *"Nothing to be done"* ]]
    # One more budget: the models stay.
    before=$(stat -c %Y "$out"/l1/best.h5)
    make -s -j2 "${sweep[@]}" BUDGETS="9 25 36"
    [ "$(stat -c %Y "$out"/l1/best.h5)" = "$before" ]
    [ "$(cut -f2 "$out/table.tsv" | grep -cx 36)" -eq 7 ]
}

@test "interrupted in the middle of a training it goes on from the checkpoint" {
    long=("${sweep[@]}" SET="$SMALL training.max_steps=400 training.validate_every=400")
    setsid make -s "${long[@]}" "$out/l1/done" &
    for _ in $(seq 300); do
        [ -s "$out/l1/metrics.jsonl" ] && break
        sleep 0.1
    done
    kill -INT -- "-$!"
    wait "$!" && false
    [ -s "$out/l1/last.h5" ] && [ ! -e "$out/l1/done" ]
    at=$(sgaps-info --json "$out/l1/last.h5" | jq .step)
    [ "$at" -lt 400 ]
    run -0 make "${long[@]}" "$out/l1/done"
    [[ $output == *--resume* && -e $out/l1/done ]]
    [ "$(sgaps-info --json "$out/l1/last.h5" | jq .step)" -eq 400 ]
}

@test "a killed run that was finished is finished" {
    make -s "${sweep[@]}" "$out/l1/done"
    rm "$out/l1/done"
    make -s "${sweep[@]}" "$out/l1/done"
}

@test "the runs by GNU parallel and as tasks of a Slurm array" {
    make -s "${sweep[@]}" prepare
    make -s "${sweep[@]}" list | head -1 | parallel --will-cite -j2 make -s "$(printf '%q ' "${sweep[@]}")" {}
    [ -e "$out/l1/done" ]
    SLURM_ARRAY_TASK_ID=1 SLURM_CPUS_PER_TASK=1 bash sweep.sbatch "${sweep[@]}"
    [ -e "$out/l1-ssim/done" ]
    SLURM_ARRAY_TASK_ID=2 run -64 bash sweep.sbatch "${sweep[@]}"
}
