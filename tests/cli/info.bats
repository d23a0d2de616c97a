#!/usr/bin/env bats
# sgaps-info at its doors, and the reader behind it: sound files of every age, broken files of every kind.

bats_require_minimum_version 1.5.0
load ../support/doors

setup_file() {
    export DIR=$BATS_FILE_TMPDIR
    export PATH=$SGAPS_BIN:$PATH
    export LC_ALL=C
    cd "$DIR"
    /usr/bin/python3 "$SGAPS_ROOT/tests/support/bad_recordings.py" .
}

setup() {
    cd "$DIR"
}

@test "help and version" {
    run -0 --separate-stderr sgaps-info --help
    [[ $output == *"Usage: sgaps-info"* && -z $stderr ]]
    run -0 sgaps-info -h
    run -0 sgaps-info --version
    [[ $output == "sgaps-info "[0-9]* ]]
    run -0 sgaps-info -V
}

@test "wrong command lines" {
    run --separate-stderr sgaps-info --no-such
    fails 64 "no-such"
    run --separate-stderr sgaps-info --check=3 sound.h5
    fails 64 "check"
}

@test "what a recording holds, as text and as JSON" {
    run -0 --separate-stderr sgaps-info sound.h5
    [[ ${lines[0]} == "sound.h5: recording, 1 session, 6 frames, "* && -z $stderr ]]
    sgaps-info --json sound.h5 | jq -e '.type == "recording" and .frames == 6 and (.sessions[0] |
        .frames == 6 and .full_frames == 6 and .samples == 30 and .samples_per_frame == 5 and .state_columns == 3 and
        .resolution == [8,6] and .target_fps == 10 and .closed and .id == "a" and .screen == null)'
}

@test "other number types, fixed-length text, unknown names" {
    sgaps-info --json types.h5 | jq -e '.sessions[0] | .checkpoint_key == "fixed" and .closed and
        .samples == 30 and .state_names == ["x","yy"]'
    run -0 sgaps-info --check types.h5
}

@test "the shortest column counts, full frames on some rows, a film, an empty session" {
    sgaps-info --json short.h5 | jq -e '.sessions[0] | .frames == 4 and .samples == 20 and .full_frames == 4'
    sgaps-info --json some.h5 | jq -e '.sessions[0] | .frames == 6 and .full_frames == 2'
    sgaps-info --json film.h5 | jq -e '.sessions[0] | .frames == 6 and .full_frames == 6 and .state_columns == 0 and
        (.has_samples | not)'
    /usr/bin/python3 -c 'import h5py
with h5py.File("film.h5", "r+") as f:
    for s in f["sessions"].values():
        s.pop("timestamp", None)
        s.attrs.pop("target_fps", None)'
    sgaps-info --json film.h5 | jq -e '.duration == null and .sessions[0].duration == null'
    run -0 sgaps-info film.h5
    [[ $output == *"time         not recorded"* ]]
    sgaps-info --json empty-session.h5 | jq -e '.sessions[0] | .frames == 0'
}

@test "older per-frame recordings" {
    sgaps-info --json older.h5 | jq -e '.sessions | length == 2 and (.[0] | .id == "s1" and .frames == 6 and
        .full_frames == 3 and .samples == 10 and .state_columns == 4 and .resolution == [8,6] and
        .screen == [640,480] and .older and .checkpoint_key == "older") and (.[1] | .id == "s2" and .frames == 1 and
        .full_frames == 1 and .samples == 1)'
    run -0 sgaps-info --check older.h5
    [ "$output" = "older.h5: sound" ]
}

@test "a checkpoint: text, JSON, tensors in their order" {
    run -0 --separate-stderr sgaps-info "$SGAPS_ROOT/tests/golden/cross/checkpoint.h5"
    [[ ${lines[0]} == *": checkpoint, "*" parameters in "* && $output == *"model.embed_dim = 32"* && -z $stderr ]]
    [[ $output != *"training."* ]]
    sgaps-info --json "$SGAPS_ROOT/tests/golden/cross/checkpoint.h5" | jq -e '.type == "checkpoint" and
        .config.model.embed_dim == 32 and .tensors[0].name == "pixel_embed.weight" and .tensors[0].shape == [32,3]'
    sgaps-info --json ck.h5 | jq -e '[.tensors[].name] == ["b.weight","a.bias"]'
    run -0 --separate-stderr sgaps-info -v ck.h5
    [[ $stderr == *"no sha256"* ]]
}

