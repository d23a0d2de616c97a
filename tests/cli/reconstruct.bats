#!/usr/bin/env bats
# sgaps-reconstruct at its doors. The golden cases are in reconstruct_golden.t.

bats_require_minimum_version 1.5.0
load ../support/doors

setup_file() {
    export DIR=$BATS_FILE_TMPDIR
    export PATH=$SGAPS_BIN:$PATH
    export LC_ALL=C
    export GOLDEN=$SGAPS_ROOT/tests/golden
    export CKPT=$GOLDEN/cross/checkpoint.h5
    cd "$DIR"
    make() { /usr/bin/python3 "$SGAPS_ROOT/tests/support/make_recording.py" "$@"; }
    make sparse.h5 images=0 samples=20 size=24x16
    make one.h5 images=0 samples=33 size=24x16 sessions=one frames=7
    make wide.h5 images=0 samples=20 size=30x16 sessions=w frames=3
    make full.h5 frames=3
    for fault in uv nan offset version format; do make $fault.h5 images=0 samples=20 break=$fault; done
    make long.h5 images=0 samples=20 size=24x16 state=40 frames=2
    : >empty.h5
    echo "not a recording at all, only text" >text.h5
    head -c 3000 sparse.h5 >cut.h5
    head -c 20000 "$CKPT" >cut-model.h5
    /usr/bin/python3 - <<'PY'
import json, os, random, shutil
import h5py, numpy as np
random.seed(1)

def message(kind, **payload):
    return json.dumps({"type": kind, "payload": payload}) + "\n"

def frame(i, n, top=255, **more):
    px = [{"u": random.random(), "v": random.random(), "value": round(random.random() * top, 3)} for _ in range(n)]
    return message("frame_data", frame_id=i, timestamp=i / 10, resolution=[1920, 1080], num_pixels=n, pixels=px,
                   state_vector=[0.5, -999, 2], **more)

with open("talk.ndjson", "w") as f:
    f.write(message("session_start", checkpoint_key="game", resolution=[1920, 1080], client_name="unity"))
    for i in range(3):
        f.write(frame(i, 20 + i, set_id=4))
        f.write(message("heartbeat", timestamp=1) + "\n")
    f.write(message("session_start", checkpoint_key="game", resolution=[1920, 1080], value_range=1))
    f.write(frame(7, 9, top=1))
lines = open("talk.ndjson").read().splitlines(True)
open("wrong-json.ndjson", "w").write(lines[0] + lines[1][:200] + "\n")
open("wrong-u.ndjson", "w").write(lines[0] + lines[1].replace('"u": 0.', '"u": 1.', 1))
open("wrong-state.ndjson", "w").write(lines[0] + lines[1].replace("[0.5,", "[" + "1," * 99, 1))

# Rows without samples; a selection; checkpoints with one fault each.
shutil.copy("one.h5", "gaps.h5")
with h5py.File("gaps.h5", "r+") as f:
    o = f["sessions/one/samples/offset"][:]
    o[3:] -= 33
    o[7:] -= 33
    o[6] = o[7]
    f["sessions/one/samples/offset"][:] = o
shutil.copy("one.h5", "none.h5")
with h5py.File("none.h5", "r+") as f:
    f["sessions/one/samples/offset"][:] = 0
with h5py.File("select.h5", "w") as f:
    f.attrs.update(format="sgaps-recording", format_version=np.int32(1))
    f["clean/one/keep"] = np.array([1, 0, 0, 1, 1, 0, 1], np.uint8)
for name in "nan", "shape", "missing", "sum", "version", "config", "head":
    shutil.copy(os.environ["CKPT"], f"model-{name}.h5")
    os.chmod(f"model-{name}.h5", 0o644)
    with h5py.File(f"model-{name}.h5", "r+") as f:
        g = f["model_state_dict"]
        if name != "sum":
            del g.attrs["sha256"]
        if name == "nan":
            g["pixel_embed.bias"][3] = np.nan
        if name == "sum":
            g["pixel_embed.bias"][3] += 1
        if name == "shape":
            del g["pixel_embed.bias"]
            g["pixel_embed.bias"] = np.zeros(31, np.float32)
        if name == "missing":
            del g["refine_head.2.bias"]
        if name == "version":
            f.attrs["format_version"] = np.int32(2)
        if name == "config":
            f.attrs["config"] = '{"model": {"embed_dim": 30}}'
        if name == "head":
            config = json.loads(f.attrs["config"])
            config["model"]["error_head"] = True
            f.attrs["config"] = json.dumps(config)
PY
}

