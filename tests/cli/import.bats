#!/usr/bin/env bats
# sgaps-import at its doors.

bats_require_minimum_version 1.5.0
load ../support/doors

setup_file() {
    export DIR=$BATS_FILE_TMPDIR
    export PATH=$SGAPS_BIN:$PATH
    export LC_ALL=C
    cd "$DIR"
    mkdir bad frames
    /usr/bin/python3 "$SGAPS_ROOT/tests/support/bad_recordings.py" bad
    ffmpeg -nostdin -loglevel error -f lavfi -i testsrc=size=64x48:rate=10:duration=3 -vf format=gray game.y4m
    ffmpeg -nostdin -loglevel error -i game.y4m frames/%04d.png
    /usr/bin/python3 - <<'PY'
import base64, json, random, struct, zlib
random.seed(1)
def png(rows):
    def chunk(t, d):
        return struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d))
    h, w = len(rows), len(rows[0])
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 0, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(b"".join(b"\0" + bytes(r) for r in rows))) + chunk(b"IEND", b""))
def frame(i, n=6, image=False, scale=1):
    p = dict(frame_id=i, timestamp=i / 10, resolution=[640, 480], num_pixels=n, state_vector=[i, -999, 0.5][: 2 + i % 2],
             pixels=[dict(u=(k + .5) / 8, v=(i % 6 + .5) / 6, value=(10 * k + i) * scale) for k in range(n)], set_id=i // 4)
    if image:
        p["full_frame_base64"] = base64.b64encode(png([[10 * y + x for x in range(8)] for y in range(6)][::-1])).decode()
    return dict(type="frame_data_debug" if image else "frame_data", payload=p)
def start(**kw):
    return dict(type="session_start", payload=dict(checkpoint_key="doom", resolution=[640, 480], client_name="Unity") | kw)
with open("session.ndjson", "w") as f:
    for m in ([start()] + [frame(i, image=i % 5 == 0) for i in range(20)] +
              [dict(type="heartbeat", payload=dict(timestamp=1)), dict(type="uv_coordinates", payload={}),
               start(checkpoint_key="other", value_range=1)] + [frame(i, scale=1 / 255) for i in range(7)]):
        f.write(json.dumps(m) + "\n")
    f.write("\n")
with open("state.csv", "w") as f:
    f.write('frame_id,timestamp,x,"y"\n')
    for t in range(30):
        f.write(f"{100 + t},{t / 5},{t},{'' if t == 3 else -t}\n")
PY
}

setup() {
    cd "$DIR"
}

check() {
    /usr/bin/python3 - "$@"
}

@test "help and version" {
    run -0 --separate-stderr sgaps-import --help
    [[ $output == *"Usage: sgaps-import"* && -z $stderr ]]
    run -0 sgaps-import -h
    run -0 sgaps-import --version
    [[ $output == "sgaps-import "[0-9]* ]]
    run -0 sgaps-import -V
}