@test "time and its gaps, samples, state: what Python finds in the same file" {
    /usr/bin/python3 - <<'PY'
import json, subprocess
import h5py, numpy as np
subprocess.run(["/usr/bin/python3", __import__("os").environ["SGAPS_ROOT"] + "/tests/support/make_recording.py",
                "survey.h5", "frames=9000", "samples=6", "images=0", "state=5", "size=20x10", "sessions=a,b"], check=True)
rng = np.random.default_rng(5)
with h5py.File("survey.h5", "r+") as f:
    for name in ("a", "b"):
        s = f["sessions"][name]
        t = np.arange(9000) / 10.0 + rng.normal(0, .004, 9000)
        if name == "b":
            t[50:] += 3
            t[5000:] += 7.5  # behind the first block of rows
            t[8000] -= 1
        s["timestamp"][:] = t
        state = rng.normal(size=s["state"].shape).astype("f4")
        state[::7, 1] = -999
        state[:, 4] = -999
        state[3, 0] = np.nan if name == "a" else 50
        s["state"][:] = state
        s["state_len"][:100] = 3
j = json.loads(subprocess.run(["sgaps-info", "--json", "survey.h5"], capture_output=True, check=True).stdout)
with h5py.File("survey.h5") as f:
    for info in j["sessions"]:
        s = f["sessions"][info["id"]]
        t, d = s["timestamp"][:], np.diff(s["timestamp"][:])
        step = info["step"]
        assert abs(step - .1) < .005 and abs(info["duration"] - (t[-1] - t[0] + step)) < 1e-9
        big = np.flatnonzero(d > 2.5 * step)
        g = info["gaps"]
        assert g["count"] == len(big) and abs(g["seconds"] - d[big].sum()) < 1e-9 and g["backwards"] == (d < 0).sum(), g
        assert g["longest"] is None if not len(big) else g["longest_after"] == d.argmax(), g
        state, length = s["state"][:], s["state_len"][:]
        state[np.arange(5)[None] >= length[:, None]] = -999
        for i, c in enumerate(info["state"]):
            x = state[:, i]
            x = x[np.isfinite(x) & (x != -999)]
            assert c["valid"] == len(x) and c["missing"] == 9000 - len(x), (i, c)
            assert c["min"] == (x.min() if len(x) else None) and c["max"] == (x.max() if len(x) else None), (i, c)
        assert info["bytes"]["state"] == s["state"].id.get_storage_size() + s["state_len"].id.get_storage_size()
        assert info["bytes"]["samples"] == sum(s["samples"][n].id.get_storage_size() for n in s["samples"])
        assert abs(info["coverage"] - 6 / 200) < 1e-12 and info["samples_min"] == info["samples_max"] == 6
assert j["sessions"][1]["gaps"]["count"] == 3 and j["gaps"] == 3 and j["state"][0]["max"] == 50
assert j["bytes"]["file"] == __import__("os").stat("survey.h5").st_size
PY
    run -0 --separate-stderr sgaps-info survey.h5
    [[ $output == *"3 gaps of 11."*" s together, the"*"longest 7."*" s after row 4999 of b"* ]]
    [[ $output == *"6 a frame, 3 % of the pixels"* && $output == *"4 of 5 columns hold values"* && $output == *"backwards in 1 place "* ]]
}

@test "the text fits 80 columns, and many sessions are not all listed" {
    /usr/bin/python3 "$SGAPS_ROOT/tests/support/make_recording.py" many-sessions.h5 frames=2 samples=3 images=0 size=8x8 \
        "sessions=$(seq -s, 1001 1060)"
    /usr/bin/python3 -c 'import h5py; h5py.File("many-sessions.h5", "r+").attrs["config"] = "{\"a\": \"" + "word " * 60 + "\"}"'
    cp "$SGAPS_ROOT/examples/data/doom.h5" .
    run -0 --separate-stderr sgaps-info many-sessions.h5 sound.h5 some.h5 doom.h5
    for line in "${lines[@]}"; do [ "${#line}" -le 80 ] || { echo "$line"; return 1; }; done
    [[ $output == *"... and 40 sessions more (-v lists all)"* ]]
    [ "$(sgaps-info -v many-sessions.h5 | grep -c '^ *10[0-9][0-9] ')" -eq 60 ]
    [ "$(sgaps-info --json many-sessions.h5 | jq '.sessions | length')" -eq 60 ]
}

