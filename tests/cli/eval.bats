#!/usr/bin/env bats
# sgaps-eval at its doors. The figures themselves are held against skimage in eval_skimage.t.

bats_require_minimum_version 1.5.0
load ../support/doors

setup_file() {
    export DIR=$BATS_FILE_TMPDIR
    export PATH=$SGAPS_BIN:$PATH
    export LC_ALL=C
    cd "$DIR"
    make() { /usr/bin/python3 "$SGAPS_ROOT/tests/support/make_recording.py" "$@"; }
    make rec.h5
    make other.h5 seed=2
    make one.h5 sessions=one frames=12
    make named.h5 sessions=two frames=12
    make late.h5 sessions=one frames=12 first=4
    make far.h5 sessions=c,d
    make short.h5 sessions=a frames=1
    make both.h5 sessions=one frames=12 samples=20
    make sparse.h5 sessions=one frames=12 images=0 samples=20
    make big.h5 sessions=one frames=2 size=170x165
    make tiny.h5 sessions=one frames=2 size=6x6
    for fault in shape type version format uv nan; do make $fault.h5 sessions=one samples=20 break=$fault; done
    : >empty.h5
    echo "not a recording at all, only text" >text.h5
    head -c 3000 rec.h5 >cut.h5
    /usr/bin/python3 - <<'PY'
import h5py
frames = h5py.File("one.h5")["sessions/one/frames"][:]
with open("one.y4m", "wb") as f:
    f.write(b"YUV4MPEG2 W64 H48 F10:1 Ip A1:1 Cmono XCOLORRANGE=FULL\n")
    for frame in frames:
        f.write(b"FRAME\n" + frame.tobytes())
with open("one.pgm", "wb") as f:
    for frame in frames:
        f.write(b"P5\n64 48\n255\n" + frame.tobytes())
PY
    head -c 20000 one.y4m >cut.y4m
}

setup() {
    cd "$DIR"
}

@test "help and version" {
    run -0 --separate-stderr sgaps-eval --help
    [[ $output == *"Usage: sgaps-eval"* && -z $stderr ]]
    run -0 sgaps-eval --version
    [[ $output == "sgaps-eval "[0-9]* ]]
}

@test "identical frames are counted, their PSNR is null" {
    sgaps-eval -q rec.h5 rec.h5 --json >out.json
    jq -e '.frames == 80 and .identical == 80 and .psnr.mean == null and .psnr_pooled == null and .ssim.mean == 1
           and .mae.mean == 0 and .tpsnr.mean == null and (has("rows") | not)' out.json
    sgaps-eval -q rec.h5 rec.h5 | tail -1 | grep -q " inf "
}

@test "one note says what could not be computed" {
    run --separate-stderr sgaps-eval rec.h5 other.h5 --json
    [ "$status" -eq 0 ] && [ "${#stderr_lines[@]}" -eq 1 ]
    [[ $stderr == *ms_ssim*160*psnr_off_samples* && $stderr != *tpsnr* ]]
    jq -e '.ms_ssim.mean == null and .tpsnr.mean > 0' <<<"$output"
    run --separate-stderr sgaps-eval --method linear -n 9 short.h5 --json
    [[ $stderr == *tpsnr* ]] && jq -e '.tpsnr.mean == null and .frames == 1' <<<"$output"
    run --separate-stderr sgaps-eval --method nearest -n 9 tiny.h5 --tsv
    [[ $stderr == *"ssim (the frame"*ssim_7u* ]] && [[ ${lines[1]} == *$'\t-\t-\t-\t'* ]]
    run --separate-stderr sgaps-eval --method nearest -n 99 big.h5 --json
    [ -z "$stderr" ] && jq -e '.ms_ssim.mean > 0' <<<"$output"
}

@test "sessions match by id, single ones whatever their ids, frames by number" {
    sgaps-eval -q one.h5 named.h5 --json | jq -e '.frames == 12 and .identical == 12'
    run --separate-stderr sgaps-eval one.h5 late.h5 --json
    [[ $stderr == *"4 frames that are on one side only"* ]]
    jq -e '.frames == 8 and .identical == 0' <<<"$output"
    run --separate-stderr sgaps-eval rec.h5 far.h5
    fails 65 "no frame"
}