setup() {
    cd "$DIR"
}

@test "help and version" {
    run -0 --separate-stderr sgaps-reconstruct --help
    [[ $output == *"Usage: sgaps-reconstruct"* && -z $stderr ]]
    run -0 sgaps-reconstruct -h
    run -0 sgaps-reconstruct --version
    [[ $output == "sgaps-reconstruct "[0-9]* ]]
}

@test "sessions, rows, samples and states go along with the frames" {
    sgaps-reconstruct -m "$CKPT" --importance sparse.h5 one.h5 -o out.h5
    /usr/bin/python3 - <<'PY'
import h5py, numpy as np
out = h5py.File("out.h5")["sessions"]
assert sorted(out) == ["a", "b", "one"]
for file, names in (("sparse.h5", "ab"), ("one.h5", ["one"])):
    for name in names:
        a, b = h5py.File(file)["sessions"][name], out[name]
        for key in "frame_id", "timestamp", "state", "state_len", "samples/offset", "samples/uv", "samples/value":
            assert (a[key][:] == b[key][:]).all(), key
        T = len(a["frame_id"])
        assert b["reconstruction"].shape == (T, 16, 24) and b["reconstruction"].dtype == np.uint8
        m = b["importance"][:]
        assert m.shape == (T, 16, 24) and (m.min((1, 2)) == 0).all() and np.allclose(m.max((1, 2)), 1)
PY
}

@test "frames do not depend on the batch they are in" {
    sgaps-reconstruct -m "$CKPT" --dtype f32 one.h5 -o out-all.h5
    /usr/bin/python3 - <<'PY'
import subprocess, os
import h5py, numpy as np
whole = h5py.File("out-all.h5")["sessions/one/reconstruction"][:]
for t in 0, 3, 6:
    with h5py.File("single.h5", "w") as f, h5py.File("one.h5") as a:
        f.attrs.update(dict(a.attrs))
        g, s = f.create_group("sessions/one"), a["sessions/one"]
        g.attrs.update(dict(s.attrs))
        for k in "frame_id", "timestamp", "state", "state_len":
            g[k] = s[k][t:t + 1]
        o = s["samples/offset"][t:t + 2]
        g["samples/offset"] = o - o[0]
        g["samples/uv"], g["samples/value"] = s["samples/uv"][o[0]:o[1]], s["samples/value"][o[0]:o[1]]
    subprocess.run(["sgaps-reconstruct", "-m", os.environ["CKPT"], "--dtype", "f32", "single.h5", "-o", "out-one.h5"],
                   check=True)
    one = h5py.File("out-one.h5")["sessions/one/reconstruction"][0]
    assert np.abs(one - whole[t]).max() < 1e-5, (t, np.abs(one - whole[t]).max())
PY
}

@test "any size, and the classical methods" {
    sgaps-reconstruct -m "$CKPT" --size 37x21 one.h5 -o out-size.h5
    [ "$(h5ls out-size.h5/sessions/one/reconstruction | grep -o '{.*}')" = "{7/Inf, 21, 37}" ]
    for method in nearest linear natural; do
        sgaps-reconstruct --method $method --importance=residual --dtype f32 one.h5 -o out-$method.h5
        /usr/bin/python3 - out-$method.h5 <<'PY'
import sys, h5py, numpy as np
s = h5py.File(sys.argv[1])["sessions/one"]
o = s["samples/offset"][:2].astype(int)
x, y = (s["samples/uv"][o[0]:o[1]] * [24, 16]).astype(int).T
have, want = s["reconstruction"][0][y, x], s["samples/value"][o[0]:o[1]] / 255
assert (np.abs(have - want).max() < 1e-6) if "natural" not in sys.argv[1] else (np.abs(have - want).max() < 1.0)
assert s["importance"].shape == s["reconstruction"].shape
PY
    done
}

