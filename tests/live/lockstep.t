#!/bin/sh
# A live session in lockstep, frames with their full image, and sgaps-sample's closed loop with the same session id, seed and
# configuration choose the same coordinates: every policy, with a checkpoint and with the residual over linear interpolation.
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
n=0
say() {
    n=$((n + 1))
    if [ "$1" -eq 0 ]; then echo "ok $n - $2"; else
        echo "not ok $n - $2"
        sed 's/^/# /' log
    fi
}
/usr/bin/python3 "$SGAPS_ROOT/tests/support/make_recording.py" full.h5 sessions=a,b,c frames=14 size=40x32 first=7 id_step=3
mkdir -p runs/tiny runs/filled
"$SGAPS_BIN/sgaps-train" -q -o runs/tiny --set model=spt-tiny --set 'model.resolution=[32,40]' --set model.embed_dim=16 \
    --set model.num_heads=2 --set model.architecture.feedforward_dim=16 --set model.max_state_dim=5 --set training.batch_size=4 \
    --set training.max_steps=3 full.h5 >/dev/null 2>log || { echo "Bail out! no checkpoint: $(cat log)"; exit 1; }
"$SGAPS_BIN/sgaps-train" -q -o runs/filled --set model.embed_dim=16 --set 'model.resolution=[32,40]' --set model.num_heads=2 \
    --set model.decoder.head_width=16 --set model.architecture.feedforward_dim=16 --set model.max_state_dim=5 \
    --set training.batch_size=4 --set training.max_steps=3 --set training.lr=1e-2 --set training.warmup_steps=0 \
    --set model.error_head=true full.h5 >/dev/null 2>log || { echo "Bail out! no checkpoint: $(cat log)"; exit 1; }

# same NAME LATENCY KEY SETTING...: KEY "-" is linear
same() {
    name=$1 latency=$2 key=$3
    shift 3
    settings=
    for s; do settings="$settings --set $s"; done
    model="-m runs/$key/best.h5" dir=runs
    [ "$key" = - ] && model="--importance=residual" dir=-
    # shellcheck disable=SC2086
    "$SGAPS_BIN/sgaps-sample" -q -n 60 $settings $model --latency "$latency" full.h5 -o sampled.h5 2>log || {
        say 1 "$name: sgaps-sample"
        return
    }
    "$SGAPS_TESTS/live/lockstep" full.h5 sampled.h5 "$latency" "$dir" "$key" sampling.default_sample_count=60 "$@" $more >log 2>&1
    say $? "$name"
}
for pattern in importance_only hybrid adaptive; do
    for mode in fixed adaptive quality_based; do
        same "$pattern, $mode, a checkpoint" 1 tiny sampling.strategy=$pattern mask_update.mode=$mode
        same "$pattern, $mode, linear and the residual" 2 - sampling.strategy=$pattern mask_update.mode=$mode
    done
done
same "adaptive, variance, a set with every frame, latency 3" 3 tiny sampling.strategy=adaptive sampling.importance=variance \
    mask_update.fixed_interval=1
same "hybrid, patch queries over a prefill" 1 filled sampling.strategy=hybrid mask_update.mode=adaptive
same "adaptive, the scale of the error" 1 filled sampling.strategy=adaptive sampling.importance=error mask_update.fixed_interval=1
same "bluenoise, nothing looks at a map" 1 tiny sampling.strategy=bluenoise mask_update.mode=adaptive
more=together=1
same "three sessions at once, in common batches" 1 tiny sampling.strategy=adaptive mask_update.mode=adaptive
grep -q "largest batch 3" log
say $? "$(tail -n 1 log)"
same "three sessions at once, linear" 1 - sampling.strategy=hybrid mask_update.fixed_interval=2
echo "1..$n"
