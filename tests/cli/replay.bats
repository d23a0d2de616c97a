#!/usr/bin/env bats
# sgaps-replay at its doors, and against a server.

bats_require_minimum_version 1.5.0
load ../support/doors

setup_file() {
    export DIR=$BATS_FILE_TMPDIR
    export PATH=$SGAPS_BIN:$PATH
    export LC_ALL=C
    cd "$DIR"
    make() { /usr/bin/python3 "$SGAPS_ROOT/tests/support/make_recording.py" "$@"; }
    make rec.h5
    make sparse.h5 images=0 samples=20
    make shape.h5 break=shape
    make bare.h5 images=0
    echo "not a recording at all, only text" >text.h5
    echo geheim >token
    echo falsch >other
    : >empty
    serve plain --set mask_update.fixed_interval=1 --set sampling.default_sample_count=40 --set 'server.resolution=[32,32]'
    serve guarded --token-file token
}

# serve NAME OPTION...: a server of its own; its URL is in NAME.url.
serve() {
    local name=$1
    shift
    sgaps-serve -p 0 "$@" >/dev/null 2>"$name.said" 3>&- &
    echo $! >>servers
    until grep -qs ws: "$name.said"; do sleep 0.05; done
    grep -o 'ws:[^, ;]*' "$name.said" >"$name.url"
}

teardown_file() {
    cd "$DIR"
    for pid in $(cat servers); do kill $pid 2>/dev/null || true; done
}

setup() {
    cd "$DIR"
    url=$(cat plain.url)
}

@test "help and version" {
    run -0 --separate-stderr sgaps-replay --help
    [[ $output == *"Usage: sgaps-replay"* && -z $stderr ]]
    run -0 sgaps-replay --version
    [[ $output == "sgaps-replay "[0-9]* ]]
}

@test "a session plays the recording once" {
    rows=$(sgaps-info --json rec.h5 | jq '[.. | objects | .frames? | numbers] | max')
    sgaps-replay rec.h5 $url --fps 200 --json >once.json
    jq -e '.sessions == 1 and .sessions_failed == 0 and .sessions_refused == 0 and .errors == {} and
           .closed == {"1000": 1} and .models == {"linear": 1} and .coordinates_received > 0 and
           .frames_sent == .sent_late_ms.count and .latency_ms.count == .coordinates_received and
           .latency_ms.p50 <= .latency_ms.p95 and .latency_ms.p99 <= .latency_ms.max and .latency_ms.p50 > 0' once.json
    [ "$(jq .frames_sent once.json)" -gt 5 ]
}

@test "many clients, each so many frames; the recording goes round" {
    sgaps-replay rec.h5 $url --sessions 7 --count 60 --fps 100 --json >many.json
    jq -e '.sessions == 7 and .frames_sent == 420 and .sessions_failed == 0 and .closed == {"1000": 7}' many.json
}

@test "a duration" {
    sgaps-replay rec.h5 $url --duration 0.5 --fps 40 --json >half.json
    jq -e '.frames_sent == 20 and .seconds >= 0.4' half.json
}

@test "lockstep: every frame is answered" {
    sgaps-replay rec.h5 $url --lockstep 1 --count 30 --json >step.json
    jq -e '.frames_sent == 30 and .coordinates_received == 30 and .sessions_failed == 0' step.json
    sgaps-replay rec.h5 $url --lockstep 1 --latency 3 --binary --count 30 --json >step3.json
    jq -e '.coordinates_received == 30 and .sessions_failed == 0' step3.json
}