@test "films: Y4M, PGM and PNG hold the same frames as the recording" {
    sgaps-reconstruct -m "$CKPT" one.h5 -o film.h5
    sgaps-reconstruct -m "$CKPT" one.h5 -f y4m >film.y4m
    sgaps-reconstruct -m "$CKPT" one.h5 -o film.pgm
    sgaps-reconstruct -m "$CKPT" one.h5 -o pictures/%03d.png
    [ "$(ls pictures | wc -l)" -eq 7 ]
    /usr/bin/python3 - <<'PY'
import h5py, subprocess, numpy as np
want = h5py.File("film.h5")["sessions/one/reconstruction"][:]
y4m = open("film.y4m", "rb").read().split(b"\n", 1)
assert y4m[0].startswith(b"YUV4MPEG2 W24 H16 F10:1") and b"Cmono" in y4m[0]
assert y4m[1] == b"".join(b"FRAME\n" + f.tobytes() for f in want)
assert open("film.pgm", "rb").read() == b"".join(b"P5\n24 16\n255\n" + f.tobytes() for f in want)
raw = subprocess.run("ffmpeg -loglevel error -i pictures/%03d.png -f rawvideo -pix_fmt gray -", shell=True,
                     stdout=subprocess.PIPE, check=True).stdout
assert raw == want.tobytes()
PY
}

@test "pipes: standard input, a named pipe, a redirected file" {
    sgaps-reconstruct --no-history -m "$CKPT" one.h5 -o pipe.h5
    sgaps-reconstruct --no-history -m "$CKPT" <one.h5 >pipe-a.h5
    cat one.h5 | sgaps-reconstruct --no-history -m "$CKPT" - | cat >pipe-b.h5
    mkfifo fifo
    cat one.h5 >fifo &
    sgaps-reconstruct --no-history -m "$CKPT" fifo -o pipe-c.h5
    for f in pipe-a.h5 pipe-b.h5 pipe-c.h5; do cmp pipe.h5 $f; done
}

@test "messages: sessions, value ranges, and what is between" {
    sgaps-reconstruct -m "$CKPT" talk.ndjson -o talk.h5
    cat talk.ndjson | sgaps-reconstruct -m "$CKPT" - -o talk-in.h5
    sgaps-reconstruct --method linear --size 40x30 talk.ndjson -o talk-size.h5
    /usr/bin/python3 - <<'PY'
import h5py
s = h5py.File("talk.h5")["sessions"]
assert sorted(s) == ["talk", "talk-2"] and list(s["talk/frame_id"]) == [0, 1, 2] and list(s["talk-2/frame_id"]) == [7]
assert s["talk/reconstruction"].shape == (3, 16, 20) and list(s["talk/samples/set"]) == [4, 4, 4]
assert list(s["talk"].attrs["screen"]) == [1920, 1080] and s["talk-2/samples/value"][:].max() > 1
assert sorted(h5py.File("talk-in.h5")["sessions"]) == ["stdin", "stdin-2"]
assert h5py.File("talk-size.h5")["sessions/talk/reconstruction"].shape == (3, 30, 40)
PY
}

@test "a live stream: each frame comes out before the next message goes in" {
    /usr/bin/python3 - <<'PY'
import os, select, subprocess
lines = open("talk.ndjson").read().splitlines(True)
p = subprocess.Popen(["sgaps-reconstruct", "-m", os.environ["CKPT"], "-f", "pgm", "-"], stdin=subprocess.PIPE,
                     stdout=subprocess.PIPE)
size = len(b"P5\n20 16\n255\n") + 20 * 16
for line in lines:
    p.stdin.write(line.encode())
    p.stdin.flush()
    if "frame_data" in line:
        got = b""
        while len(got) < size:
            assert select.select([p.stdout], [], [], 60)[0], "no frame"
            got += os.read(p.stdout.fileno(), size - len(got))
        assert got.startswith(b"P5\n20 16\n255\n")
p.stdin.close()
assert p.stdout.read() == b"" and p.wait() == 0
PY
}

@test "rows without samples are left out and counted" {
    run -0 --separate-stderr sgaps-reconstruct -m "$CKPT" gaps.h5 -o gaps-out.h5
    [[ $stderr == *"2 frames without samples are left out"* ]]
    /usr/bin/python3 -c "
import h5py
assert list(h5py.File('gaps-out.h5')['sessions/one/frame_id']) == [0, 1, 3, 4, 5]" || h5dump -d /sessions/one/frame_id gaps-out.h5
    run --separate-stderr sgaps-reconstruct -m "$CKPT" none.h5 -o bad.h5
    fails 65 "no frame with samples"
    nothing_left bad
}

