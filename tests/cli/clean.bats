#!/usr/bin/env bats
# sgaps-clean at its doors: help, pipes, outputs, bad inputs. The rules are held in clean_rules.t.

bats_require_minimum_version 1.5.0
load ../support/doors

setup_file() {
    export DIR=$BATS_FILE_TMPDIR
    export PATH=$SGAPS_BIN:$PATH
    export LC_ALL=C
    cd "$DIR"
    mkdir data data/inner none
    /usr/bin/python3 - <<'PY'
import h5py, numpy as np
def recording(path, sessions=2, T=150, **change):
    with h5py.File(path, "w") as f:
        f.attrs.update(format="sgaps-recording", format_version=1, format_minor=0, creator="test", config="{}",
                       history="before", uuid="0", default="sessions/a")
        f.attrs.update(change)
        for i in range(sessions):
            g = f.create_group("sessions/" + "abc"[i])
            r = np.random.default_rng(i)
            g.attrs.update(session_id="abc"[i], resolution=np.array([8, 8], np.uint32), target_fps=10.0,
                           sentinel=np.float32(-999), closed=np.uint8(1))
            g["frame_id"], g["timestamp"] = np.arange(T), np.arange(T) / 10
            g["state"] = np.cumsum(r.normal(size=(T, 4)), axis=0).astype(np.float32)
            g["state_len"] = np.full(T, 4, np.uint16)
            g["samples/offset"] = np.arange(T + 1, dtype=np.uint64) * 12
            g["samples/uv"] = r.random((T * 12, 2), dtype=np.float32)
            g["samples/value"] = np.zeros(T * 12, np.uint8)
            g.create_dataset("frames", data=r.integers(0, 256, (T, 8, 8)).astype(np.uint8), chunks=(1, 8, 8),
                             maxshape=(None, 8, 8), compression="gzip", compression_opts=1)
recording("rec.h5")
recording("data/one.h5", sessions=1)
recording("data/inner/two.h5", sessions=1)
recording("short.h5", T=20)
recording("version.h5", format_version=9)
recording("checkpoint.h5", format="sgaps-checkpoint")
recording("shape.h5")
with h5py.File("shape.h5", "r+") as f:
    f["sessions/a"].attrs["resolution"] = np.array([9, 8], np.uint32)
recording("offset.h5")
with h5py.File("offset.h5", "r+") as f:
    f["sessions/a/samples/offset"][7] = 3
recording("state.h5")
with h5py.File("state.h5", "r+") as f:
    del f["sessions/a/state"]
    f["sessions/a/state"] = np.zeros((150, 2, 2), np.float32)
recording("faulty.h5", sessions=1)
with h5py.File("faulty.h5", "r+") as f:
    f["sessions/a/state"][:] = np.nan
with h5py.File("older.h5", "w") as f:
    for n in range(4):
        g = f.create_group("s/frames/%d" % n)
        g.attrs["resolution"] = [8, 8]
        g["pixels"] = np.array([[0.5, 0.5, 200]] * 12, np.float32)
    f["s/frames/1/pixels"][3, 2] = np.nan
    f["s/frames/2/pixels"][3, 2] = 300
h5py.File("other.h5", "w").create_dataset("x", data=1)
PY
    : >empty.h5
    echo "not a recording at all, only text" >text.h5
    head -c 3000 rec.h5 >cut.h5
    printf 'cleaning:\n  clutsers: 3\n' >wrong.yaml
    printf 'cleaning: {clusters: 3, cap: 5}\n' >right.yaml
}

setup() {
    cd "$DIR"
}

frames() {
    /usr/bin/python3 -c 'import h5py, sys
print(sum(len(s["frame_id"]) for s in h5py.File(sys.argv[1])["sessions"].values()))' "$1"
}

@test "help and version" {
    run --separate-stderr sgaps-clean --help
    [ "$status" -eq 0 ] && [ -z "$stderr" ]
    [[ $output == *"Usage: sgaps-clean "* && $output == *"Examples:"* ]]
    run --separate-stderr sgaps-clean -V
    [ "$status" -eq 0 ]
    [[ ${lines[0]} =~ ^sgaps-clean\ [0-9]+\.[0-9]+\.[0-9]+$ && $output == *HDF5* && $output == *libfyaml* ]]
}

@test "the options for programs: four fields a line, as many as --help has" {
    n=$(sgaps-clean --list-options | awk -F'\t' 'NF == 4' | wc -l)
    [ "$n" -eq "$(sgaps-clean --list-options | wc -l)" ]
    [ "$n" -eq "$(sgaps-clean --help | grep -Ec '^  (-.|  )(,|  ?)? *--')" ]
}