@test "frames without numbers match by order" {
    /usr/bin/python3 -c "
import h5py
f = h5py.File('late.h5'), h5py.File('no-id.h5', 'w')
f[0].copy('sessions', f[1])
f[1].attrs.update(f[0].attrs)
f[1]['sessions/one'].pop('frame_id')"
    sgaps-eval -q late.h5 no-id.h5 --json | jq -e '.frames == 12 and .identical == 12'
    sgaps-eval -q --per-frame no-id.h5 late.h5 --tsv | cut -f 4 | sed -n 2p | grep -qx 4
}

@test "films match by order, from files and from standard input" {
    for film in one.y4m one.pgm; do
        sgaps-eval -q one.h5 $film --json | jq -e '.frames == 12 and .identical == 12'
        sgaps-eval -q $film one.h5 --json | jq -e '.frames == 12 and .identical == 12'
        cat $film | sgaps-eval -q one.h5 - --json | jq -e '.identical == 12'
    done
    cat one.h5 | sgaps-eval -q - one.y4m --json | jq -e '.identical == 12'
    sgaps-eval -q one.y4m - --json <one.h5 | jq -e '.identical == 12'
    run --separate-stderr sgaps-eval late.h5 one.y4m --json
    jq -e '.frames == 12' <<<"$output"
    sgaps-eval -q --method linear -n 60 one.y4m --json | jq -e '.rows[0].frames == 12 and .rows[0].psnr.mean > 15'
}

@test "a row for each method and each budget" {
    sgaps-eval -q --method linear --method nearest --method natural --method thumbnail -n 50,100,200 rec.h5 --json >out.json
    jq -e '(.rows | length) == 12 and ([.rows[].n] | unique) == [50,100,200] and all(.rows[]; .frames == 80)' out.json
    jq -e '[.rows[] | select(.method == "linear").psnr.mean] | . == sort and .[2] - .[0] > 1' out.json
    jq -e 'all(.rows[]; .psnr.min <= .psnr.mean and .psnr.mean <= .psnr.max and .psnr.std >= 0)' out.json
    sgaps-eval -q --method linear --method thumbnail -n 50,100 rec.h5 --tsv >out.tsv
    [ "$(wc -l <out.tsv)" -eq 5 ] && [ "$(awk -F'\t' '{print NF}' out.tsv | sort -u)" = 13 ]
}

@test "a file and methods together, on the file's samples" {
    sgaps-eval -q both.h5 one.h5 --method linear --json >out.json
    jq -e '.identical == 12 and .rows[0].n == 20 and (.rows | length) == 1' out.json
    sgaps-eval -q both.h5 --method linear --json | jq -e '.rows[0].n == 20 and .psnr_off_samples.mean < .psnr.mean'
}

@test "what is half-way between two values is rounded alike in every tool" {
    for dtype in u8 f32; do
        sgaps-reconstruct -q --method linear --dtype $dtype both.h5 | sgaps-eval -q both.h5 - --json |
            jq -c '[.psnr, .mae]' >through.$dtype
    done
    sgaps-eval -q --method linear both.h5 --json | jq -c '.rows[0] | [.psnr, .mae]' >direct
    cmp direct through.u8
    cmp direct through.f32
}

@test "a sparse second file gives its samples and is not compared itself" {
    sgaps-sample -n 70 --seed 9 --pattern random one.h5 -o s7.h5
    sgaps-eval -q --method linear one.h5 s7.h5 --json >out.json
    jq -e '(.rows | length) == 1 and .rows[0].n == 70 and .rows[0].frames == 12 and (has("reconstruction") | not)' out.json
    a=$(jq .rows[0].psnr.mean out.json)
    b=$(sgaps-eval -q --method linear --pattern random --seed 9 -n 70 one.h5 --json | jq .psnr.mean)
    [ "$a" = "$b" ]
    sgaps-sample -n 70 --pattern adaptive --importance=residual one.h5 | sgaps-eval -q --method linear one.h5 - --json |
        jq -e '.psnr.mean > 10'
    run --separate-stderr sgaps-eval one.h5 s7.h5
    fails 65 "samples only"
}

