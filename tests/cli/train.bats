#!/usr/bin/env bats
# sgaps-train from the outside: help, exit codes, streams, bad inputs. What it learns is tested in train_*.t.

bats_require_minimum_version 1.5.0

TINY=(--set model=spt-tiny --set model.embed_dim=16 --set model.num_heads=2 --set model.num_encoder_layers=1
    --set model.num_decoder_layers=1 --set model.architecture.feedforward_dim=16 --set 'model.resolution=[16,16]'
    --set training.batch_size=2 --set 'training.samples=[0.1,0.2]' --set training.validation=none)

setup() {
    cd "$BATS_TEST_TMPDIR"
    rec="$SGAPS_ROOT/examples/data/doom.h5"
    golden="$SGAPS_ROOT/tests/golden/cross"
}

train() { run --separate-stderr "$SGAPS_BIN/sgaps-train" -j 1 "$@"; }
quick() { train -q -o out "${TINY[@]}" --set training.max_steps=1 "$@"; }

# One line on stderr that starts with the tool's name, and no checkpoint under its final name.
refused() {
    [ "$status" -eq "$1" ] || { echo "status $status: $stderr"; return 1; }
    [ "${#stderr_lines[@]}" -eq 1 ] || { echo "$stderr"; return 1; }
    [[ "$stderr" == sgaps-train:* ]]
    [[ "$stderr" == *"$2"* ]] || { echo "$stderr"; return 1; }
    [ ! -e out/last.h5 ] && [ ! -e out/best.h5 ]
    [ -z "$(find . -name '*.part.*')" ]
}

@test "help and version" {
    train --help
    [ "$status" -eq 0 ]
    [[ "$output" == *"--overfit"* ]]
    train --version
    [ "$status" -eq 0 ]
}

@test "a run of one step leaves whole checkpoints, metrics and nothing on stdout" {
    quick "$rec"
    [ "$status" -eq 0 ]
    [ -z "$output$stderr" ]
    [ -s out/best.h5 ] && [ -s out/last.h5 ]
    [ "$(jq -s 'map(select(has("Train/loss_step"))) | length' out/metrics.jsonl)" -eq 1 ]
    [ -z "$(find out -name '*.part.*')" ]
}

@test "--json prints the result, --dry-run the plan and writes nothing" {
    quick --json "$rec"
    [ "$(jq .step <<<"$output")" -eq 1 ]
    parameters=$("$SGAPS_BIN/sgaps-info" --json out/best.h5 | jq .parameters)
    rm -r out
    frames=$(/usr/bin/python3 -c "import h5py; print(sum(len(s['frames']) for s in h5py.File('$rec')['sessions'].values()))")
    train -o out "${TINY[@]}" --dry-run --json "$rec"
    [ "$status" -eq 0 ]
    [ "$(jq .train_frames <<<"$output")" -eq "$frames" ]
    [ "$(jq .bytes_parameters <<<"$output")" -gt 0 ]
    [ "$(jq .parameters <<<"$output")" -eq "$parameters" ]
    [ ! -e out ]
    train -o out "${TINY[@]}" --dry-run "$rec"
    [[ "$output" == *"$frames of 16 sessions"* ]]
}

@test "a run that ends while the learning rate still rises says so" {
    train -o out "${TINY[@]}" --set training.max_steps=2 --set training.warmup_steps=3 "$golden/recording.h5"
    [ "$status" -eq 0 ]
    [[ "$stderr" == *"still rising: training.warmup_steps is 3, the run had 2"* ]]
    train -o out --force "${TINY[@]}" --set training.max_steps=2 --set training.warmup_steps=2 "$golden/recording.h5"
    [[ "$stderr" != *"rising"* ]]
}

@test "--dry-run to a full device is an error" {
    run bash -c "'$SGAPS_BIN/sgaps-train' -o out --dry-run '$rec' > /dev/full"
    [ "$status" -eq 74 ]
}

@test "a recording comes through a pipe" {
    train -q -o out "${TINY[@]}" --set training.max_steps=1 - <"$rec"
    [ "$status" -eq 0 ]
    [ -s out/last.h5 ]
}

