#!/bin/sh
# fixture.sh DIR: the files that the examples of the manual speak of, made by the tools themselves from the recording
# that ships with the project. Small and quick: 64x64, a model of a few steps.
set -eu
dir=$1
root=${SGAPS_ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
bin=${SGAPS_BIN:-$root/bin}
data=$root/examples/data/doom.h5
mkdir -p "$dir/frames" "$dir/runs"
cd "$dir"
"$bin/sgaps-import" -q --size 64x64 --stride 12 --exclude map20-a -o rec.h5 "$data"
"$bin/sgaps-import" -q --size 64x64 --stride 12 --select map20-a -o held.h5 "$data"
/usr/bin/python3 "$root/tests/support/fixture.py" held.h5 test.h5 game.y4m frames session.ndjson
/usr/bin/python3 "$root/tests/support/make_journal.py" journal data/journal
"$bin/sgaps-sample" -q --pattern bluenoise -n 80 -o sparse.h5 test.h5
"$bin/sgaps-train" -q -o runs/demo --set model=spt-tiny --set 'model.resolution=[32,32]' --set training.batch_size=4 \
    --set training.max_steps=3 rec.h5
