#!/usr/bin/python3
"""A run that was stopped and resumed ends with the same bits as one that was not: dropout, shuffle, drawn samples."""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

import h5py
import numpy as np

sys.path.insert(0, os.path.join(os.environ["SGAPS_ROOT"], "tests", "support"))
from tap import Tap  # noqa: E402

TRAIN = os.environ["SGAPS_BIN"] + "/sgaps-train"
MODEL = ["model=spt-tiny", "model.embed_dim=16", "model.num_heads=2", "model.num_encoder_layers=1",
         "model.num_decoder_layers=1", "model.architecture.feedforward_dim=16", "model.max_state_dim=6",
         "model.resolution=[16,16]", "model.state_norm=true", "model.architecture.dropout=0.1",
         "training.samples=[0.05,0.2]", "training.batch_size=3", "training.warmup_steps=2", "training.max_steps=6"]
tap = Tap()
ok = tap.ok


def recording(path):
    """Three sessions of ten frames: 16x16 full frames and six state values."""
    rng = np.random.default_rng(1)
    with h5py.File(path, "w", libver="earliest") as f:
        f.attrs.update(format="sgaps-recording", format_version=np.int32(1), format_minor=np.int32(0), creator="test",
                       created_at="2026-01-01T00:00:00Z", history="", uuid="u", config="{}", default="sessions/s0")
        for k in range(3):
            s = f.create_group(f"sessions/s{k}")
            s.attrs.update(session_id=f"s{k}", checkpoint_key="", client_name="", target_fps=np.float32(10),
                           resolution=np.array([16, 16], np.uint32), sentinel=np.float32(-999),
                           value_range=np.float32(255), closed=np.uint8(1))
            s.create_dataset("frame_id", data=np.arange(10, dtype=np.int64), maxshape=(None,))
            s.create_dataset("timestamp", data=np.arange(10) / 10.0, maxshape=(None,))
            s.create_dataset("state", data=rng.normal(size=(10, 6)).astype(np.float32), maxshape=(None, 6))
            s.create_dataset("state_len", data=np.full(10, 6, np.uint16), maxshape=(None,))
            s.create_dataset("frames", data=rng.integers(0, 256, (10, 16, 16), dtype=np.uint8), chunks=(1, 16, 16),
                             maxshape=(None, 16, 16), compression=1)


def train(folder, rec, *more, check=True):
    args = [TRAIN, "-q", "-j", "1", "-o", folder]
    if "--resume" not in more:
        args += [x for s in MODEL for x in ("--set", s)]
    return subprocess.run(args + list(more) + [rec], check=check)


def same(a, b, group):
    with h5py.File(a) as x, h5py.File(b) as y:
        names = sorted(x[group]), sorted(y[group])
        return names[0] == names[1] and len(names[0]) > 10 and all(
            x[group][n][()].tobytes() == y[group][n][()].tobytes() for n in names[0])


def steps(folder):
    with open(f"{folder}/metrics.jsonl") as f:
        return [(v["step"], v["Train/loss_step"]) for v in map(json.loads, f) if "Train/loss_step" in v]


with tempfile.TemporaryDirectory() as top:
    rec, straight, broken, twice = (f"{top}/{n}" for n in ("rec.h5", "straight", "broken", "twice"))
    recording(rec)
    constant = ("--set", "training.scheduler=constant")
    train(straight, rec, *constant)
    train(broken, rec, *constant, "--set", "training.max_steps=3")
    ok(not same(f"{straight}/last.h5", f"{broken}/last.h5", "model_state_dict"), "three steps differ from six")
    train(broken, rec, "--resume", "--set", "training.max_steps=6")
    ok(same(f"{straight}/last.h5", f"{broken}/last.h5", "model_state_dict"), "three and three: the weights of six, bit by bit")
    ok(same(f"{straight}/last.h5", f"{broken}/last.h5", "optimizer/exp_avg"), "and the first moments")
    ok(same(f"{straight}/last.h5", f"{broken}/last.h5", "optimizer/exp_avg_sq"), "and the second moments")
    ok(steps(straight) == steps(broken) and len(steps(straight)) == 6, "metrics.jsonl has the same six steps")
    with h5py.File(f"{straight}/last.h5") as a, h5py.File(f"{broken}/last.h5") as b:
        ok(a.attrs["score"] == b.attrs["score"], "and the same validation score")

    # The schedule follows the whole run, so it survives an interruption as well.
    def args(folder):
        return [TRAIN, "-q", "-j", "1", "-o", folder] + [
            x for s in MODEL + ["training.max_steps=4000", "training.epochs=4000", "training.validation=none"]
            for x in ("--set", s)] + [rec]
    for number in (signal.SIGINT, signal.SIGTERM):
        p = subprocess.Popen(args(twice) + ["--force"], stderr=subprocess.PIPE)
        while p.poll() is None and not (os.path.exists(f"{twice}/metrics.jsonl") and len(steps(twice)) >= 2):
            time.sleep(0.01)
        p.send_signal(number)
        p.wait()
        ok(p.returncode == 128 + number, f"{number.name} ends the run with {128 + number} (it was {p.returncode})")
        with h5py.File(f"{twice}/last.h5") as f:
            ok(f.attrs["step"] == len(steps(twice)), "last.h5 holds the last step of metrics.jsonl")
        os.remove(f"{twice}/metrics.jsonl")
    ok(train(twice, rec, check=False).returncode == 73, "a directory with a run in it is refused")

sys.exit(tap.done())
