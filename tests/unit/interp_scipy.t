#!/usr/bin/python3
"""Nearest and linear against scipy on random positions, where Delaunay leaves no choice."""
import os
import subprocess

import numpy as np
from scipy.interpolate import LinearNDInterpolator
from scipy.spatial import cKDTree

program = os.path.join(os.environ["SGAPS_TESTS"], "unit", "interp")
cases = [(112, 112, 125), (112, 112, 500), (224, 224, 500), (60, 33, 5), (31, 77, 2000)]
print(f"1..{2 * len(cases)}")
number = 0
for W, H, n in cases:
    for method in "nearest", "linear":
        text = subprocess.run([program, "dump", method, str(W), str(H), str(n), str(n + W)], check=True,
                              capture_output=True, text=True).stdout.split()
        samples = np.array(text[:3 * n], float).reshape(n, 3)
        out = np.array(text[3 * n:], float)
        points, value = samples[:, :2] * [W, H], samples[:, 2]
        y, x = np.mgrid[0:H, 0:W]
        at = np.stack([x.ravel() + 0.5, y.ravel() + 0.5], 1)
        want = value[cKDTree(points).query(at)[1]]
        if method == "linear":
            plane = LinearNDInterpolator(points, value)(at)
            want = np.where(np.isnan(plane), want, plane)
        number += 1
        worst = np.abs(out - want).max()
        print("ok" if worst < 1e-5 else "not ok", number, "-", f"{method} {W}x{H}, {n} samples: off by {worst:.1e}")
