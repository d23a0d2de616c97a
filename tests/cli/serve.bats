#!/usr/bin/env bats
# sgaps-serve at its doors; the live loop itself is in tests/live.

bats_require_minimum_version 1.5.0

setup() {
    export PATH=$SGAPS_BIN:$PATH
    cd "$BATS_TEST_TMPDIR"
}

@test "help and version" {
    sgaps-serve --help | grep -q -- --record-mode
    sgaps-serve --version | grep -q '^sgaps-serve'
}

@test "an unknown option is one line and 64" {
    run -64 sgaps-serve --recrod data
    [ "${#lines[@]}" -eq 1 ]
}

@test "--dry-run says what would be served and leaves nothing behind" {
    mkdir -p runs/good runs/bad
    echo "no checkpoint" >runs/bad/best.h5
    cp "$SGAPS_ROOT/tests/golden/tiny/checkpoint.h5" runs/good/best.h5
    run -65 --separate-stderr sgaps-serve --dry-run -p 4711 --checkpoints runs --record data
    [[ $output == *":4711/ws/stream"* ]]
    [[ $output == *"good: "*", trained at 64x64, which is not server.resolution"* ]]
    [[ $output == *"bad: refused: "* ]]
    [ ! -e data ]
    rm -r runs/bad
    run sgaps-serve --dry-run --checkpoints runs --set server.resolution=[64,64]
    [[ $output == *"trained at 64x64" ]]
}

@test "--dry-run refuses what a start would refuse" {
    run -78 --separate-stderr sgaps-serve --dry-run --set server.resolution=[16,16] --set sampling.default_sample_count=300
    [[ $stderr == *"more than the 256 pixels"* ]]
    [ -z "$output" ]
    run -64 --separate-stderr sgaps-serve --dry-run --record-reconstruction
    [[ $stderr == *"needs --record"* ]]
}

@test "a full disk under --dry-run" {
    run -74 --separate-stderr sh -c 'sgaps-serve --dry-run >/dev/full'
}

@test "the second signal ends at once" {
    sgaps-serve -v -p 0 2>said 3>&- &
    server=$!
    until grep -q ws: said; do sleep 0.05; done
    exec 4<>"/dev/tcp/127.0.0.1/$(grep -o '[0-9]*/ws' said | tr -d '/ws')"
    printf '%s\r\n' 'GET /ws/stream HTTP/1.1' 'Host: x' 'Upgrade: websocket' 'Connection: Upgrade' \
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' 'Sec-WebSocket-Version: 13' '' >&4
    read -r answer <&4
    [[ $answer == *101* ]]
    kill "$server" # now it waits for this client, which does not answer
    until grep -q 'going down' said; do sleep 0.05; done
    kill "$server"
    code=0
    wait "$server" || code=$?
    exec 4>&-
    [ "$code" -eq 143 ]
}

@test "--json tells a program where it listens" {
    run -64 sgaps-serve --json --dry-run
    sgaps-serve --json -q -p 0 >said 3>&- &
    server=$!
    for _ in $(seq 100); do
        [ -s said ] && break
        sleep 0.1
    done
    url=$(jq -r .url said)
    [[ $url == "ws://127.0.0.1:$(jq .port said)/ws/stream" ]]
    curl -sf "$(jq -r .page said)/api/health" | jq -e '.status == "healthy"'
    kill $server
    wait $server
}