@test "binary messages are smaller, debug frames larger" {
    for how in "" --binary --debug "--binary --debug"; do
        sgaps-replay rec.h5 $url $how --count 10 --fps 100 --json >how.json
        jq -e '.sessions_failed == 0 and .errors == {}' how.json >/dev/null
        jq .bytes_up_per_frame how.json
    done >bytes
    mapfile -t b <bytes
    [ ${#b[@]} -eq 4 ]
    jq -en "${b[1]} * 5 < ${b[0]} and ${b[2]} > ${b[0]} and ${b[3]} > ${b[1]} and ${b[3]} < ${b[2]}"
}

@test "a recording with samples only sends those" {
    sgaps-replay sparse.h5 $url --count 12 --fps 100 --json >sparse.json
    jq -e '.frames_sent == 12 and .sessions_failed == 0' sparse.json
    sgaps-replay sparse.h5 $url --count 12 --fps 100 --binary --json >sparse.json
    jq -e '.frames_sent == 12 and .sessions_failed == 0' sparse.json
}

@test "keys in turn; a wrong one fails by name" {
    sgaps-replay rec.h5 $url --sessions 4 --count 2 --fps 50 --checkpoint-key a --checkpoint-key b -v --json 2>notes >keys.json
    [ "$(grep -c 'key a (not its own)' notes)" -eq 2 ]
    [ "$(grep -c 'key b (not its own)' notes)" -eq 2 ]
    [ "$(grep -c "the server has no checkpoint of the key '[ab]': linear rebuilds instead" notes)" -eq 2 ]
    run --separate-stderr sgaps-replay rec.h5 $url --checkpoint-key ../x --count 2 --json
    [ "$status" -eq 1 ]
    [[ $stderr == *"INVALID_CHECKPOINT_KEY: checkpoint_key"* ]]
    jq -e '.errors == {"INVALID_CHECKPOINT_KEY": 1} and .sessions_failed == 1 and .sessions_refused == 1' <<<"$output"
}

@test "tokens" {
    guarded=$(cat guarded.url)
    sgaps-replay rec.h5 $guarded --token-file token --count 3 --fps 50
    run --separate-stderr sgaps-replay rec.h5 $guarded --token-file other --count 3 --fps 50
    [ "$status" -eq 1 ]
    [[ $stderr == "sgaps-replay: session 0: cannot connect: "*nauthorized* ]]
    run --separate-stderr sgaps-replay rec.h5 $guarded --count 3 --fps 50 --json
    [ "$status" -eq 1 ]
    [[ $stderr == *"UNAUTHORIZED: "* ]]
    jq -e '.errors.UNAUTHORIZED == 1 and .frames_sent == 0' <<<"$output"
    run --separate-stderr sgaps-replay rec.h5 $guarded --token-file nowhere
    fails 66 "nowhere: cannot open"
    run --separate-stderr sgaps-replay rec.h5 $guarded --token-file empty
    fails 65 "empty: its first line is empty"
}

@test "the text" {
    sgaps-replay rec.h5 $url --count 5 --fps 50 >text
    grep -q '^frames sent  *5$' text
    grep -q '^closed 1000  *1$' text
}

@test "nobody there, and no WebSocket there" {
    run --separate-stderr sgaps-replay rec.h5 ws://127.0.0.1:1/ws/stream
    [ "$status" -eq 1 ]
    [[ $stderr == "sgaps-replay: session 0: cannot connect: "* ]]
    run --separate-stderr sgaps-replay rec.h5 ${url%/ws/stream}/elsewhere
    [ "$status" -eq 1 ]
    [[ $stderr == "sgaps-replay: session 0: cannot connect: "* ]]
}

@test "a server that comes up a moment later, as in sgaps-serve & sgaps-replay" {
    port=$(/usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    (sleep 0.5; exec sgaps-serve -q -p $port 3>&-) &
    sgaps-replay rec.h5 ws://127.0.0.1:$port/ws/stream --count 3 --fps 50 && ok=1
    kill $!
    [ -n "$ok" ]
}

@test "a server that goes away" {
    serve short --set 'server.resolution=[32,32]'
    (sleep 1; kill "$(tail -n 1 servers)") &
    run --separate-stderr sgaps-replay rec.h5 "$(cat short.url)" --duration 20 --fps 20 --json
    [ "$status" -eq 1 ]
    [[ $stderr == *"was closed with 1001"* ]]
    jq -e '.closed == {"1001": 1} and .sessions_failed == 1 and .frames_sent > 0' <<<"$output"
}

@test "an interrupt ends it with the figures until then" {
    sgaps-replay rec.h5 $url --duration 30 --fps 20 --json >cut.json &
    pid=$!
    sleep 1
    kill -INT $pid
    code=0
    wait $pid || code=$?
    [ $code -eq 130 ]
    jq -e '.frames_sent > 0' cut.json
}

@test "examples/bench-live.py prints a row for each number of sessions" {
    "$SGAPS_ROOT/examples/bench-live.py" --sessions 1,3 --seconds 0.5 --fps 20 --record --set 'server.resolution=[32,32]' rec.h5 >table
    [ "$(wc -l <table)" -eq 4 ]
    grep -q '^| 1 | 20 | 10 | ' table
    grep -q '^| 3 | 20 | 30 | ' table
}

@test "wrong use" {
    run --separate-stderr sgaps-replay rec.h5
    fails 64 "a recording and a URL"
    run --separate-stderr sgaps-replay rec.h5 $url more
    fails 64 "a recording and a URL"
    run --separate-stderr sgaps-replay rec.h5 http://127.0.0.1/
    fails 64 "ws://HOST:PORT/PATH"
    run --separate-stderr sgaps-replay rec.h5 $url --sessions 0
    fails 64 "sessions"
    run --separate-stderr sgaps-replay rec.h5 $url --fps nan
    fails 64 "fps"
    run --separate-stderr sgaps-replay rec.h5 $url --latency 3
    fails 64 "lockstep"
    run --separate-stderr sgaps-replay sparse.h5 $url --debug
    fails 65 "no full frames"
    run --separate-stderr sgaps-replay sparse.h5 $url --lockstep 1
    fails 65 "no full frames"
}

@test "bad recordings" {
    run --separate-stderr sgaps-replay nowhere.h5 $url
    fails 66 "nowhere.h5"
    run --separate-stderr sgaps-replay text.h5 $url
    fails 65 "text.h5"
    run --separate-stderr sgaps-replay shape.h5 $url
    fails 65 "shape.h5"
}

@test "a full disk" {
    run --separate-stderr bash -c "sgaps-replay rec.h5 $url --count 2 --fps 50 >/dev/full"
    fails 74 "write|full|space"
}