@test "a model of another making is compared at any size" {
    sgaps-eval -m "$SGAPS_ROOT/tests/golden/tiny/checkpoint.h5" --method linear -n 40 one.h5 --json >out.json 2>notes
    [ "$(grep -c "checkpoint.h5: was trained at 64x64 and rebuilds 64x48 here, where it knows less (--size)" notes)" -eq 1 ]
    sgaps-eval -m "$SGAPS_ROOT/tests/golden/tiny/checkpoint.h5" -n 40 --size 64x64 one.h5 2>notes >/dev/null
    [ "$(grep -c "was trained" notes)" -eq 0 ]
    jq -e '(.rows | length) == 2 and all(.rows[]; .psnr.mean > 3)' out.json
}

@test "samples are those of sgaps-sample for the same seed" {
    a=$(sgaps-eval -q --method linear --pattern random --seed 9 -n 70 one.h5 --json | jq .psnr.mean)
    sgaps-sample --pattern random --seed 9 -n 70 one.h5 -o s9.h5
    /usr/bin/python3 - <<'PY'
import h5py
with h5py.File("s9.h5", "a") as f:
    f["sessions/one/frames"] = h5py.File("one.h5")["sessions/one/frames"][:]
PY
    b=$(sgaps-eval -q --method linear s9.h5 --json | jq .psnr.mean)
    [ "$a" = "$b" ]
}

@test "every frame, as table, TSV and JSON" {
    sgaps-eval -q --per-frame --tsv rec.h5 other.h5 >out.tsv
    [ "$(wc -l <out.tsv)" -eq 81 ]
    sgaps-eval -q --per-frame --json --method linear --method nearest -n 60 one.h5 |
        jq -e '.rows | length == 2 and all(.[]; (.per_frame | length) == 12 and .per_frame[3].frame_id == 3
               and .per_frame[0].tpsnr == null and .per_frame[1].tpsnr > 0 and .per_frame[0].session == "one")'
}

@test "other sizes" {
    sgaps-eval -q --size 32x24 rec.h5 other.h5 --json | jq -e '.frames == 80 and .psnr.mean > 15'
    sgaps-eval -q --size 32x24 --method linear -n 40 rec.h5 --json | jq -e '.rows[0].frames == 80'
    run --separate-stderr sgaps-eval one.h5 big.h5
    fails 65 "170x165.*64x48.*--size"
    sgaps-eval -q --size 64x48 one.h5 big.h5 --json | jq -e '.frames == 2'
}

@test "a selection takes frames out, of a film too" {
    /usr/bin/python3 - <<'PY'
import h5py, numpy as np
with h5py.File("select.h5", "w") as f:
    f.attrs.update(format="sgaps-recording", format_version=np.int32(1))
    keep = np.ones(12, np.uint8)
    keep[[0, 5, 11]] = 0
    f["clean/one/keep"] = keep
PY
    sgaps-eval -q one.h5 select.h5 --method linear -n 50 --json | jq -e '.rows[0].frames == 9'
    sgaps-eval -q one.h5 one.y4m select.h5 --json | jq -e '.frames == 9 and .identical == 9'
}

@test "--min-psnr decides the exit status" {
    run -0 sgaps-eval -q rec.h5 rec.h5 --min-psnr 99
    run -1 --separate-stderr sgaps-eval -q rec.h5 other.h5 --min-psnr 60
    [[ $output == *psnr* && -z $stderr ]]
    run -0 sgaps-eval -q rec.h5 other.h5 --min-psnr 10
    run -1 sgaps-eval -q --method linear -n 50 rec.h5 --min-psnr 60
    # A file is judged, the methods beside it are not.
    run -0 sgaps-eval -q rec.h5 rec.h5 --method nearest -n 50 --min-psnr 60
}

