#!/usr/bin/env bats
# sgaps-sample at its doors.

bats_require_minimum_version 1.5.0
load ../support/doors

setup_file() {
    export DIR=$BATS_FILE_TMPDIR
    export PATH=$SGAPS_BIN:$PATH
    export LC_ALL=C
    cd "$DIR"
    make() { /usr/bin/python3 "$SGAPS_ROOT/tests/support/make_recording.py" "$@"; }
    make rec.h5
    make one.h5 sessions=one frames=12
    make sparse.h5 images=0 samples=20
    make shape.h5 break=shape
    make type.h5 break=type
    make version.h5 break=version
    make format.h5 break=format
    : >empty.h5
    echo "not a recording at all, only text" >text.h5
    head -c 3000 rec.h5 >cut.h5
}

setup() {
    cd "$DIR"
    model=$SGAPS_ROOT/tests/golden/tiny/checkpoint.h5
}

@test "help and version" {
    run -0 --separate-stderr sgaps-sample --help
    [[ $output == *"Usage: sgaps-sample"* && -z $stderr ]]
    run -0 sgaps-sample -h
    run -0 sgaps-sample --version
    [[ $output == "sgaps-sample "[0-9]* ]]
}

@test "every pattern gives N different pixels with their values, the states go along" {
    for pattern in grid random bluenoise; do
        sgaps-sample --pattern $pattern -n 77 rec.h5 -o out-$pattern.h5
        /usr/bin/python3 - out-$pattern.h5 <<'PY'
import sys, h5py, numpy as np
a, b = h5py.File("rec.h5"), h5py.File(sys.argv[1])
assert list(b["sessions"]) == list(a["sessions"])
for name in a["sessions"]:
    s, d = a["sessions"][name], b["sessions"][name]
    o = d["samples/offset"][:]
    assert "frames" not in d and len(o) == len(s["frame_id"]) + 1 and (np.diff(o) == 77).all()
    assert (d["state"][:] == s["state"][:]).all() and (d["frame_id"][:] == s["frame_id"][:]).all()
    uv, value = d["samples/uv"][:], d["samples/value"][:]
    for t in range(len(o) - 1):
        x, y = (uv[o[t]:o[t + 1]] * [64, 48]).astype(int).T
        assert len(set(zip(x, y))) == 77 and (s["frames"][t][y, x] == value[o[t]:o[t + 1]]).all()
    assert len(set(d["samples/set"][:])) == (1 if "grid" in sys.argv[1] else len(o) - 1)
PY
    done
}

@test "a seed gives the same bytes, with any number of threads; another seed others" {
    a=$(sgaps-sample --no-history --seed 5 -j 1 -n 40 rec.h5 | sha256sum)
    b=$(sgaps-sample --no-history --seed 5 -j 3 -n 40 rec.h5 | sha256sum)
    c=$(sgaps-sample --no-history --seed 6 -n 40 rec.h5 | sha256sum)
    [ "$a" = "$b" ] && [ "$a" != "$c" ]
}

@test "standard input, standard output, several files, a directory" {
    sgaps-sample -n 9 - <rec.h5 >out-a.h5
    sgaps-sample -n 9 <rec.h5 -o - | cat >out-b.h5
    mkdir -p folder/deep && cp rec.h5 folder && cp one.h5 folder/deep
    sgaps-sample -n 9 folder rec.h5 -o out-c.h5
    [ "$(h5ls out-a.h5/sessions | wc -l)" -eq 2 ] && [ "$(h5ls out-b.h5/sessions | wc -l)" -eq 2 ]
    [ "$(h5ls out-c.h5/sessions | awk '{print $1}' | xargs)" = "a a-2 b b-2 one" ]
}

@test "the history grows, or is left out" {
    sgaps-sample -n 9 rec.h5 -o out-h.h5
    h5dump -a history out-h.h5 | grep -q "sgaps-sample -n 9 rec.h5 -o out-h.h5"
    h5dump -a history out-h.h5 | grep -q make_recording.py
    sgaps-sample --no-history -n 9 rec.h5 -o out-n.h5
    ! h5dump -a history out-n.h5 2>/dev/null | grep -q sgaps-sample
}

@test "a selection beside its source takes rows out" {
    /usr/bin/python3 - <<'PY'
import h5py, numpy as np
with h5py.File("select.h5", "w") as f:
    f.attrs.update(format="sgaps-recording", format_version=np.int32(1))
    keep = np.ones(40, np.uint8)
    keep[3:30] = 0
    f["clean/b/keep"] = keep
PY
    sgaps-sample -n 9 rec.h5 select.h5 -o out-s.h5
    /usr/bin/python3 -c "
import h5py
s = h5py.File('out-s.h5')['sessions']
assert len(s['a/frame_id']) == 40 and list(s['b/frame_id'][:4]) == [0, 1, 2, 30]"
}

