#!/usr/bin/env bats
# Programs that are not ours read what the tools write, and read the same: h5dump, netCDF, h5py, ffmpeg.

bats_require_minimum_version 1.5.0

setup_file() {
    export DIR=$BATS_FILE_TMPDIR
    export PATH=$SGAPS_BIN:$PATH LC_ALL=C
    sh "$SGAPS_ROOT/tests/support/fixture.sh" "$DIR"
    cd "$DIR"
    sgaps-clean -q rec.h5 -o clean.h5
    sgaps-reconstruct -q -m runs/demo/best.h5 --importance sparse.h5 -o rebuilt.h5
}

setup() {
    cd "$DIR"
}

@test "h5dump and ncdump read every file to its end" {
    for file in rec.h5 sparse.h5 clean.h5 rebuilt.h5 runs/demo/best.h5 runs/demo/last.h5; do
        h5dump -o data.txt "$file" >/dev/null
        [ "$(wc -c <data.txt)" -gt 1000 ]
        ncdump "$file" >data.txt
        [ "$(ncdump -k "$file")" = netCDF-4 ]
        [ "$(tail -1 data.txt)" = "}" ]
    done
}

@test "netCDF and HDF5 tell the same numbers" {
    one=$(h5dump -d /sessions/map20-a/frame_id -y -w 0 sparse.h5 | grep -oE '^ +[0-9, ]+$' | tr -dc '0-9,')
    two=$(ncdump -v /sessions/map20-a/frame_id sparse.h5 | sed -n 's/^ *frame_id = \(.*\) ;$/\1/p' | tr -dc '0-9,')
    [ -n "$one" ] && [ "$one" = "$two" ]
}

@test "ffprobe knows a film's size, rate and length; its pixels are the recording's" {
    sgaps-reconstruct -q -m runs/demo/best.h5 sparse.h5 -f y4m -o film.y4m
    said=$(ffprobe -v error -count_frames -show_entries stream=width,height,pix_fmt,nb_read_frames -of csv=p=0 film.y4m)
    [[ $said == 64,64,gray*,4 ]] || { echo "$said"; false; }
    ffmpeg -loglevel error -i film.y4m -f rawvideo -pix_fmt gray film.raw
    sgaps-reconstruct -q -m runs/demo/best.h5 sparse.h5 -f pgm -o film.pgm
    ffmpeg -loglevel error -f image2pipe -c:v pgm -i film.pgm -f rawvideo -pix_fmt gray pgm.raw
    sgaps-reconstruct -q -m runs/demo/best.h5 sparse.h5 -o %03d.png
    ffmpeg -loglevel error -start_number "$(ls [0-9][0-9][0-9].png | head -1 | tr -d 'a-z.')" -i %03d.png -f rawvideo -pix_fmt gray png.raw
    /usr/bin/python3 - <<'PY'
import h5py
want = h5py.File("rebuilt.h5")["sessions/map20-a/reconstruction"][:].tobytes()
for name in ("film.raw", "pgm.raw", "png.raw"):
    assert open(name, "rb").read() == want, name
PY
}

@test "what ffmpeg writes comes in bit-equal" {
    ffmpeg -loglevel error -f lavfi -i testsrc=size=40x30:rate=10:duration=1 -vf format=gray -f rawvideo -y source.raw
    ffmpeg -loglevel error -f rawvideo -s 40x30 -pix_fmt gray -r 10 -i source.raw -strict -1 -f yuv4mpegpipe - | sgaps-import -q -o source.h5 -
    /usr/bin/python3 - <<'PY'
import h5py
f = h5py.File("source.h5"); s = f[f.attrs["default"]]
assert s["frames"][:].tobytes() == open("source.raw", "rb").read() and abs(s.attrs["target_fps"] - 10) < 1e-6
PY
}
