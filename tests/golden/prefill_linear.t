#!/usr/bin/python3
"""The golden case's prefill plane against linear interpolation by sgaps-reconstruct, where Delaunay leaves no choice:
where the plane does not move when the samples do by a millionth of a pixel."""
import os
import subprocess
import tempfile

import h5py
import numpy as np
from scipy.interpolate import LinearNDInterpolator

case = os.path.join(os.environ["SGAPS_ROOT"], "tests", "golden", "patch-prefill")
with tempfile.TemporaryDirectory() as d:
    out = os.path.join(d, "out.h5")
    subprocess.run([os.path.join(os.environ["SGAPS_BIN"], "sgaps-reconstruct"), "--method", "linear", "--dtype", "f32",
                    os.path.join(case, "recording.h5"), "-o", out], check=True)
    with h5py.File(out) as f:
        got = f[f.attrs["default"]]["reconstruction"][:]
want = h5py.File(os.path.join(case, "expected.h5"))["prefill"][:, 0]
with h5py.File(os.path.join(case, "recording.h5")) as f:
    s = f[f.attrs["default"]]
    offset, uv, value = s["samples/offset"][:], s["samples/uv"][:].astype(float), s["samples/value"][:] / 255.0
B, H, W = got.shape
y, x = np.mgrid[0:H, 0:W]
at = np.stack([x.ravel() + 0.5, y.ravel() + 0.5], 1)
print(f"1..{2 * B}")
for b in range(B):
    points, v = uv[offset[b]:offset[b + 1]] * [W, H], value[offset[b]:offset[b + 1]]
    sure = np.ones((H, W), bool)
    for k in range(12):
        moved = points + np.random.default_rng(k).normal(0, 1e-6, points.shape)
        sure &= np.abs(LinearNDInterpolator(moved, v)(at).reshape(H, W) - want[b]) < 1e-4
    worst = np.abs(got[b] - want[b])[sure].max()
    print("ok" if sure.mean() > 0.5 else "not ok", 2 * b + 1, f"- frame {b}: {sure.mean():.0%} of the pixels are sure")
    print("ok" if worst < 1e-5 else "not ok", 2 * b + 2, f"- frame {b}: off by {worst:.1e} there")