@test "a file, standard input, a pipe: the same result" {
    sgaps-clean --no-history -q rec.h5 -o one.h5
    sgaps-clean --no-history -q <rec.h5 >two.h5
    cat rec.h5 | sgaps-clean --no-history -q - -o - | cat >three.h5
    cmp one.h5 two.h5
    cmp one.h5 three.h5
}

@test "a closed pipe ends it quietly, and nothing stays in the temporary folder" {
    mkdir -p tmp
    run --separate-stderr bash -c 'TMPDIR=$PWD/tmp sgaps-clean -q rec.h5 | :; exit ${PIPESTATUS[0]}'
    [ "$status" -eq 141 ] || [ "$status" -eq 0 ]
    [ -z "$stderr" ]
    [ -z "$(ls tmp)" ]
}

@test "history: newest first; not with --no-history" {
    sgaps-clean -q rec.h5 -o h.h5 --seed 3
    /usr/bin/python3 -c '
import h5py, re
a = h5py.File("h.h5").attrs
new, old = a["history"].split("\n")
assert re.fullmatch(r"20..-..-..T..:..:..Z sgaps-clean [0-9.]+: sgaps-clean -q rec.h5 -o h.h5 --seed 3", new), new
assert old == "before" and "created_at" in a'
    sgaps-clean -q --no-history rec.h5 -o n.h5
    /usr/bin/python3 -c 'import h5py; a = h5py.File("n.h5").attrs; assert "created_at" not in a and not a.get("history")'
}

@test "a directory is every recording below it, as one data set" {
    sgaps-clean -q data -o all.h5 --clusters 0 --stationarity none
    [ "$(frames all.h5)" -eq 300 ]
    h5ls all.h5/sessions/a-2 >/dev/null
}

@test "an output is replaced, and kept when the next run fails" {
    sgaps-clean -q short.h5 -o kept.h5 --clusters 0
    before=$(sha256sum <kept.h5)
    run --separate-stderr sgaps-clean -q cut.h5 -o kept.h5
    fails 65 "cut.h5"
    [ "$(sha256sum <kept.h5)" = "$before" ]
    sgaps-clean -q rec.h5 -o kept.h5 --clusters 0 --stationarity none
    [ "$(frames kept.h5)" -eq 300 ]
}

@test "a report alone writes no recording; a plot as svg and png" {
    run --separate-stderr sgaps-clean -q rec.h5 --report -
    [ "$status" -eq 0 ] && [[ ${lines[-1]} == total$'\t'300$'\t'* ]]
    command -v gnuplot >/dev/null || skip "gnuplot is not installed"
    sgaps-clean -q rec.h5 --plot p.svg
    sgaps-clean -q rec.h5 --plot p.png
    head -c 300 p.svg | grep -q '<svg' && [ "$(head -c 4 p.png | tail -c 3)" = PNG ]
}

@test "without gnuplot the data is left beside the picture" {
    mkdir -p bare
    ln -sf "$SGAPS_BIN/sgaps-clean" bare/
    run --separate-stderr env PATH="$PWD/bare" sgaps-clean -q rec.h5 --plot missing.svg
    fails 69 "gnuplot"
    [ "$(head -1 missing.svg.tsv)" = $'panel\tseries\tx\ty' ] && [ ! -e missing.svg ]
    run --separate-stderr env PATH="$PWD/bare" sgaps-clean rec.h5 --plot again.svg --report again.tsv
    [ "$status" -eq 0 ] && [[ $stderr == *"its data is in again.svg.tsv"* ]] && [ -s again.svg.tsv ] && [ -s again.tsv ]
}

@test "results as JSON, and a dry run that writes nothing" {
    [ "$(sgaps-clean -q --json rec.h5 | jq '.frames')" = 300 ]
    [ "$(sgaps-clean -q --json rec.h5 | jq '.kept + .stationary + .balanced')" = 300 ]
    run --separate-stderr sgaps-clean -q --dry-run rec.h5 -o dry.h5 --report dry.tsv --plot dry.svg
    [ "$status" -eq 0 ] && [[ ${lines[-1]} =~ ^all\ +300\ +100.0%$ ]]
    nothing_left dry
}

@test "configuration: file, --set, own option, in that order" {
    cap() { sgaps-clean -q --json rec.h5 "$@" | jq -c '[.cluster_cap, (.clusters | length)]'; }
    [ "$(cap -c right.yaml)" = "[5,3]" ]
    [ "$(cap --set cleaning.cap=7 -c right.yaml)" = "[7,3]" ]
    [ "$(cap --set cleaning.cap=7 -c right.yaml --cap 9)" = "[9,3]" ]
}