@test "a film of each kind gives the same frames" {
    sgaps-import -o y4m.h5 game.y4m
    sgaps-import -o pattern.h5 --fps 10 frames/%04d.png
    sgaps-import -o names.h5 --fps 10 frames/*.png
    ffmpeg -nostdin -loglevel error -i game.y4m -f image2pipe -c:v pgm - | sgaps-import --fps 10 >pgm.h5
    sgaps-import - <game.y4m | cat >pipe.h5
    check <<'PY'
import h5py, numpy as np
raw = open("game.y4m", "rb").read()
raw = raw[raw.index(b"\n") + 1:]
want = np.frombuffer(raw, np.uint8).reshape(30, -1)[:, 6:].reshape(30, 48, 64)
for name, session in dict(y4m="game", pattern="frames", names="0001", pgm="stdin", pipe="stdin").items():
    f = h5py.File(name + ".h5")
    assert f.attrs["default"] == "sessions/" + session, name
    s = f[f.attrs["default"]]
    assert (s["frames"][:] == want).all() and s["frames"].chunks == (1, 48, 64), name
    assert np.allclose(s["timestamp"][:], np.arange(30) / 10) and (s["frame_id"][:] == np.arange(30)).all()
    assert list(s.attrs["resolution"]) == [64, 48] and s.attrs["target_fps"] == 10 and s.attrs["closed"] == 1
    assert s["frames"].attrs["CLASS"] == "IMAGE" and "sgaps-import" in f.attrs["history"] and len(f.attrs["uuid"]) == 36
PY
}

@test "colour of ffmpeg: the luma plane" {
    ffmpeg -nostdin -loglevel error -f lavfi -i testsrc2=size=74x42:rate=5:duration=1 -vf scale=37:21 -pix_fmt yuv420p -f yuv4mpegpipe c.y4m
    sgaps-import -o c.h5 c.y4m
    check <<'PY'
import h5py, numpy as np
raw = open("c.y4m", "rb").read()
raw = raw[raw.index(b"\n") + 1:]
want = np.frombuffer(raw, np.uint8).reshape(5, 6 + 37 * 21 + 2 * 19 * 11)[:, 6: 6 + 37 * 21]
assert (h5py.File("c.h5")["sessions/c/frames"][:].reshape(5, -1) == want).all()
PY
}

@test "--session, --key, --fps, --size, --stride, several inputs" {
    sgaps-import -o many.h5 --session x --key demo --fps 30 --size 32x24 --stride 4 game.y4m y4m.h5 frames/%04d.png
    sgaps-info --json many.h5 | jq -e '[.sessions[].id] == ["x","x-2","x-3"] and (.sessions | all(.frames == 8 and
        .resolution == [32,24] and .checkpoint_key == "demo" and .target_fps == 7.5))'
    check <<'PY'
import h5py, numpy as np
f, g = h5py.File("many.h5"), h5py.File("y4m.h5")
a = f["sessions/x/frames"][:]
for name in "x-2", "x-3":
    assert (f[f"sessions/{name}/frames"][:] == a).all()
box = g["sessions/game/frames"][::4].reshape(8, 24, 2, 32, 2).astype(float).mean((2, 4))
assert np.abs(a - box).max() <= 0.5 + 1e-9
assert np.allclose(f["sessions/x/timestamp"][:], np.arange(0, 30, 4) / 30)
PY
}

@test "the state beside a film" {
    sgaps-import -o state.h5 --state state.csv game.y4m
    check <<'PY'
import h5py, numpy as np
s = h5py.File("state.h5")["sessions/game"]
assert s["state"].shape == (30, 2) and list(s["state"].attrs["state_names"]) == ["x", "y"]
assert s["frame_id"][5] == 105 and s["timestamp"][5] == 1.0
assert (s["state"][3] == [3, -999]).all() and (s["state"][4] == [4, -4]).all() and (s["state_len"][:] == 2).all()
PY
    grep -v frame_id state.csv >plain.csv
    sgaps-import --state plain.csv game.y4m | sgaps-info --json - | jq -e '.sessions[0].state_columns == 4'
    head -5 state.csv >few.csv
    run --separate-stderr sgaps-import -o no.h5 --state few.csv game.y4m
    fails 65 "few.csv: has 4 rows"
    (cat plain.csv plain.csv) >many.csv
    run --separate-stderr sgaps-import -o no.h5 --state many.csv game.y4m
    fails 65 "many.csv: has 60 rows, the film 30"
    sed 5s/,/,x/2 plain.csv >word.csv
    run --separate-stderr sgaps-import -o no.h5 --state word.csv game.y4m
    fails 65 "word.csv: line 5: field 3"
    sed 7s/$/,1/ plain.csv >wide.csv
    run --separate-stderr sgaps-import -o no.h5 --state wide.csv game.y4m
    fails 65 "wide.csv: line 7: has 5 fields, expected 4"
    run --separate-stderr sgaps-import -o no.h5 --state missing.csv game.y4m
    fails 66 "missing.csv"
    run --separate-stderr sgaps-import -o no.h5 --state state.csv game.y4m game.y4m
    fails 64 "one film"
    nothing_left no.h5
}

@test "messages of two sessions" {
    sgaps-import -o messages.h5 session.ndjson
    cat session.ndjson | sgaps-import --session z >piped.h5
    check <<'PY'
import h5py, numpy as np
f = h5py.File("messages.h5")
assert list(h5py.File("piped.h5")["sessions"]) == ["z", "z-2"]
a, b = f["sessions/session"], f["sessions/session-2"]
assert a.attrs["checkpoint_key"] == "doom" and b.attrs["checkpoint_key"] == "other" and a.attrs["client_name"] == "Unity"
assert list(a.attrs["resolution"]) == [8, 6] and list(a.attrs["screen"]) == [640, 480]
assert list(b.attrs["resolution"]) == [640, 480] and b.attrs["value_range"] == 1
assert (a["frame_id"][:] == np.arange(20)).all() and a["timestamp"][7] == 0.7
assert (a["frames_t"][:] == [0, 5, 10, 15]).all() and (a["frames"][2] == [[10 * y + x for x in range(8)] for y in range(6)]).all()
assert (a["state_len"][:] == 2 + np.arange(20) % 2).all() and (a["state"][4] == [4, -999, -999]).all()
o = a["samples/offset"][:]
assert (np.diff(o) == 6).all() and (a["samples/value"][o[3]:o[4]] == 10 * np.arange(6) + 3).all()
assert (b["samples/value"][6:12] == 10 * np.arange(6) + 1).all() and (a["samples/set"][:] == np.arange(20) // 4).all()
assert np.allclose(a["samples/uv"][o[3]:o[4], 1], 3.5 / 6)
PY
    sgaps-info --check messages.h5
}

@test "older per-frame recordings" {
    sgaps-import -o older.h5 bad/older.h5
    check <<'PY'
import h5py, numpy as np
f = h5py.File("older.h5")
a, b = f["sessions/s1"], f["sessions/s2"]
assert a["frame_id"][:].tolist() == [0, 1, 2, 9, 10, 100] and np.allclose(a["timestamp"][:], a["frame_id"][:] / 10)
assert a["samples/offset"][:].tolist() == [0, 2, 4, 6, 6, 8, 10] and a["samples/value"][:].tolist() == [0, 255, 1, 255, 2, 255, 10, 255, 100, 255]
assert a["state_len"][:].tolist() == [3, 0, 4, 4, 4, 4] and (a["state"][1] == -999).all()
assert a["frames_t"][:].tolist() == [0, 4, 5] and (a["frames"][1] == 10).all() and a.attrs["checkpoint_key"] == "older"
assert b["frame_id"][:].tolist() == [3] and b["timestamp"][0] == 1.5 and (b["frames"][0] == 77).all()
PY
}

@test "a recording is copied whole, its chunks as they are, its history continued" {
    sgaps-import -o copy.h5 bad/sound.h5
    check <<'PY'
import h5py
a, b = h5py.File("bad/sound.h5"), h5py.File("copy.h5")
for name in "frame_id timestamp state state_len samples/offset samples/uv samples/value frames".split():
    assert (a["sessions/a"][name][()] == b["sessions/a"][name][()]).all(), name
for k in range(6):
    assert a["sessions/a/frames"].id.read_direct_chunk((k, 0, 0)) == b["sessions/a/frames"].id.read_direct_chunk((k, 0, 0))
PY
    sgaps-import -o again.h5 copy.h5
    [ "$(sgaps-info --history again.h5 | wc -l)" -eq 2 ]
}

@test "--no-history: the same bytes" {
    for i in 1 2; do
        MALLOC_PERTURB_=$((i * 50)) sgaps-import --no-history -o same$i.h5 session.ndjson bad/older.h5 game.y4m
        sleep 1.1
    done
    cmp same1.h5 same2.h5
    [ -z "$(sgaps-info --history same1.h5)" ]
}

@test "wrong command lines" {
    run --separate-stderr sgaps-import --size 10 game.y4m
    fails 64 "size"
    run --separate-stderr sgaps-import --stride 0 game.y4m
    fails 64 "stride"
    run --separate-stderr sgaps-import --fps -1 game.y4m
    fails 64 "fps"
    run --separate-stderr sgaps-import -o game.y4m game.y4m
    fails 64 "game.y4m"
    run --separate-stderr sgaps-import --no-such game.y4m
    fails 64 "no-such"
    run --separate-stderr sgaps-import --state state.csv -o no.h5 session.ndjson
    fails 64 "state"
}

@test "binary data is not written to a terminal" {
    script -qec true /dev/null </dev/null >/dev/null 2>&1 || skip "no pseudo-terminal to be had"
    run script -qec "sgaps-import game.y4m" /dev/null </dev/null
    [ "$status" -eq 64 ] && [[ $output == *"terminal"* ]]
}

@test "bad films" {
    run --separate-stderr sgaps-import -o no.h5 missing.y4m
    fails 66 "missing.y4m: cannot open"
    run --separate-stderr sgaps-import -o no.h5 none/%04d.png
    fails 66 "no file number 0 or 1"
    : >empty.y4m
    run --separate-stderr sgaps-import -o no.h5 empty.y4m
    fails 65 "empty.y4m: is empty"
    head -c 10000 game.y4m >cut.y4m
    run --separate-stderr sgaps-import -o no.h5 cut.y4m
    fails 65 "cut.y4m: frame 3: is truncated"
    head -c 200 frames/0001.png >cut.png
    run --separate-stderr sgaps-import -o no.h5 cut.png
    fails 65 "cut.png: is no sound PNG"
    run --separate-stderr sgaps-import -o no.h5 state.csv
    fails 65 "neither Y4M, PGM, PNG, NDJSON, HDF5 nor a journal"
    printf 'YUV4MPEG2 W64 H48 F1:1 Cmono\n' >none.y4m
    run --separate-stderr sgaps-import -o no.h5 none.y4m
    fails 65 "none.y4m: holds no frame"
    ffmpeg -nostdin -loglevel error -i game.y4m -frames:v 1 -vf scale=32:24 -update 1 small.png
    run --separate-stderr sgaps-import -o no.h5 frames/0001.png small.png
    fails 65 "small.png: is 32x24, the first frame 64x48"
    run --separate-stderr sgaps-import -o no.h5 game.y4m missing.y4m
    fails 66 "missing.y4m"
    nothing_left no.h5
}

@test "bad messages" {
    sed '4s/"u": 0.0625/"u": 1.7/' session.ndjson >u.ndjson
    run --separate-stderr sgaps-import -o no.h5 u.ndjson
    fails 65 "u.ndjson: line 4: pixels\[0\].u: 1.7 is outside"
    sed '5s/"u": 0.0625/"u": NaN/' session.ndjson >nan.ndjson
    run --separate-stderr sgaps-import -o no.h5 nan.ndjson
    fails 65 "line 5: invalid JSON"
    sed '6s/"num_pixels": 6/"num_pixels": 7/' session.ndjson >count.ndjson
    run --separate-stderr sgaps-import -o no.h5 count.ndjson
    fails 65 "line 6: num_pixels: is 7, pixels has 6"
    head -c 3000 session.ndjson | sgaps-import -o no.h5 - 2>cut.txt && false
    grep -q "^sgaps-import: standard input: line .: invalid JSON" cut.txt
    echo '{"type":"session_start","payload":{}}' >start.ndjson
    run --separate-stderr sgaps-import -o no.h5 start.ndjson
    fails 65 "holds no frame_data"
    nothing_left no.h5
}

@test "bad recordings" {
    for name in cut text empty plain version float-frames uv-three huge; do
        run --separate-stderr sgaps-import -o no.h5 bad/$name.h5
        fails 65 "bad/$name.h5: "
    done
    run --separate-stderr sgaps-import -o no.h5 bad/faults.h5
    fails 65 "samples/uv\[7\]: u=1.7.* is outside \[0,1\]"
    run --separate-stderr sgaps-import -o no.h5 bad/damaged.h5
    [ "$status" -eq 0 ] # chunks are copied as they are ...
    run -1 sgaps-info --check no.h5
    rm no.h5
    run --separate-stderr sgaps-import --size 4x4 -o no.h5 bad/damaged.h5
    fails 65 "frames\[2\]"
    run --separate-stderr sgaps-import -o no.h5 bad/ck.h5
    fails 65 "is a checkpoint"
    nothing_left no.h5
}

@test "outputs that cannot be: no folder, a folder, a full disk" {
    run --separate-stderr sgaps-import -o none/no.h5 game.y4m
    fails 73 "none/no.h5: cannot create"
    run --separate-stderr sgaps-import -o frames game.y4m
    fails 73 "frames: is a directory"
    run --separate-stderr sgaps-import -o /dev/full game.y4m
    fails 74 "/dev/full: write failed: No space"
    run --separate-stderr bash -c 'sgaps-import game.y4m >/dev/full'
    fails 74 "standard output: write failed: No space"
    # a limit on the size of files stands in for a full disk
    run --separate-stderr bash -c 'trap "" XFSZ; ulimit -f 20; sgaps-import -o no.h5 game.y4m'
    fails 74 "no.h5: .*write failed: File too large"
    run --separate-stderr bash -c 'trap "" XFSZ; ulimit -f 20; sgaps-import game.y4m game.y4m | cat >no2.h5'
    [[ $stderr == *"write failed"* ]]
    nothing_left no.h5
}

@test "an interrupted import leaves nothing" {
    mkdir -p stop
    (cat game.y4m; sleep 5) | (cd stop; exec timeout -s INT 1 sgaps-import -o stop.h5 -) || true
    [ -z "$(ls -A stop)" ]
}

@test "a spooled input leaves no file behind" {
    mkdir -p spool
    TMPDIR=$PWD/spool sgaps-import -v - <bad/sound.h5 2>said.txt | TMPDIR=$PWD/spool sgaps-info - >/dev/null
    grep -q "standard input: spooled to" said.txt
    [ -z "$(ls -A spool)" ]
    # not even when nobody reads on
    for i in 1 2 3 4 5 6 7 8; do set -- "$@" y4m.h5; done
    TMPDIR=$PWD/spool sgaps-import "$@" "$@" "$@" | head -c 10 >/dev/null || true
    TMPDIR=$PWD/spool sgaps-info - --json <messages.h5 | head -c 1 >/dev/null || true
    [ -z "$(ls -A spool)" ]
    run --separate-stderr bash -c 'TMPDIR=/none sgaps-import - <bad/sound.h5'
    fails 73 "/none/"
}

@test "sessions are picked and left out by name" {
    data=$SGAPS_ROOT/examples/data/doom.h5
    sgaps-import -o "$BATS_TEST_TMPDIR/two.h5" --select map02-a,map20-a "$data"
    [ "$(sgaps-info --json "$BATS_TEST_TMPDIR/two.h5" | jq -c '[.. | .id? // empty | strings]')" = '["map02-a","map20-a"]' ]
    sgaps-import -o "$BATS_TEST_TMPDIR/one.h5" --exclude map02-a "$BATS_TEST_TMPDIR/two.h5"
    [ "$(sgaps-info --json "$BATS_TEST_TMPDIR/one.h5" | jq -c '[.. | .id? // empty | strings]')" = '["map20-a"]' ]
    run -64 --separate-stderr sgaps-import -o "$BATS_TEST_TMPDIR/no.h5" --select map99 "$data"
    [ "${#stderr_lines[@]}" -eq 1 ] && [[ $stderr == *map99* ]]
    run -64 --separate-stderr sgaps-import -o "$BATS_TEST_TMPDIR/no.h5" --exclude map20-a "$BATS_TEST_TMPDIR/one.h5"
    run -64 --separate-stderr sgaps-import -o "$BATS_TEST_TMPDIR/no.h5" --select map02-a --exclude map20-a "$data"
    [ ! -e "$BATS_TEST_TMPDIR/no.h5" ]
}
