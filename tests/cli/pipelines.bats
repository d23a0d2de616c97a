#!/usr/bin/env bats
# The pipelines of the manual as people write them, on the recording that ships with the project.

setup_file() {
    export DIR=$BATS_FILE_TMPDIR
    export PATH=$SGAPS_BIN:$PATH
    sh "$SGAPS_ROOT/tests/support/fixture.sh" "$DIR"
}

setup() {
    cd "$DIR"
    set -o pipefail
}

@test "a film through ffmpeg becomes a recording" {
    ffmpeg -loglevel error -y -i game.y4m -c:v libx264 -qp 0 game.mp4
    ffmpeg -loglevel error -i game.mp4 -vf scale=48:48,format=gray -f yuv4mpegpipe - | sgaps-import -o film.h5 -
    sgaps-info --json film.h5 | jq -e '.. | objects | select(.resolution? == [48,48])' >/dev/null
    sgaps-info --check film.h5
}

@test "a recording is cleaned, with a report" {
    sgaps-clean rec.h5 -o clean.h5 --report clean.tsv
    sgaps-info --check clean.h5
    [ -s clean.tsv ]
}

@test "a model trains on a cleaned recording" {
    sgaps-clean rec.h5 --force -o clean.h5
    sgaps-train clean.h5 -o runs/small --set model=spt-small --set 'model.resolution=[24,24]' \
        --set training.max_steps=2 --set training.batch_size=2 --set training.validation=none
    sgaps-info runs/small/last.h5
}

@test "sample | reconstruct | eval" {
    psnr=$(sgaps-sample --pattern bluenoise -n 50 test.h5 | sgaps-reconstruct -m runs/demo/best.h5 - |
        sgaps-eval test.h5 - --json | jq -e .psnr.mean)
    jq -en "$psnr > 5 and $psnr < 60"
}

@test "a classical reconstruction needs no model, and more samples are better" {
    few=$(sgaps-sample -n 30 test.h5 | sgaps-reconstruct --method linear - | sgaps-eval test.h5 - --json | jq .psnr.mean)
    many=$(sgaps-sample -n 300 test.h5 | sgaps-reconstruct --method linear - | sgaps-eval test.h5 - --json | jq .psnr.mean)
    jq -en "$many > $few + 1"
}

@test "frames stream to a player" {
    frames=$(sgaps-info --json sparse.h5 | jq '[.. | objects | .frames? // empty | numbers] | max')
    n=$(sgaps-reconstruct -m runs/demo/best.h5 sparse.h5 -f y4m | ffprobe -v error -count_frames -show_entries \
        stream=nb_read_frames -of csv=p=0 -)
    [ "$n" -eq "$frames" ]
}

@test "a model and methods against budgets, as TSV" {
    sgaps-eval -m runs/demo/best.h5 --method linear --method thumbnail -n 50,100 test.h5 --tsv >table.tsv
    [ "$(wc -l <table.tsv)" -eq 7 ]
    [ "$(awk -F'\t' '{print NF}' table.tsv | sort -u | wc -l)" -eq 1 ]
}

@test "eight sessions against a server, recorded" {
    sgaps-serve -p 0 --set 'server.resolution=[64,64]' --set sampling.default_sample_count=80 --checkpoints runs --record taken \
        2>said 3>&- & server=$!
    until url=$(grep -o 'ws:[^, ;]*' said); do sleep 0.05; done
    sgaps-replay test.h5 "$url" --sessions 8 --json >figures.json
    kill "$server" && wait "$server"
    jq -e '.sessions == 8 and .sessions_failed == 0 and .frames_sent > 0' figures.json
    [ "$(find taken -name '*.h5' | wc -l)" -eq 8 ]
    sgaps-info --check taken
}

@test "messages as they arrive become frames" {
    (cat session.ndjson; sleep 0.2) | sgaps-reconstruct -m runs/demo/best.h5 - -f y4m >live.y4m
    n=$(ffprobe -v error -count_frames -show_entries stream=nb_read_frames -of csv=p=0 live.y4m)
    [ "$n" -eq "$(grep -c frame_data session.ndjson)" ]
}

@test "a directory of recordings in parallel" {
    mkdir -p many clean
    cp rec.h5 many/a.h5
    cp test.h5 many/b.h5
    (cd many && ls *.h5 | parallel --will-cite -j2 'sgaps-clean {} -o ../clean/{/}')
    sgaps-info --check clean/a.h5 clean/b.h5
}

@test "three lines of h5py read a recording" {
    /usr/bin/python3 - <<'PY'
import h5py
t = 1
f = h5py.File("sparse.h5"); s = f[f.attrs["default"]]; o = s["samples/offset"][t:t+2]
uv, value = s["samples/uv"][o[0]:o[1]], s["samples/value"][o[0]:o[1]]
assert uv.shape == (80, 2) and value.shape == (80,) and 0 <= uv.min() and uv.max() <= 1
f = h5py.File("test.h5"); s = f[f.attrs["default"]]; image = s["frames"][t]
assert image.shape == (64, 64) and image.std() > 1
PY
}

@test "h5dump opens recordings and checkpoints" {
    h5dump -H sparse.h5 >/dev/null
    h5dump -H runs/demo/best.h5 >/dev/null
}

@test "bit-identical without history" {
    sgaps-sample --no-history -n 20 -o one.h5 test.h5
    sleep 1
    sgaps-sample --no-history -n 20 -o two.h5 test.h5
    cmp one.h5 two.h5
}
