#!/usr/bin/env bats
# What all tools take alike, whatever they do: one set of flags serves a whole pipeline.

bats_require_minimum_version 1.5.0

setup_file() {
    export DIR=$BATS_FILE_TMPDIR
    export PATH=$SGAPS_BIN:$PATH LC_ALL=C
    cd "$DIR"
    /usr/bin/python3 "$SGAPS_ROOT/tests/support/make_recording.py" rec.h5 sessions=a,b,c frames=12 size=20x14 samples=30
}

setup() {
    cd "$DIR"
}

@test "every tool takes -j, --seed, --device, --precision, --force, -q and -v, and reads their values" {
    for tool in bench clean eval import info reconstruct replay sample serve train; do
        sgaps-$tool -j 1 --seed 3 --device cpu --precision fp32 --force -q -v --version | head -1 | grep -q "^sgaps-$tool "
        for wrong in "-j x" "--seed -1" "--precision fp8"; do
            run -64 --separate-stderr sgaps-$tool $wrong --version
        done
    done
}

@test "a pipeline runs with the same flags for all" {
    flags="-q -j 1 --seed 7 --device cpu --precision fp32"
    sgaps-import $flags rec.h5 | sgaps-clean $flags - | sgaps-sample $flags -n 20 - |
        sgaps-reconstruct $flags --method linear - | sgaps-eval $flags --json rec.h5 - >said.json
    jq -e '.frames > 0' said.json
    sgaps-info $flags rec.h5 >/dev/null
}

@test "--json of a tool that writes frames says what was written, and wants a file for them" {
    sgaps-import --json rec.h5 -o copy.h5 | jq -e '.output == "copy.h5" and .frames == 36'
    sgaps-sample --json -n 9 rec.h5 -o sparse.h5 | jq -e '.frames == 36'
    sgaps-reconstruct --json --method linear sparse.h5 -o film.y4m | jq -e '.output == "film.y4m" and .frames == 36'
    for command in "import rec.h5" "sample -n 9 rec.h5" "reconstruct --method linear sparse.h5"; do
        run -64 --separate-stderr sgaps-$command --json
        [[ $stderr == *"-o"* ]] || { echo "$stderr"; false; }
    done
}

@test "sgaps-train --split and --keep are training.validation and training.keep" {
    small="--set model=spt-tiny --set model.resolution=[14,20] --set model.decoder.query_patch=4 --set model.decoder.head_width=8
        --set training.batch_size=4 --set training.max_steps=6 --set training.validate_every=2"
    sgaps-train -q --dry-run --json $small --split none -o none rec.h5 | jq -e '.train_sessions == 3 and .validation_sessions == 0'
    sgaps-train -q --dry-run --json $small -o none rec.h5 | jq -e '.train_sessions == 2'
    sgaps-train -q $small --keep 2 -o two rec.h5
    [ "$(ls two/step-*.h5 | wc -l)" -eq 2 ]
    sgaps-train -q $small --keep 0 -o zero rec.h5
    [ ! -e zero/step-000006.h5 ]
    run -64 --separate-stderr sgaps-train --split frames -o none rec.h5
}

@test "--no-history: the same input gives the same bytes, a run's last.h5 too, which has all it takes to go on" {
    small="--set model=spt-tiny --set model.resolution=[14,20] --set model.decoder.query_patch=4 --set model.decoder.head_width=8
        --set training.batch_size=4 --set training.max_steps=3"
    for run in one other; do
        sgaps-train -q -j 1 --no-history $small -o $run rec.h5
        sgaps-sample --no-history -n 9 rec.h5 -o $run.sample.h5
        sgaps-reconstruct --no-history -m $run/best.h5 rec.h5 -o $run.back.h5
        sgaps-clean -q --no-history rec.h5 -o $run.clean.h5
        sgaps-import --no-history rec.h5 -o $run.import.h5
        sleep 1
    done
    for file in .sample.h5 .back.h5 .clean.h5 .import.h5 /best.h5 /last.h5; do
        cmp "one$file" "other$file"
    done
    sgaps-train -q $small --set training.validation=none -o untried rec.h5
    /usr/bin/python3 - <<'PY'
import h5py, math
f = h5py.File("one/last.h5")
assert f["rng"].attrs["seed"] == f.attrs["seed"] == 42 and f["rng"].attrs["step"] == f.attrs["step"] == 3
assert math.isnan(h5py.File("untried/last.h5").attrs["score"])
PY
}