# sets FILE SESSION: the set of every frame, without spaces between equal ones.
sets() {
    /usr/bin/python3 -c "
import h5py, sys
print(' '.join(str(x) for x in h5py.File('$1')['sessions/$2/samples/set'][:]))"
}

@test "closed loop: a set arrives --latency frames after the one it was computed from" {
    sgaps-sample -n 40 --pattern adaptive --importance=residual one.h5 -o loop.h5
    [ "$(sets loop.h5 one)" = "0 0 0 0 0 1 1 1 1 1 2 2" ]
    sgaps-sample -n 40 --pattern adaptive --importance=residual --latency 3 one.h5 -o loop.h5
    [ "$(sets loop.h5 one)" = "0 0 0 0 0 0 0 1 1 1 1 1" ]
    sgaps-sample -n 40 --pattern hybrid --importance=residual --set mask_update.fixed_interval=1 --latency 2 one.h5 -o loop.h5
    [ "$(sets loop.h5 one)" = "0 0 1 2 3 4 5 6 7 8 9 10" ]
    sgaps-sample -n 40 --schedule quality_based --set mask_update.quality_based.low_quality_threshold=0 \
        --set mask_update.quality_based.high_quality_threshold=1 one.h5 -o loop.h5
    [ "$(sets loop.h5 one)" = "0 0 0 0 0 1 1 1 1 1 2 2" ]
    sgaps-sample -n 40 --schedule adaptive --set mask_update.adaptive.quality_threshold=1 one.h5 -o loop.h5
    [ "$(sets loop.h5 one)" = "0 1 2 3 4 5 6 7 8 9 10 11" ]
}

@test "closed loop: every pattern keeps N different pixels, frames of one set share them" {
    for pattern in bluenoise importance importance_only hybrid adaptive; do
        sgaps-sample -n 60 --pattern $pattern -m "$model" one.h5 -o loop.h5
        /usr/bin/python3 - <<'PY'
import h5py, numpy as np
s, d = h5py.File("one.h5")["sessions/one"], h5py.File("loop.h5")["sessions/one"]
o, number = d["samples/offset"][:], d["samples/set"][:]
assert (np.diff(o) == 60).all() and (d["state"][:] == s["state"][:]).all()
uv = d["samples/uv"][:].reshape(12, 60, 2)
for t in range(12):
    x, y = (uv[t] * [64, 48]).astype(int).T
    assert len(set(zip(x, y))) == 60 and (s["frames"][t][y, x] == d["samples/value"][o[t]:o[t + 1]]).all()
    assert t == 0 or ((uv[t] == uv[t - 1]).all() == (number[t] == number[t - 1]))
PY
    done
}

@test "closed loop: samples go where the map is high" {
    /usr/bin/python3 - <<'PY'
import h5py, numpy as np
with h5py.File("one.h5") as a, h5py.File("half.h5", "w") as b:
    for k, v in a.attrs.items():
        b.attrs[k] = v
    a.copy("sessions", b)
    frames = b["sessions/one/frames"]
    rng = np.random.default_rng(5)
    for t in range(len(frames)):  # left: noise, right: one grey
        frames[t] = np.where(np.arange(64) < 32, rng.integers(0, 256, (48, 64)), 90)
PY
    sgaps-sample -n 100 --pattern adaptive --importance=residual half.h5 -o loop.h5
    /usr/bin/python3 -c "
import h5py
u = h5py.File('loop.h5')['sessions/one/samples/uv'][:, 0].reshape(12, 100)
left = (u < 0.5).mean(1)
assert abs(left[0] - 0.5) < 0.1 and left[6] > 0.6, left"
}

@test "a closed pipe ends it quietly" {
    run --separate-stderr bash -c 'sgaps-sample -n 2000 rec.h5 | head -c 100 >/dev/null; exit ${PIPESTATUS[0]}'
    [ "$status" -eq 141 ] && [ -z "$stderr" ]
}

@test "binary data is not written to a terminal" {
    script -qec true /dev/null </dev/null >/dev/null 2>&1 || skip "no pseudo-terminal to be had"
    run script -qec "sgaps-sample -n 9 rec.h5" /dev/null
    [ "$status" -eq 64 ] && [[ $output == *"terminal"* ]]
}

