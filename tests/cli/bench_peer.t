#!/bin/sh
# examples/bench-peer.py runs PyTorch and sgaps-bench on one checkpoint in turn; the figures are not judged here.
echo 1..2
cd "$SGAPS_ROOT" || exit 1
out=$(OMP_NUM_THREADS=1 examples/bench-peer.py tests/golden/tiny/checkpoint.h5 -n 20 --kind train --rounds 2 --runs 1 --json 2>/dev/null)
echo "$out" | jq -e 'length == 1 and .[0].kind == "train" and .[0].rounds == 2' >/dev/null || printf 'not '
echo "ok 1 - the script runs"
echo "$out" | jq -e '.[0] | [.wall, .cpu] | all(.sgaps_ms > 0 and .torch_ms > 0 and .ratio > 0)' >/dev/null || printf 'not '
echo "ok 2 - both are timed, on both clocks"