@test "a directory means its recordings, validation may come from files of its own" {
    mkdir data && cp "$rec" data/a.h5
    train -q -o out --json "${TINY[@]}" --set training.validation=sessions --set training.max_steps=1 \
        --validation "$golden/recording.h5" data
    [ "$status" -eq 0 ]
    [ "$(jq '.linear_psnr > 0' <<<"$output")" = true ]
}

@test "the same seed and threads give the same bytes" {
    quick --no-history "$rec"
    mv out first
    quick --no-history "$rec"
    cmp first/best.h5 out/best.h5
}

@test "-v says where the memory goes, a warning never stops a run" {
    train -v -o out "${TINY[@]}" --set training.max_steps=1 "$rec"
    [ "$status" -eq 0 ]
    [[ "$stderr" == *"activations"* ]]
}

@test "a run in the directory is not overwritten unasked" {
    quick "$rec"
    before=$(sha256sum out/last.h5)
    train -q -o out "${TINY[@]}" "$rec"
    [ "$status" -eq 73 ]
    [ "$before" = "$(sha256sum out/last.h5)" ]
    quick --force "$rec"
    [ "$status" -eq 0 ]
}

@test "a loss that is no number stops the run and names the step; last.h5 stays good" {
    quick --set training.lr=1 "$rec"
    before=$(sha256sum out/last.h5)
    train -q -o out --resume --set training.lr=100 --set training.optimizer.weight_decay=1 --set training.max_steps=40 \
        --set training.scheduler=constant --set training.warmup_steps=0 --set training.validate_every=1000 "$rec"
    [ "$status" -eq 78 ]
    [[ "$stderr" == *"not finite at step"* ]]
    [ "$before" = "$(sha256sum out/last.h5)" ]
}

@test "usage: no output, no such option, two beginnings" {
    train "$rec"
    refused 64 "-o DIR"
    train -o out --frobnicate "$rec"
    refused 64 "frobnicate"
    train -o out --overfit 0 "$rec"
    refused 64 "overfit"
    train -o out --resume --init "$golden/checkpoint.h5" "$rec"
    refused 64 "exclude"
}

@test "bad recordings: missing, empty, not HDF5, truncated, of another format" {
    quick missing.h5
    refused 66 "missing.h5"
    : >empty.h5
    quick empty.h5
    refused 65 "empty.h5"
    echo "hello" >text.h5
    quick text.h5
    refused 65 "text.h5"
    head -c 100000 "$rec" >cut.h5
    quick cut.h5
    refused 65 "cut.h5"
    quick "$golden/checkpoint.h5"
    refused 65 "checkpoint.h5"
}

@test "bad samples: u outside [0,1], NaN" {
    for bad in 1.7 nan; do
        cp "$golden/recording.h5" bad.h5
        chmod +w bad.h5
        /usr/bin/python3 -c "import h5py; f = h5py.File('bad.h5', 'r+')
f['sessions/golden/samples/uv'][5, 0] = float('$bad')"
        quick --set training.sampling=recorded bad.h5
        refused 65 "uv[5]"
    done
}

@test "a recording without what the loss needs" {
    cp "$golden/recording.h5" bare.h5
    chmod +w bare.h5
    /usr/bin/python3 -c "import h5py; f = h5py.File('bare.h5', 'r+'); del f['sessions/golden/frames']"
    quick --set training.loss=l1 bare.h5
    [ "$status" -eq 65 ]
    [[ "$stderr" == *"full frame"* ]]
    quick bare.h5
    [ "$status" -eq 0 ]
}

@test "full frames and samples alone together: what is trained on, and why, is told" {
    "$SGAPS_BIN/sgaps-sample" -q -n 20 "$rec" -o sparse.h5
    train -o out "${TINY[@]}" --set training.max_steps=1 "$rec" sparse.h5
    [ "$status" -eq 0 ]
    [[ "$stderr" == *"some have none: training takes the samples (--set training.loss=l1: the full frames)"* ]]
    train -o other "${TINY[@]}" --set training.max_steps=1 --set training.loss=l1 "$rec" sparse.h5
    [ "$status" -eq 0 ]
    [[ "$stderr" != *"takes the samples"* && "$stderr" == *"sparse.h5: session"*"has no full frames and is left out"* ]]
}