@test "older recordings: values are held against their range" {
    sgaps-clean -q older.h5 -o older-clean.h5
    /usr/bin/python3 -c "
import h5py, json
c = h5py.File('older-clean.h5')['clean']
names = json.loads(c.attrs['reasons'])
assert [names[i] for i in c['s/reason']] == ['kept', 'not_finite', 'out_of_range', 'kept']"
}

# One selection of two files whose sessions have the same names, of equal and of different lengths.
@test "a selection goes beside its sources in every tool, whatever their sessions are called" {
    mkdir -p beside && cd beside
    cp ../rec.h5 first.h5
    cp ../older.h5 third.h5
    /usr/bin/python3 -c "
import h5py
for name, uuid, cut in ('second', '2', 150), ('short', '', 120):
    with h5py.File('first.h5') as a, h5py.File(name + '.h5', 'w') as f:
        f.attrs.update(a.attrs)
        f.attrs['uuid'] = uuid
        for s, g in a['sessions'].items():
            t = f.create_group('sessions/' + s)
            t.attrs.update(g.attrs)
            for k in 'frame_id', 'timestamp', 'state', 'state_len', 'frames':
                t[k] = g[k][150 - cut:][::-1]
            t['samples/offset'] = g['samples/offset'][:cut + 1]
            for k in 'samples/uv', 'samples/value':
                t[k] = g[k][:cut * 12]"
    sgaps-clean -q first.h5 second.h5 short.h5 third.h5 --clusters 20 -o clean.h5
    sgaps-clean -q first.h5 second.h5 short.h5 third.h5 --clusters 20 -o sel.h5 --selection-only
    sgaps-import -q sel.h5 first.h5 second.h5 short.h5 third.h5 -o import.h5
    sgaps-reconstruct -q --method nearest first.h5 second.h5 sel.h5 short.h5 third.h5 -o reconstruct.h5
    sgaps-clean -q --stationarity none --clusters 0 third.h5 short.h5 second.h5 first.h5 sel.h5 -o back.h5
    sgaps-sample -q -n 9 second.h5 sel.h5 -o sample.h5
    sgaps-train -q -o run --set model=spt-tiny --set 'model.resolution=[32,32]' --set training.max_steps=1 \
        --set training.batch_size=2 --set training.validation=none --set 'training.loss={l1: 1}' second.h5 short.h5 sel.h5 first.h5
    eval=$(sgaps-eval -q --method nearest short.h5 sel.h5 --json | jq .frames)
    export eval
    /usr/bin/python3 <<'PY'
import h5py, os
ids = lambda name: {s: list(g["frame_id"]) for s, g in h5py.File(name)["sessions"].items()}
want = ids("clean.h5")
assert len(want) == 7 and want["a"] != want["a-2"][::-1]
assert ids("import.h5") == want and ids("reconstruct.h5") == want
back = ids("back.h5")
assert back["a-3"] == want["a"] and back["b-2"] == want["b-2"] and back["a"] == want["a-3"] and back["s"] == want["s"]
assert ids("sample.h5") == {"a": want["a-2"], "b": want["b-2"]}
assert int(os.environ["eval"]) == len(want["a-3"]) + len(want["b-3"])
PY
    for tool in sgaps-import "sgaps-sample -n 9" "sgaps-reconstruct --method nearest" sgaps-clean; do
        run --separate-stderr $tool sel.h5 -o bad.h5
        [ "$status" -eq 65 ] && [[ $stderr == *": sel.h5: is a selection without its recording: name both" ]]
        nothing_left bad
    done
    sgaps-info sel.h5 | grep -q "^  cleaned .*kept $(sgaps-info --json clean.h5 | jq .frames),"
    sgaps-info --json sel.h5 | jq -e '.type == "selection" and .clean.counts.frames == 844 and .clean.parameters.clusters == 20'
}

@test "a game in which nothing ever changes stands still" {
    cp rec.h5 still.h5
    /usr/bin/python3 -c "
import h5py
with h5py.File('still.h5', 'r+') as f:
    for s in f['sessions'].values():
        s['state'][:] = [1, -999, 0, 3]"
    sgaps-clean -q --json still.h5 | jq -e '.kept == 10 and .stationary == 290 and .velocity_threshold == 0.01'
    sgaps-clean -q --json --raw-velocity still.h5 | jq -e '.kept == 10'
}

@test "too few frames for the clusters is said, once" {
    run --separate-stderr sgaps-clean short.h5 -o s.h5
    [ "$status" -eq 0 ] && [ "${#stderr_lines[@]}" -eq 1 ] && [[ $stderr == *"fewer frames than clusters"* ]]
}

