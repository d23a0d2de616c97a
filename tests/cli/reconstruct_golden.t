#!/usr/bin/python3
"""The golden cases through sgaps-reconstruct: raw output within 1e-5 of PyTorch's, importance within 1e-4."""
import glob
import json
import os
import subprocess
import tempfile

import h5py
import numpy as np

root = os.environ["SGAPS_ROOT"]
tool = os.path.join(os.environ["SGAPS_BIN"], "sgaps-reconstruct")
# The prefill plane of patch-prefill is an input of its case: it lies on circles, where Delaunay has a choice.
cases = [c for c in sorted(glob.glob(os.path.join(root, "tests/golden/*/")))
         if os.path.basename(os.path.dirname(c)) != "patch-prefill"]
heads = [c for c in cases if json.loads(h5py.File(c + "checkpoint.h5").attrs["config"])["model"].get("error_head")]
print(f"1..{len(cases) + len(heads) + 1}")
with tempfile.TemporaryDirectory() as tmp:
    for number, case in enumerate(cases, 1):
        out = os.path.join(tmp, "out.h5")
        run = subprocess.run([tool, "-m", case + "checkpoint.h5", "--dtype", "f32", "--importance",
                              case + "recording.h5", "-o", out])
        worst = {}
        if run.returncode == 0:
            with h5py.File(out) as f, h5py.File(case + "expected.h5") as want:
                for name, key in (("reconstruction", "eval/output"), ("importance", "eval/importance")):
                    a, b = f["sessions/golden/" + name][:].astype(float), want[key][:].astype(float)
                    worst[name] = np.linalg.norm(a - b) / np.linalg.norm(b) if a.shape == b.shape else np.inf
        good = run.returncode == 0 and worst["reconstruction"] <= 1e-5 and worst["importance"] <= 1e-4
        print("ok" if good else "not ok", number, "-", os.path.basename(os.path.dirname(case)), run.returncode,
              " ".join(f"{k} {v:.1e}" for k, v in worst.items()))
    for number, case in enumerate(heads, len(cases) + 1):
        run = subprocess.run([tool, "-m", case + "checkpoint.h5", "--dtype", "f32", "--importance=error", case + "recording.h5",
                              "-o", out])
        with h5py.File(out) as f, h5py.File(case + "expected.h5") as want:
            a, b = f["sessions/golden/importance"][:].astype(float), want["eval/scale"][:].astype(float)
            low, high = b.min((1, 2), keepdims=True), b.max((1, 2), keepdims=True)
            b = (b - low) / (high - low + 1e-9)
            worst = np.linalg.norm(a - b) / np.linalg.norm(b) if a.shape == b.shape else np.inf
        print("ok" if not run.returncode and worst <= 1e-4 else "not ok", number, "-", os.path.basename(os.path.dirname(case)),
              f"importance error {worst:.1e}")
    a, b = os.path.join(tmp, "a.h5"), os.path.join(tmp, "b.h5")
    case = cases[0]
    for out, dtype in ((a, "f32"), (b, "u8")):
        subprocess.run([tool, "-m", case + "checkpoint.h5", "--dtype", dtype, case + "recording.h5", "-o", out], check=True)
    with h5py.File(a) as x, h5py.File(b) as y:
        f, u = x["sessions/golden/reconstruction"][:], y["sessions/golden/reconstruction"][:]
    good = u.dtype == np.uint8 and (u == np.rint(255 * f.clip(0, 1))).all()
    print("ok" if good else "not ok", len(cases) + len(heads) + 1, "- u8 is the raw output clipped and rounded")