@test "bad configuration: unknown key, out of range, nll, contradiction with a checkpoint" {
    quick --set training.learning_rate=1 "$rec"
    refused 78 "learning_rate"
    quick --set training.batch_size=0 "$rec"
    refused 78 "batch_size"
    quick --set training.loss=nll "$rec"
    refused 78 "nll trains the error head, which this model has not: set model.error_head=true, or take nll out"
    quick --set training.patterns=adaptive "$rec"
    refused 78 "adaptive"
    train -q -o out --init "$golden/checkpoint.h5" --set model.embed_dim=64 "$golden/recording.h5"
    refused 78 "model.embed_dim"
    quick -c missing.yaml "$rec"
    refused 66 "missing.yaml"
}

@test "--resume takes the settings of the first run again; a resolution that contradicts them is refused" {
    local again=(-q -o out --set model=spt-tiny --set training.batch_size=1 --set training.validation=none)
    train "${again[@]}" --set training.max_steps=1 "$golden/recording.h5"
    [ "$status" -eq 0 ]
    train "${again[@]}" --resume --set training.max_steps=2 "$golden/recording.h5"
    [ "$status" -eq 0 ]
    train "${again[@]}" --resume --set 'model.resolution=[64,64]' --set training.max_steps=3 "$golden/recording.h5"
    [ "$status" -eq 0 ]
    train "${again[@]}" --resume --set 'model.resolution=[8,8]' --set training.max_steps=4 "$golden/recording.h5"
    [ "$status" -eq 78 ]
    [[ "$stderr" == *"model.resolution [8,8] is not the [16,20] that out/last.h5"* ]]
    # The history goes on: three runs.
    [ "$(/usr/bin/python3 -c "import h5py; print(h5py.File('out/last.h5').attrs['history'].strip())" | wc -l)" -eq 3 ]
    [ "$("$SGAPS_BIN/sgaps-info" --json out/last.h5 | jq '.. | .step? // empty' | head -1)" -eq 3 ]
    train "${again[@]:1}" --resume "$golden/recording.h5"
    [ "$status" -eq 0 ]
    [[ "$stderr" == "sgaps-train: out: was at its end, after step 3: "* ]]
}

@test "validation is on whole frames where there are any, whatever the loss looks at" {
    local sparse=(-q -o out --json "${TINY[@]}" --set training.max_steps=1 --set training.validation=sessions)
    train "${sparse[@]}" --set training=phase1 "$golden/recording.h5"
    [ "$status" -eq 0 ]
    [ "$(jq '.ssim | type' <<<"$output")" = '"number"' ]
    [ "$(/usr/bin/python3 -c "import h5py; print(h5py.File('out/best.h5').attrs['metric'])")" = psnr ]
    cp "$golden/recording.h5" bare.h5
    chmod +w bare.h5
    /usr/bin/python3 -c "import h5py; f = h5py.File('bare.h5', 'r+'); del f['sessions/golden/frames']"
    train "${sparse[@]}" --force --set training=phase2 bare.h5
    [ "$(jq '.ssim | type' <<<"$output")" = '"null"' ]
    [ "$(/usr/bin/python3 -c "import h5py; print(h5py.File('out/best.h5').attrs['metric'])")" = heldout_psnr ]
    # Frames without samples validate a training on samples.
    train "${sparse[@]}" --force --set training=phase2 --validation "$rec" bare.h5
    [ "$status" -eq 0 ]
    [ "$(jq '.ssim | type' <<<"$output")" = '"number"' ]
}