@test "a selection beside its source takes rows out" {
    sgaps-reconstruct -m "$CKPT" one.h5 select.h5 -o chosen.h5
    /usr/bin/python3 -c "
import h5py
assert list(h5py.File('chosen.h5')['sessions/one/frame_id']) == [0, 3, 4, 6]"
}

@test "a directory means its recordings; the history grows" {
    mkdir -p folder/deep && cp one.h5 folder && cp wide.h5 folder/deep
    sgaps-reconstruct --method nearest folder -o out-dir.h5
    [ "$(h5ls out-dir.h5/sessions | awk '{print $1}' | xargs)" = "one w" ]
    h5dump -a history out-dir.h5 | grep -q "sgaps-reconstruct --method nearest folder -o out-dir.h5"
    h5dump -a history out-dir.h5 | grep -q make_recording.py
}

@test "a dry run says what would be done and writes nothing" {
    run -0 --separate-stderr sgaps-reconstruct --dry-run -m "$CKPT" one.h5 talk.ndjson -o bad.h5
    [[ ${lines[0]} == *"session one: 7 frames of 24x16 from 33 samples"*GFLOP* && ${lines[1]} == *"talk.ndjson"* ]]
    nothing_left bad
}

@test "a closed pipe ends it quietly" {
    run --separate-stderr bash -c 'sgaps-reconstruct --method nearest --size 640x480 sparse.h5 -f y4m | head -c 100 >/dev/null; exit ${PIPESTATUS[0]}'
    [ "$status" -eq 141 ] && [ -z "$stderr" ]
}

@test "binary data is not written to a terminal" {
    script -qec true /dev/null </dev/null >/dev/null 2>&1 || skip "no pseudo-terminal to be had"
    run script -qec "sgaps-reconstruct --method linear one.h5" /dev/null
    [ "$status" -eq 64 ] && [[ $output == *"terminal"* ]]
}

@test "bad command lines" {
    run --separate-stderr sgaps-reconstruct one.h5 -o bad.h5
    fails 64 "-m CKPT or --method"
    run --separate-stderr sgaps-reconstruct -m "$CKPT" --method linear one.h5 -o bad.h5
    fails 64 "-m CKPT or --method"
    run --separate-stderr sgaps-reconstruct --method cubic one.h5 -o bad.h5
    fails 64 "cubic"
    run --separate-stderr sgaps-reconstruct --metod linear one.h5 -o bad.h5
    fails 64 "method"
    run --separate-stderr sgaps-reconstruct --method linear --size 12 one.h5 -o bad.h5
    fails 64 "size"
    run --separate-stderr sgaps-reconstruct --method linear --importance=entropy one.h5 -o bad.h5
    fails 64 "entropy"
    run --separate-stderr sgaps-reconstruct --method linear --importance=guess one.h5 -o bad.h5
    fails 64 "guess"
    run --separate-stderr sgaps-reconstruct --method linear --importance one.h5 -o bad.y4m
    fails 64 "h5"
    run --separate-stderr sgaps-reconstruct --method linear --dtype f32 one.h5 -o bad.y4m
    fails 64 "h5"
    run --separate-stderr sgaps-reconstruct --method linear one.h5 -f png
    fails 64 "%06d.png"
    run --separate-stderr sgaps-reconstruct --method linear one.h5 -o one.h5
    fails 64 "input"
    run --separate-stderr sgaps-reconstruct --method linear --dtype f32 one.h5 -f sixel
    fails 64 "h5"
    run --separate-stderr sgaps-reconstruct -m "$CKPT" --importance=error one.h5 -o bad.h5
    fails 69 "checkpoint.h5 has no error head: take entropy"
    run --separate-stderr sgaps-reconstruct --method linear --importance=error one.h5 -o bad.h5
    fails 64 "comes from a model"
    run --separate-stderr sgaps-reconstruct -m "$CKPT" --device cuda one.h5 -o bad.h5
    fails 69 "CUDA"
    run --separate-stderr sgaps-reconstruct --method linear one.h5 wide.h5 -o bad.y4m
    fails 65 "30x16 after 24x16"
    nothing_left bad
}

@test "frames larger than the machine are refused before anything is taken" {
    run --separate-stderr sgaps-reconstruct -m "$CKPT" --size 16384x16384 one.h5 -o bad.h5
    fails 70 "16384x16384.* GB"
    nothing_left bad
}

