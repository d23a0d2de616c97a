#!/usr/bin/python3
"""Three AdamW steps through sgaps-train, then sgaps-reconstruct: PyTorch's outputs, on every golden case."""
import os
import subprocess
import sys
import tempfile

import h5py
import numpy as np

BIN, ROOT = os.environ["SGAPS_BIN"], os.environ["SGAPS_ROOT"]
CASES = {"cross": 2, "seed-full-skip": 2, "ragged": 3, "tiny": 2, "patch": 2, "error-head": 2}  # and their batch sizes
TOLERANCE = 1e-2
REPLAY = ["sampling=recorded", "mask_ratio=0", "shuffle=false", "drop=0", "state_dropout=0", "scheduler=constant",
          "warmup_steps=0", "gradient_clip_norm=0", "precision=fp32", "validation=none", "max_steps=3", "lr=1e-3"]


def run(*args):
    p = subprocess.run(args, capture_output=True, text=True)
    if p.returncode:
        print("# " + " ".join(args) + "\n# " + p.stderr.strip().replace("\n", "\n# "))
    return p.returncode == 0


def distance(a, b):
    return float(np.linalg.norm(a.astype(np.float64) - b) / np.linalg.norm(b))


def replay(case, loss, folder):
    here = f"{ROOT}/tests/golden/{case}"
    settings = [x for s in REPLAY + [f"batch_size={CASES[case]}", f"loss={loss}"] for x in ("--set", f"training.{s}")]
    if not run(f"{BIN}/sgaps-train", "-q", "-j", "1", "-o", folder, "--init", f"{here}/checkpoint.h5", *settings,
               f"{here}/recording.h5"):
        return None
    out = f"{folder}/out.h5"
    if not run(f"{BIN}/sgaps-reconstruct", "-q", "-m", f"{folder}/last.h5", "--dtype", "f32", "-o", out,
               f"{here}/recording.h5"):
        return None
    with h5py.File(out) as f, h5py.File(f"{here}/expected.h5") as expected:
        return distance(f["sessions/golden/reconstruction"][:], expected[f"adamw/{loss}/output"][:])


count = failed = 0
for case in CASES:
    for loss in ("sampled_l2", "l1", "l2") + (("nll",) if case == "error-head" else ()):
        with tempfile.TemporaryDirectory() as folder:
            d = replay(case, loss, folder)
        count += 1
        good = d is not None and d <= TOLERANCE
        failed += not good
        print(f"{'ok' if good else 'not ok'} {count} - {case}, {loss}: outputs after three steps differ by {d}")
        sys.stdout.flush()
print(f"1..{count}")
sys.exit(failed > 0)