@test "a plot, or a word that gnuplot is missing; the figures in any case" {
    run --separate-stderr sgaps-eval -q --method linear --method nearest -n 20,40 one.h5 --tsv --plot psnr.svg
    [ "$status" -eq 0 ] && [ "${#lines[@]}" -eq 5 ]
    if command -v gnuplot >/dev/null; then grep -q "<svg" psnr.svg; else [ ! -e psnr.svg ]; fi
    mkdir -p bare && ln -sf "$SGAPS_BIN/sgaps-eval" bare/
    run --separate-stderr env PATH="$DIR/bare" sgaps-eval --method linear -n 20,40 one.h5 --tsv --plot none.svg
    [ "$status" -eq 0 ] && [ "${#lines[@]}" -eq 3 ] && [[ $stderr == *gnuplot* ]] && [ ! -e none.svg ]
    run --separate-stderr sgaps-eval --method linear -n 20 one.h5 --plot psnr.pdf
    fails 64 "psnr.pdf"
}

@test "the same with any number of threads" {
    a=$(sgaps-eval -q -j 1 --method linear --method natural -n 60 rec.h5 --json)
    b=$(sgaps-eval -q -j 3 --method linear --method natural -n 60 rec.h5 --json)
    [ "$a" = "$b" ]
}

@test "a closed pipe ends it quietly, a full disk is an error" {
    run --separate-stderr bash -c \
        'sgaps-eval -q --per-frame --json --method linear --method nearest -n 9,10,11 rec.h5 | head -c 10 >/dev/null; exit ${PIPESTATUS[0]}'
    [ "$status" -eq 141 ] && [ -z "$stderr" ]
    run --separate-stderr bash -c 'sgaps-eval -q rec.h5 other.h5 >/dev/full'
    fails 74 "standard output"
    if command -v gnuplot >/dev/null; then
        run --separate-stderr sgaps-eval -q --method linear -n 9 one.h5 --plot missing/dir/psnr.svg
        [ "$status" -eq 73 ] && [[ $stderr == *missing/dir* ]]
    fi
}

@test "bad command lines" {
    run --separate-stderr sgaps-eval
    fails 64 "REFERENCE"
    run --separate-stderr sgaps-eval rec.h5
    fails 64 "nothing to compare"
    run --separate-stderr sgaps-eval rec.h5 rec.h5 rec.h5
    fails 64 "third"
    run --separate-stderr sgaps-eval - -
    fails 64 "standard input"
    run --separate-stderr sgaps-eval --method cubic -n 9 rec.h5
    fails 64 "cubic"
    run --separate-stderr sgaps-eval -n 9 rec.h5 rec.h5
    fails 64 "-n"
    run --separate-stderr sgaps-eval --method linear -n 9,,8 rec.h5
    fails 64 "-n"
    run --separate-stderr sgaps-eval --method linear -n 9,x rec.h5
    fails 64 "x"
    run --separate-stderr sgaps-eval --method linear -n 3073 rec.h5
    fails 64 "64x48"
    run --separate-stderr sgaps-eval --tsv --json rec.h5 rec.h5
    fails 64 "--json"
    run --separate-stderr sgaps-eval --size 0x5 rec.h5 rec.h5
    fails 64 "--size"
    run --separate-stderr sgaps-eval --metod linear -n 9 rec.h5
    fails 64 "--method"
    run --separate-stderr sgaps-eval --method linear --pattern adaptive -n 9 rec.h5
    fails 69 "adaptive"
}