@test "bad recordings" {
    recon() { run --separate-stderr sgaps-reconstruct --method linear "$@" -o bad.h5; }
    recon nowhere.h5
    fails 66 "nowhere.h5"
    mkdir -p hollow
    recon hollow
    fails 66 "no \*.h5"
    recon empty.h5
    fails 65 "empty.h5"
    recon text.h5
    fails 65 "text.h5"
    recon cut.h5
    fails 65 "cut.h5"
    recon full.h5
    fails 65 "/sessions/a: has no samples"
    recon uv.h5
    fails 65 "uv.h5: /sessions/a/samples/uv\[3\]: u=1.7 is outside \[0,1\] \(sgaps-info --check lists all\)$"
    recon nan.h5
    fails 65 "nan.h5: /sessions/a/samples/uv\[3\]"
    recon offset.h5
    fails 65 "offset.h5: .*offset"
    recon version.h5
    fails 65 "version"
    recon format.h5
    fails 65 "format.h5"
    recon "$CKPT"
    fails 65 "checkpoint"
    recon - </dev/null
    fails 65 "standard input"
    run --separate-stderr sgaps-reconstruct -m "$CKPT" long.h5 -o bad.h5
    fails 65 "max_state_dim"
    run --separate-stderr flock -x one.h5 sgaps-reconstruct --method linear one.h5 -o bad.h5
    fails 75 "one.h5"
    nothing_left bad
}

@test "bad messages" {
    recon() { run --separate-stderr sgaps-reconstruct -m "$CKPT" "$@" -o bad.h5; }
    recon wrong-json.ndjson
    fails 65 "wrong-json.ndjson: line 2: "
    recon wrong-u.ndjson
    fails 65 "wrong-u.ndjson: line 2: pixels\[0\].u"
    recon wrong-state.ndjson
    fails 65 "wrong-state.ndjson: line 2: state_vector"
    echo '{"type": "heartbeat", "payload": {}}' >beat.ndjson
    recon beat.ndjson
    fails 65 "no frame with samples"
    nothing_left bad
}

@test "bad checkpoints" {
    recon() { run --separate-stderr sgaps-reconstruct -m "$1" one.h5 -o bad.h5; }
    recon nowhere.h5
    fails 66 "nowhere.h5"
    recon empty.h5
    fails 65 "empty.h5"
    recon text.h5
    fails 65 "text.h5"
    recon cut-model.h5
    fails 65 "cut-model.h5"
    recon one.h5
    fails 65 "one.h5.*checkpoint"
    recon model-nan.h5
    fails 65 "pixel_embed.bias"
    recon model-shape.h5
    fails 65 "pixel_embed.bias.*31"
    recon model-missing.h5
    fails 65 "refine_head.2.bias"
    recon model-sum.h5
    fails 65 "sha256"
    recon model-version.h5
    fails 65 "version"
    recon model-config.h5
    [ "$status" -eq 65 ] || [ "$status" -eq 78 ]
    recon model-head.h5
    fails 65 "model-head.h5: .*error_head.weight is missing"
    nothing_left bad
}

@test "outputs that cannot be" {
    run --separate-stderr bash -c 'sgaps-reconstruct --method linear one.h5 >/dev/full'
    fails 74 "standard output"
    run --separate-stderr bash -c 'sgaps-reconstruct --method linear one.h5 -f y4m >/dev/full'
    fails 74 "standard output"
    run --separate-stderr sgaps-reconstruct --method linear one.h5 -o missing/dir/bad.h5
    fails 73 "missing/dir/bad.h5"
    run --separate-stderr sgaps-reconstruct --method linear one.h5 -o missing/dir/bad.y4m
    fails 73 "missing/dir/bad.y4m"
    # HDF5 itself leaks after a failed write: not ours to find here.
    run --separate-stderr env ASAN_OPTIONS=detect_leaks=0 bash -c "trap '' XFSZ; ulimit -f 20; sgaps-reconstruct --method linear --dtype f32 --size 200x200 sparse.h5 -o bad.h5"
    fails 74 "bad.h5"
    run --separate-stderr bash -c "trap '' XFSZ; ulimit -f 20; sgaps-reconstruct --method linear --size 200x200 sparse.h5 -o bad.y4m"
    fails 74 "bad.y4m"
    nothing_left bad
}