@test "a damaged state: what is known is shown, the fault is told" {
    /usr/bin/python3 - <<'PY'
import h5py, shutil
shutil.copy("survey.h5", "bad-state.h5")
with h5py.File("bad-state.h5", "r+") as f:
    g = f["sessions/a"]
    state = g["state"][:]
    del g["state"]
    g.create_dataset("state", data=state, chunks=(1024, 5), compression=1)
with h5py.File("bad-state.h5") as f:
    at = f["sessions/a/state"].id.get_chunk_info(0)
with open("bad-state.h5", "r+b") as f:
    f.seek(at.byte_offset + 5)
    f.write(bytes(60))
PY
    run --separate-stderr sgaps-info bad-state.h5
    [ "$status" -eq 65 ] && [ "${#stderr_lines[@]}" -eq 1 ] && [[ $stderr == *"/sessions/a/state"* ]]
    [[ $output == *"bad-state.h5: recording, 2 sessions"* ]]
    run --separate-stderr sgaps-info --json bad-state.h5
    [ "$status" -eq 65 ] && [[ $stderr == *"/sessions/a/state"* ]] && jq -e '.sessions | length == 2' <<<"$output"
}

@test "--show: a frame, a reconstruction, samples; by its number; without a terminal plain text" {
    run -0 --separate-stderr sgaps-info --show "$SGAPS_ROOT/examples/data/doom.h5"
    [[ ${lines[-41]} == "map02-a/24: full frame, 112x112, frame 24, "* && ${#lines[-1]} -eq 80 && -z $stderr ]]
    [[ $output != *$'\e'* ]]
    run -0 sgaps-info --show=50 "$SGAPS_ROOT/examples/data/doom.h5"
    [[ $output == *"map03-a/2: full frame"* ]]
    run -0 sgaps-info --show=map20-a/3 "$SGAPS_ROOT/examples/data/doom.h5"
    [[ $output == *"map20-a/3: full frame"* ]]
    run -0 sgaps-info --show=b/7 survey.h5
    [[ $output == *"b/7: samples, 20x10, frame 7, "* ]]
    run -0 sgaps-info --show some.h5
    [[ $output == *": full frame"* ]]
    sgaps-reconstruct -q --method linear survey.h5 --no-history -o rebuilt.h5
    run -0 sgaps-info --show rebuilt.h5
    [[ $output == *"a/4500: reconstruction"* ]]
    run -0 --separate-stderr sgaps-info --show "$SGAPS_ROOT/tests/golden/cross/checkpoint.h5"
    [[ $stderr == *"no frame to show"* && $output == *"GFLOP a frame of"* ]]
    run --separate-stderr sgaps-info --show=9999999 survey.h5
    fails 64 "show"
    run --separate-stderr sgaps-info --show=nobody/1 survey.h5
    fails 64 "no session nobody"
    run --separate-stderr sgaps-info --show=a/x survey.h5
    fails 64 "show"
    run --separate-stderr sgaps-info --show --json survey.h5
    fails 64 "json"
    run --separate-stderr bash -c 'sgaps-info --show sound.h5 >/dev/full'
    fails 74 "No space"
}

@test "several files, a directory, a pipe" {
    sgaps-info --json sound.h5 some.h5 | jq -e 'length == 2 and .[1].file == "some.h5"'
    mkdir -p many && cp sound.h5 many/b.h5 && cp some.h5 many/a.h5
    sgaps-info --json many | jq -e '[.[].file] == ["many/a.h5","many/b.h5"]'
    run -66 --separate-stderr sgaps-info --json sound.h5 missing.h5 text.h5 some.h5
    [[ ${#stderr_lines[@]} -eq 2 && $stderr == *missing.h5*text.h5* ]]
    jq -e '[.[].file] == ["sound.h5","some.h5"]' <<<"$output"
    run -65 --separate-stderr sgaps-info --json text.h5
    [ -z "$output" ]
    sgaps-info <sound.h5 | grep -q "^standard input: recording"
    cat sound.h5 | sgaps-info --json - | jq -e '.file == "standard input" and .frames == 6'
    sgaps-info --check <(cat sound.h5)
}

@test "--check: sound files, and every fault of a broken one" {
    run -0 --separate-stderr sgaps-info --check sound.h5 some.h5 "$SGAPS_ROOT/tests/golden/cross/checkpoint.h5"
    [ "${#lines[@]}" -eq 3 ]
    run -1 --separate-stderr sgaps-info --check faults.h5
    [ -z "$stderr" ]
    [[ $output == *"/sessions/a/samples/uv[7]: u=1.7 is outside [0,1] (row 1)"* && $output == *"uv[8]: v=nan"* && $output == *"state[2,1]: is inf"* ]]
    [[ $output == *"timestamp[3]: is -5 after"* && $output == *"state_len[4]: is 9"* ]]
    [ "${#lines[@]}" -eq 5 ]
    run -1 sgaps-info --check short.h5
    [[ $output == *"interrupted"* ]]
    run -1 sgaps-info --check offsets.h5
    [[ $output == *"samples/offset[4]"* ]]
    run -1 sgaps-info --check damaged.h5
    [[ $output == *"frames[2]"* ]]
    run -1 sgaps-info --check older-value.h5
    [[ $output == *"value=300"* ]]
    sgaps-info --check --json faults.h5 >faults.json || [ $? -eq 1 ]
    jq -e '(.sound | not) and (.faults | length == 4) and (.notes | length == 1)' faults.json
    run -0 --separate-stderr sgaps-info --check clock.h5
    [[ ${lines[0]} == "clock.h5: /sessions/a/timestamp[3]: is -5 after 0.2, time runs backwards (no fault)" ]]
    [[ ${lines[1]} == "clock.h5: sound" && ${#lines[@]} -eq 2 ]]
    sgaps-info --check --json clock.h5 | jq -e '.sound and .faults == [] and (.notes | length == 1)'
    cat clock.h5 | sgaps-info --check | grep -q '^standard input: .*backwards'
    run -1 sgaps-info --check sound.h5 text.h5 resolution.h5
    [ "${#lines[@]}" -eq 3 ]
    run -1 sgaps-info --check ck-nan.h5
    [[ $output == *"NaN"* ]]
}

@test "--check goes on at the first broken session" {
    run -1 sgaps-info --check uv-three.h5 no-value.h5
    [[ $output == *"uv: has 3 columns"* && $output == *"lacks value"* ]]
    run -1 sgaps-info --check tall-frames.h5 tall-result.h5 no-size.h5
    [[ $output == *"frames: is 800x600, the session's resolution says 8x6"* && ${#lines[@]} -eq 3 ]]
}

@test "--history" {
    run -0 sgaps-info --history "$SGAPS_ROOT/tests/golden/cross/recording.h5"
    [ "$output" = make_golden.py ]
}

@test "bad inputs: missing, empty, truncated, not HDF5, none of ours" {
    run --separate-stderr sgaps-info missing.h5
    fails 66 "missing.h5: cannot open: No such file"
    run --separate-stderr sgaps-info empty.h5
    fails 65 "empty.h5: is empty"
    run --separate-stderr sgaps-info cut.h5
    fails 65 "cut.h5: .*truncated"
    run --separate-stderr sgaps-info text.h5
    fails 65 "text.h5: is not an HDF5 file"
    run --separate-stderr sgaps-info plain.h5
    fails 65 "plain.h5: is an HDF5 file, but no recording"
    run --separate-stderr sgaps-info - </dev/null
    fails 65 "standard input: is empty"
    run --separate-stderr sgaps-info - <text.h5
    fails 65 "standard input: is not an HDF5 file"
}

@test "bad inputs: other formats and versions" {
    run --separate-stderr sgaps-info version.h5
    fails 65 "version.h5: has format_version 2"
    run --separate-stderr sgaps-info no-version.h5
    fails 65 "no format_version"
    run --separate-stderr sgaps-info other-format.h5
    fails 65 'its format is "something"'
    run --separate-stderr sgaps-info no-sessions.h5
    fails 65 "no /sessions"
    run --separate-stderr sgaps-info ck-version.h5
    fails 65 "format_version 3"
    run --separate-stderr sgaps-info ck-model.h5
    fails 65 'model "unet"'
}

@test "bad inputs: wrong shapes and types" {
    run --separate-stderr sgaps-info resolution.h5
    fails 65 "/sessions/a/frames: is 8x6, the session's resolution says 9x6"
    run --separate-stderr sgaps-info no-resolution.h5
    fails 65 "/sessions/a/resolution: is 0x0"
    run --separate-stderr sgaps-info float-frames.h5
    fails 65 "frames: holds fractional numbers, expected integers"
    run --separate-stderr sgaps-info flat-frames.h5
    fails 65 "frames: has 2 dimensions, expected 3"
    run --separate-stderr sgaps-info text-state.h5
    fails 65 "state: holds no numbers"
    run --separate-stderr sgaps-info group-state.h5
    fails 65 "state: is not a dataset"
    run --separate-stderr sgaps-info uv-three.h5
    fails 65 "samples/uv: has 3 columns, expected 2"
    run --separate-stderr sgaps-info no-value.h5
    fails 65 "samples: lacks value"
    run --separate-stderr sgaps-info nothing.h5
    fails 65 "sessions/a/samples, frames: neither is there"
    run --separate-stderr sgaps-info compound.h5
    fails 65 "timestamp: holds no numbers"
    run --separate-stderr sgaps-info rows-backwards.h5
    fails 65 "frames_t\[1\]: is 1 after 4"
    run --separate-stderr sgaps-info session-is-dataset.h5
    fails 65 "/sessions/b: is not a group"
    run --separate-stderr sgaps-info older-bad.h5
    fails 65 "/s/frames/0/pixels: has another shape"
}

@test "bad inputs: what a file declares without holding it takes no memory" {
    [ -n "$SAN" ] || limit="ulimit -v 4000000;" # the sanitiser's own tables are larger
    run --separate-stderr bash -c "$limit exec sgaps-info huge.h5"
    fails 65 "state: declares more than a file of"
    run --separate-stderr bash -c "$limit exec sgaps-info huge-chunk.h5"
    fails 65 "frames: its chunks are larger"
    run --separate-stderr sgaps-info external.h5
    fails 65 "timestamp: its numbers lie in another file"
}

@test "bad checkpoints" {
    run --separate-stderr sgaps-info ck-sha.h5
    fails 65 "sha256 does not fit"
    run --separate-stderr sgaps-info ck-nan.h5
    fails 65 "a: value 0 is NaN"
    run --separate-stderr sgaps-info ck-none.h5
    fails 65 "holds no tensors"
}

@test "a locked file is a case for later" {
    cp sound.h5 locked.h5
    /usr/bin/python3 - <<'PY'
import fcntl, os, subprocess
f = open("locked.h5", "r+b")
fcntl.flock(f, fcntl.LOCK_EX)
p = subprocess.run(["sgaps-info", "locked.h5"], capture_output=True, text=True)
assert p.returncode == 75, p
assert "locked by another process" in p.stderr and p.stderr.count("\n") == 1, p.stderr
PY
}

@test "a read-only file in a read-only folder, beside another reader" {
    mkdir ro && cp sound.h5 ro/ && chmod 400 ro/sound.h5 && chmod 500 ro
    /usr/bin/python3 - <<'PY'
import h5py, subprocess
f = h5py.File("ro/sound.h5", "r")
assert subprocess.run(["sgaps-info", "--check", "ro/sound.h5"], stdout=subprocess.DEVNULL).returncode == 0
PY
}

@test "a full disk and a closed pipe behind it" {
    run --separate-stderr bash -c 'sgaps-info sound.h5 >/dev/full'
    fails 74 "standard output: write failed: No space"
    run bash -c 'set -o pipefail; for i in 1 2 3 4 5 6 7 8; do set -- "$@" sound.h5; done; sgaps-info --json "$@" "$@" "$@" "$@" | head -1 >/dev/null'
    [ -z "$output" ]
}

@test "what sgaps-clean noted, a note a line" {
    /usr/bin/python3 "$SGAPS_ROOT/tests/support/make_recording.py" few.h5 frames=5
    sgaps-clean -q few.h5 -o noted.h5
    run -0 sgaps-info noted.h5
    [[ $output == *"the sample rules are skipped"*"balancing is skipped"* && $output != *"?"* ]]
}