@test "bad command lines" {
    run --separate-stderr sgaps-sample rec.h5
    fails 64 "-n N is needed"
    run --separate-stderr sgaps-sample -n 0 rec.h5
    fails 64 "-n|--samples"
    run --separate-stderr sgaps-sample -n 12x rec.h5
    fails 64 "12x"
    run --separate-stderr sgaps-sample -n 9 --pattern stripes rec.h5
    fails 64 "stripes"
    run --separate-stderr sgaps-sample -n 9 --patern grid rec.h5
    fails 64 "pattern"
    run --separate-stderr sgaps-sample -n 9 --seed=-1 rec.h5
    fails 64 "seed"
    run --separate-stderr sgaps-sample -n 3073 rec.h5 -o bad.h5
    fails 64 "64x48"
    run --separate-stderr sgaps-sample -n 9 rec.h5 -o rec.h5
    fails 64 "input"
    run --separate-stderr sgaps-sample -n 9 --pattern adaptive rec.h5 -o bad.h5
    fails 64 "adaptive.*-m CKPT"
    run --separate-stderr sgaps-sample -n 9 --latency 0 rec.h5 -o bad.h5
    fails 64 "latency"
    run --separate-stderr sgaps-sample -n 9 --set sampling.flor=0.2 rec.h5 -o bad.h5
    fails 78 "sampling.floor"
    run --separate-stderr sgaps-sample -n 9 --set mask_update.fixed_interval=0 rec.h5 -o bad.h5
    fails 78 "fixed_interval"
    run --separate-stderr sgaps-sample -n 9 -c nowhere.yaml rec.h5 -o bad.h5
    [ "$status" -eq 66 ] || [ "$status" -eq 78 ]
    run --separate-stderr sgaps-sample -n 9 -m rec.h5 rec.h5 -o bad.h5
    fails 65 "rec.h5"
    run --separate-stderr sgaps-sample -n 9 -m "$model" --importance error --pattern hybrid rec.h5 -o bad.h5
    fails 69 "has no error head"
    nothing_left bad
}

@test "bad inputs" {
    run --separate-stderr sgaps-sample -n 9 nowhere.h5 -o bad.h5
    fails 66 "nowhere.h5"
    run --separate-stderr sgaps-sample -n 9 empty.h5 -o bad.h5
    fails 65 "empty.h5"
    run --separate-stderr sgaps-sample -n 9 text.h5 -o bad.h5
    fails 65 "text.h5"
    run --separate-stderr sgaps-sample -n 9 cut.h5 -o bad.h5
    fails 65 "cut.h5"
    run --separate-stderr sgaps-sample -n 9 sparse.h5 -o bad.h5
    fails 65 "sparse.h5: /sessions/a: no full frames"
    run --separate-stderr sgaps-sample -n 9 shape.h5 -o bad.h5
    fails 65 "shape.h5: .*frames"
    run --separate-stderr sgaps-sample -n 9 type.h5 -o bad.h5
    fails 65 "type.h5: .*frames"
    run --separate-stderr sgaps-sample -n 9 version.h5 -o bad.h5
    fails 65 "version"
    run --separate-stderr sgaps-sample -n 9 format.h5 -o bad.h5
    fails 65 "format.h5"
    run --separate-stderr sgaps-sample -n 9 rec.h5 cut.h5 -o bad.h5
    fails 65 "cut.h5"
    run --separate-stderr sgaps-sample -n 9 "$SGAPS_ROOT/tests/golden/tiny/checkpoint.h5" -o bad.h5
    fails 65 "checkpoint.h5"
    run --separate-stderr sgaps-sample -n 9 - -o bad.h5 </dev/null
    fails 65 "standard input"
    run --separate-stderr flock -x one.h5 sgaps-sample -n 9 one.h5 -o bad.h5
    fails 75 "one.h5"
    nothing_left bad
}

@test "outputs that cannot be" {
    run --separate-stderr bash -c 'sgaps-sample -n 9 rec.h5 >/dev/full'
    fails 74 "standard output"
    run --separate-stderr sgaps-sample -n 9 rec.h5 -o missing/dir/bad.h5
    fails 73 "missing/dir/bad.h5"
    # HDF5 itself leaks after a failed write: not ours to find here.
    run --separate-stderr env ASAN_OPTIONS=detect_leaks=0 bash -c "trap '' XFSZ; ulimit -f 20; sgaps-sample -n 2000 rec.h5 -o bad.h5"
    fails 74 "bad.h5"
    nothing_left bad
}

@test "the scale of the error leads the closed loop, of a model that has it" {
    head=$SGAPS_ROOT/tests/golden/error-head/checkpoint.h5
    for kind in error entropy; do
        sgaps-sample -n 60 --pattern adaptive --set mask_update.fixed_interval=1 -m "$head" --importance $kind one.h5 -o $kind.h5
    done
    /usr/bin/python3 - <<'PY'
import h5py
a, b = (h5py.File(f"{kind}.h5")["sessions/one/samples/uv"][:].reshape(12, 60, 2) for kind in ("error", "entropy"))
assert (a[0] == b[0]).all(), "the first set follows no map"
assert all((x != y).any() for x, y in zip(a[2:], b[2:])), "later ones do"
assert all(len({tuple(p) for p in x}) == 60 for x in a)
PY
}