@test "wrong command lines are 64" {
    run --separate-stderr sgaps-clean --clutsers 3 rec.h5
    fails 64 "did you mean --clusters"
    run --separate-stderr sgaps-clean rec.h5 -o x.h5 --cap p81
    fails 64 "p80\|median\|mean"
    run --separate-stderr sgaps-clean rec.h5 -o x.h5 --clusters -1
    fails 64 "outside"
    run --separate-stderr sgaps-clean rec.h5 -o x.h5 --stationarity frames
    fails 64 "frame\|session\|none"
    run --separate-stderr sgaps-clean rec.h5 -o - --report -
    fails 64 "not two of them"
    run --separate-stderr sgaps-clean rec.h5 --plot x.pdf
    fails 64 "\.svg"
    run --separate-stderr sgaps-clean rec.h5 -o "$DIR/rec.h5"
    fails 64 "is an input as well"
    run --separate-stderr sgaps-clean rec.h5 --selection-only --report x.tsv
    fails 64 "needs -o"
    run --separate-stderr sgaps-clean - - -o x.h5
    fails 64 "can be named once"
    nothing_left x
}

@test "a terminal gets no recording" {
    script -qec true /dev/null </dev/null >/dev/null 2>&1 || skip "no pseudo-terminal to be had"
    run script -qec "sgaps-clean -q rec.h5" /dev/null
    [ "$status" -eq 64 ] && [[ $output == *"is a terminal"* ]]
    run script -qec "sgaps-clean -q </dev/tty" /dev/null
    [ "$status" -eq 64 ] && [[ $output == *"no input"* ]]
}

@test "bad inputs: the exit code, one line, nothing under the final name" {
    try() {
        run --separate-stderr sgaps-clean "${@:3}" -o bad.h5
        fails "$1" "$2"
        nothing_left bad
    }
    try 66 "missing.h5" missing.h5
    try 65 "empty.h5" empty.h5
    try 65 "text.h5" text.h5
    try 65 "cut.h5" cut.h5
    try 65 "other.h5" other.h5
    try 65 "checkpoint.h5" checkpoint.h5
    try 65 "version.h5.*9" version.h5
    try 65 "shape.h5: /sessions/a/.*frames.*8x8" shape.h5
    try 65 "offset.h5: /sessions/a/samples/offset" offset.h5
    try 65 "state.h5: /sessions/a/.*state" state.h5
    try 65 "none of 150 frames is left" -q faulty.h5
    try 66 "no \*.h5 file" none
    try 78 "wrong.yaml:2: unknown key cleaning.clutsers: did you mean cleaning.clusters" -c wrong.yaml rec.h5
    try 78 "unknown key cleaning.capp: did you mean cleaning.cap" --set cleaning.capp=3 rec.h5
    try 66 "nosuch.yaml" -c nosuch.yaml rec.h5
    sgaps-clean -q rec.h5 -o sel.h5 --selection-only
    try 65 "is a selection" sel.h5
    try 65 "keep: was made for 150 frames, the session has 20" short.h5 sel.h5
}

@test "outputs that cannot be written" {
    run --separate-stderr sgaps-clean -q rec.h5 -o nowhere/x.h5
    fails 73 "nowhere/x.h5"
    run --separate-stderr sgaps-clean -q rec.h5 -o ok.h5 --report nowhere/x.tsv
    fails 73 "nowhere/x.tsv"
    nothing_left ok.h5
    run --separate-stderr bash -c 'sgaps-clean -q rec.h5 >/dev/full'
    fails 74 "standard output"
    run --separate-stderr bash -c 'sgaps-clean -q rec.h5 --report - >/dev/full'
    fails 74 "standard output"
    run --separate-stderr bash -c 'sgaps-clean -q rec.h5 --json >/dev/full'
    fails 74 "standard output"
    run --separate-stderr sgaps-clean -q rec.h5 --report /dev/full
    fails 74 "/dev/full"
    # A file that may not grow stands for a full disk. HDF5 itself forgets memory there.
    run --separate-stderr bash -c 'trap "" XFSZ; ulimit -f 8; ASAN_OPTIONS=detect_leaks=0 exec sgaps-clean -q rec.h5 -o full.h5'
    fails 74 "File too large"
    nothing_left full.h5
}

@test "a locked input is 75" {
    /usr/bin/python3 -c '
import h5py, time
f = h5py.File("short.h5", "r+")
open("ready", "w").close()
time.sleep(20)' &
    holder=$!
    for _ in $(seq 100); do [ -e ready ] && break; sleep 0.1; done
    run --separate-stderr sgaps-clean -q short.h5 -o locked.h5
    kill $holder
    fails 75 "short.h5"
}