@test "bad inputs" {
    run --separate-stderr sgaps-eval -q rec.h5 nowhere.h5
    fails 66 "nowhere.h5"
    run --separate-stderr sgaps-eval -q empty.h5 rec.h5
    fails 65 "empty.h5"
    run --separate-stderr sgaps-eval -q rec.h5 text.h5
    fails 65 "text.h5"
    run --separate-stderr sgaps-eval -q rec.h5 cut.h5
    fails 65 "cut.h5"
    run --separate-stderr sgaps-eval -q one.h5 cut.y4m
    fails 65 "cut.y4m"
    run --separate-stderr sgaps-eval -q sparse.h5 rec.h5
    fails 65 "sparse.h5"
    run --separate-stderr sgaps-eval -q --method linear sparse.h5
    fails 65 "sparse.h5: no full frames"
    run --separate-stderr sgaps-eval -q --method linear one.h5
    fails 65 "no samples are recorded"
    for fault in shape type version format uv nan; do
        run --separate-stderr sgaps-eval -q --method linear $fault.h5
        fails 65 "$fault.h5"
    done
    run --separate-stderr sgaps-eval -q -m rec.h5 -n 9 one.h5
    fails 65 "rec.h5"
    run --separate-stderr sgaps-eval -q -m nowhere.h5 -n 9 one.h5
    fails 66 "nowhere.h5"
    mkdir runs && touch runs/best.h5
    run --separate-stderr sgaps-eval -q -m runs -n 9 one.h5
    fails 66 "runs: is a directory: its checkpoint is runs/best.h5"
    run --separate-stderr sgaps-eval -q rec.h5 - </dev/null
    fails 65 "standard input"
    run --separate-stderr flock -x one.h5 sgaps-eval -q --method linear -n 9 one.h5
    fails 75 "one.h5"
}

@test "an error head: its figures beside the picture's, its map on the sheets" {
    head=$SGAPS_ROOT/tests/golden/error-head/checkpoint.h5 plain=$SGAPS_ROOT/tests/golden/cross/checkpoint.h5
    sgaps-eval -q -m "$head" -m "$plain" --method linear -n 40 one.h5 --json >out.json
    jq -e '[.rows[] | has("error_head")] == [true, false, false]' out.json
    /usr/bin/python3 - "$head" <<'PY'
import json
import os
import subprocess
import sys
import h5py
import numpy as np
sys.dont_write_bytecode = True
sys.path.insert(0, os.environ["SGAPS_ROOT"] + "/examples/torch")
import sgaps_torch
import torch
model, config, norm = sgaps_torch.load(sys.argv[1])
subprocess.run("sgaps-sample -q -n 40 one.h5 -o forty.h5", shell=True, check=True)
s, truth = h5py.File("forty.h5")["sessions/one"], h5py.File("one.h5")["sessions/one/frames"][:] / 255.0
T, H, W = truth.shape
pixels = torch.from_numpy(np.concatenate([s["samples/uv"][:], s["samples/value"][:][:, None] / np.float32(255)], 1).reshape(T, 40, 3))
state = s["state"][:]
state = torch.from_numpy(np.pad(state, ((0, 0), (0, config["max_state_dim"] - state.shape[1])), constant_values=-999))
mask = (state != -999).float()
with torch.no_grad():
    picture = model(pixels, state, mask, (H, W))[:, 0].double().numpy()
    b = model.scale()[:, 0].double().numpy()
error = abs(picture - truth)
want = {"correlation": np.corrcoef(error.ravel(), b.ravel())[0, 1], "nll": (error / b + np.log(2 * b)).mean(),
        "nll_constant": 1 + np.log(2 * error.mean()), "within_median": (error < b * np.log(2)).mean()}
have = json.load(open("out.json"))["rows"][0]["error_head"]
assert have.keys() == want.keys(), have
assert all(abs(have[k] - want[k]) < 1e-4 for k in want), (have, want)
PY
    sgaps-eval -q -m "$head" -n 40 one.h5 --pictures error --importance error
    sgaps-eval -q -m "$head" -n 40 one.h5 --pictures entropy
    ! cmp error/one-40.png entropy/one-40.png
    run --separate-stderr sgaps-eval -m "$plain" -n 40 one.h5 --pictures bad --importance error
    fails 69 "has no error head"
    run --separate-stderr sgaps-eval -m "$plain" -n 40 one.h5 --importance variance
    fails 64 "importance.*pictures"
    [ ! -e bad ]
}
