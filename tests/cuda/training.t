#!/usr/bin/python3
"""Ten steps of sgaps-train with dropout and drawn samples on the CUDA device: the CPU's losses, and twice the same bits. The
device is the one SGAPS_CUDA_LIBRARY names, else the emulated one."""
import json
import os
import subprocess
import sys
import tempfile

import h5py
import numpy as np

sys.path.insert(0, os.path.join(os.environ["SGAPS_ROOT"], "tests", "support"))
from tap import Tap  # noqa: E402

TRAIN, ROOT = os.environ["SGAPS_BIN"] + "/sgaps-train", os.environ["SGAPS_ROOT"]
os.environ.setdefault("SGAPS_CUDA_LIBRARY", os.environ["SGAPS_TESTS"] + "/cuda/libsgaps-cuda-emulated.so")
STEPS = 10
MODELS = {
    "patches": ["decoder.head_width=32", "decoder.query_patch=4"],
    "full self-attention and skip": ["decoder.self_attention=full", "decoder.query_patch=1", "prefill=none",
                                     "architecture.skip.enabled=true"],
}
SETTINGS = ["model.embed_dim=32", "model.num_heads=2", "model.num_encoder_layers=1", "model.num_decoder_layers=1",
            "model.architecture.feedforward_dim=64", "model.resolution=[16,16]", "training.samples=[0.1,0.1]",
            "training.lr=1e-3", "training.warmup_steps=2", f"training.max_steps={STEPS}", "training.batch_size=3",
            "training.validation=none", "training.loss=l2"]
# Of a loss: at first, and at the end, when rounding has been through Adam ten times.
CLOSE = {"fp32": (1e-4, 1e-4), "bf16": (1e-2, 1e-1)}

tap = Tap()
ok = tap.ok


def train(folder, model, device, precision, order="forward"):
    """The losses of a run and its weights, or None."""
    settings = SETTINGS + ["model." + s for s in model]
    p = subprocess.run([TRAIN, "-q", "-j", "1", "--device", device, "--precision", precision, "-o", folder] +
                       [x for s in settings for x in ("--set", s)] + [f"{ROOT}/examples/data/doom.h5"],
                       capture_output=True, text=True, env=dict(os.environ, SGAPS_EMULATOR_ORDER=order))
    if p.returncode:
        tap.note(p.stderr)
        return None
    with open(f"{folder}/metrics.jsonl") as f:
        losses = [r["Train/loss_step"] for r in map(json.loads, f) if "Train/loss_step" in r]
    with h5py.File(f"{folder}/last.h5") as f:
        state = f["model_state_dict"]
        return np.array(losses), {k: state[k][()].tobytes() for k in state}


with tempfile.TemporaryDirectory() as top:
    for name, model in MODELS.items():
        want = train(f"{top}/cpu-{name}", model, "cpu", "fp32")
        ok(want is not None and len(want[0]) == STEPS, f"{name}: {STEPS} steps on the CPU")
        for precision, (first, last) in CLOSE.items():
            runs = [train(f"{top}/{order}-{precision}-{name}", model, "cuda", precision, order)
                    for order in ("forward", "7")]
            if not ok(all(runs) and want, f"{name}: {STEPS} steps on the CUDA device in {precision}"):
                continue
            off = np.abs(runs[0][0] - want[0]) / want[0]
            ok(len(off) == STEPS and off[0] <= first and off.max() <= last,
               f"{name}, {precision}: losses are the CPU's but for {off[0]:.1e} at first, {off.max():.1e} at most")
            ok((runs[0][0] == runs[1][0]).all() and runs[0][1] == runs[1][1],
               f"{name}, {precision}: the same losses and weights to the bit again")
sys.exit(tap.done())