@test "bad checkpoints: missing, no checkpoint, wrong shapes, nothing to resume" {
    train -q -o out --init missing.h5 "$rec"
    refused 66 "missing.h5"
    train -q -o out --init "$rec" "$rec"
    refused 65 "doom.h5"
    train -q -o out --resume "$rec"
    refused 66 "last.h5"
    cp "$golden/checkpoint.h5" wrong.h5
    chmod +w wrong.h5
    /usr/bin/python3 -c "import h5py, numpy; f = h5py.File('wrong.h5', 'r+')['model_state_dict']
del f.attrs['sha256'], f['pixel_embed.weight']; f['pixel_embed.weight'] = numpy.zeros((3, 3), 'f4')"
    train -q -o out --init wrong.h5 "$golden/recording.h5"
    refused 65 "pixel_embed.weight"
}

@test "no place to write: a file in the way, a device that is not there" {
    : >out
    quick "$rec"
    [ "$status" -eq 73 ]
    rm out
    quick --device cuda "$rec"
    refused 69 "cuda"
}

@test "a full disk is an error and leaves no checkpoint" {
    # A limit on the size of files stands for the full disk; SIGXFSZ is ignored as a shell's child inherits it.
    # HDF5 itself forgets what it could not flush.
    run env ASAN_OPTIONS=detect_leaks=0 bash -c "trap '' XFSZ; ulimit -f 40; '$SGAPS_BIN/sgaps-train' -q -j 1 -o out ${TINY[*]@Q} \
        --set training.max_steps=1 '$rec'"
    [ "$status" -eq 74 ]
    [ ! -e out/last.h5 ]
    [ -z "$(find . -name '*.part.*')" ]
}

@test "an error head: trained by nll, measured, drawn; what leaves it untrained is told" {
    TINY=("${TINY[@]/training.validation=none/training.validation=sessions}")
    head=(--set model.error_head=true --set training.validation_share=0.1)
    train --dry-run -o dry "${TINY[@]}" --set model.error_head=true "$rec"
    [[ "$output" == *"1 l1 + 0.15 ssim + 0.1 nll"* ]]
    quick "${head[@]}" "$rec"
    [ "$status" -eq 0 ]
    [ -z "$stderr" ]
    jq -es '(map(select(has("Train/nll"))) | length == 1) and
            (map(select(has("Val/loss"))) | length == 1 and all(.["Val/nll"] < 4 and .["Val/nll_constant"] < 1 and
                (.["Val/error_correlation"] | fabs) <= 1))' out/metrics.jsonl
    h5ls -r out/best.h5 | grep -q "/model_state_dict/error_head.weight Dataset {1, 16, 3, 3}"
    "$SGAPS_BIN/sgaps-info" out/best.h5 | grep -q "error head  *expected error of each pixel"
    "$SGAPS_BIN/sgaps-info" out/best.h5 | grep -q "model.error_head = true"
    wide=$(file out/examples/*.png | sed -n 's/.*PNG image data, \([0-9]*\) x.*/\1/p')
    train -q -o plain "${TINY[@]}" --set training.max_steps=1 --set training.validation_share=0.1 "$rec"
    [ "$(jq -s 'map(select(has("Train/nll") or has("Val/nll"))) | length' plain/metrics.jsonl)" -eq 0 ]
    narrow=$(file plain/examples/*.png | sed -n 's/.*PNG image data, \([0-9]*\) x.*/\1/p')
    [ "$wide" -gt $((narrow * 4 / 3)) ]
    train -o alone "${TINY[@]}" "${head[@]}" --set training.max_steps=1 --set training.loss=nll "$rec"
    [ "$status" -eq 0 ]
    [[ "$stderr" != *"nothing trains it"* ]]
    train -o without "${TINY[@]}" "${head[@]}" --set training.max_steps=1 --set training.loss=l1 "$rec"
    [ "$status" -eq 0 ]
    [[ "$stderr" == *"model.error_head: nothing trains it: training.loss has no nll (l1: 1, ssim: 0.15, nll: 0.1 say)"* ]]
    train -q -o out --init without/best.h5 --force --set training.max_steps=1 --set training.validation=none \
        --set training.loss='{l1: 1, nll: 0.5}' "$rec"
    [ "$status" -eq 0 ]
    [ "$(jq -s 'map(select(has("Train/nll"))) | length' out/metrics.jsonl)" -eq 1 ]
}
