#!/bin/sh
# The main job, on recordings of a real game: clean, train a small model on the CPU, rebuild frames of sessions that
# it has not seen, compare with what needs no model, and draw it. `make demo` calls this.
#   MINUTES=4   how long to train          OUT=demo   where everything goes
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
PATH=${SGAPS_BIN:-$root/bin}:$PATH
minutes=${MINUTES:-4}
out=${OUT:-demo}
data=$root/examples/data/doom.h5
held_out=map08-b,map12-a,map20-a # one on a level that is trained on, two on levels that are not
train=$out/train.h5
test=$out/test.h5
mkdir -p "$out"
start=$(date +%s)

say() { printf '\n== %s\n' "$*"; }
run() {
    printf '$' >&2
    printf ' %s' "$@" >&2
    printf '\n' >&2
    "$@"
}

say "What was recorded"
run sgaps-info "$data"

say "Hold out three sessions: nothing below trains on them"
run sgaps-import --force --exclude "$held_out" -o "$train" "$data"
run sgaps-import --force --select "$held_out" -o "$test" "$data"

say "Clean: drop bad frames, thin out standing still, balance the game states"
run sgaps-clean -v --force "$train" -o "$out/clean.h5" --report "$out/clean.tsv"

say "Train spt-fast for $minutes minutes"
rm -rf "$out/run"
run sgaps-train "$out/clean.h5" -o "$out/run" -c "$root/examples/demo.yaml" --set "training.max_minutes=$minutes" \
    --plot "$out/curves.svg"

say "Sample 1 % of the pixels of the held-out sessions, and rebuild their frames"
run sgaps-sample --force --pattern bluenoise -n 125 -o "$out/sparse.h5" "$test"
run sgaps-reconstruct --force -m "$out/run/best.h5" --importance -o "$out/rebuilt.h5" "$out/sparse.h5"

say "Against the baselines, at 0.5 %, 1 % and 2 % of the pixels"
run sgaps-eval -q -m "$out/run/best.h5" --method linear --method natural --method nearest --method thumbnail \
    -n 63,125,251 --plot "$out/psnr.svg" "$test" >"$out/table.txt"
cat "$out/table.txt"

say "To look at"
run sgaps-eval -q -m "$out/run/best.h5" --method linear -n 125 --pictures "$out/pictures" "$test" >/dev/null

say "Done in $(($(date +%s) - start)) s"
echo "table:       $out/table.txt"
echo "pictures:    $out/pictures/   (truth, samples, linear, model, error, importance)"
echo "plots:       $out/psnr.svg (quality against the budget), $out/curves.svg (the training)"
echo "checkpoint:  $out/run/best.h5"
echo "recordings:  $out/clean.h5 $out/sparse.h5 $out/rebuilt.h5"
