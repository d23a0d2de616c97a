#!/usr/bin/python3
"""The figures of sgaps-eval --json on two recordings of two sessions against numpy and skimage."""
import json
import os
import subprocess
import sys
import tempfile

import h5py
import numpy as np
from skimage.metrics import structural_similarity

root, tool = os.environ["SGAPS_ROOT"], os.path.join(os.environ["SGAPS_BIN"], "sgaps-eval")
made = os.path.join(root, "tests", "support", "make_recording.py")
number = 0


def check(name, got, want):
    global number
    number += 1
    good = abs(got - want) <= 1e-9 * max(1, abs(want))
    print("ok" if good else "not ok", number, "-", f"{name}: {got:.12g}, wanted {want:.12g}")


def psnr(mse):
    return 10 * np.log10(255 ** 2 / mse)


with tempfile.TemporaryDirectory() as d:
    a, b = os.path.join(d, "a.h5"), os.path.join(d, "b.h5")
    subprocess.run([sys.executable, made, a, "frames=6", "samples=30"], check=True)
    subprocess.run([sys.executable, made, b, "frames=6", "seed=4"], check=True)
    with h5py.File(b, "a") as f:  # one identical frame, and the order of the sessions turned round
        f["sessions/a/frames"][2] = h5py.File(a)["sessions/a/frames"][2]
        f.move("sessions/a", "sessions/zz")
        f.move("sessions/zz", "sessions/a")
    text = subprocess.run([tool, "-q", "--json", a, b], check=True, capture_output=True, text=True).stdout
    got = json.loads(text)
    values = {k: [] for k in "psnr ssim ssim_7u mae peak tpsnr psnr_off_samples".split()}
    squares = []
    with h5py.File(a) as fa, h5py.File(b) as fb:
        for name in "a", "b":
            s = fa["sessions/" + name]
            x, y = s["frames"][:].astype(float), fb["sessions/" + name + "/frames"][:].astype(float)
            for t in range(len(x)):
                mse = ((x[t] - y[t]) ** 2).mean()
                squares.append(mse)
                o = s["samples/offset"][t:t + 2]
                px, py = (s["samples/uv"][o[0]:o[1]] * [64, 48]).astype(int).T
                off = np.ones((48, 64), bool)
                off[py, px] = False
                u, v = x[t].astype(np.uint8), y[t].astype(np.uint8)
                if mse:
                    values["psnr"].append(psnr(mse))
                    values["psnr_off_samples"].append(psnr(((x[t] - y[t])[off] ** 2).mean()))
                if t:
                    values["tpsnr"].append(psnr(((x[t] - x[t - 1] - y[t] + y[t - 1]) ** 2).mean()))
                values["ssim"].append(structural_similarity(u, v, data_range=255, gaussian_weights=True, sigma=1.5,
                                                            use_sample_covariance=False))
                values["ssim_7u"].append(structural_similarity(u, v, data_range=255))
                values["mae"].append(np.abs(x[t] - y[t]).mean())
                values["peak"].append(np.abs(x[t] - y[t]).max())
    check("frames", got["frames"], 12)
    check("identical", got["identical"], 1)
    check("psnr_pooled", got["psnr_pooled"], psnr(np.mean(squares)))
    for key, v in values.items():
        for part, f in ("mean", np.mean), ("min", np.min), ("max", np.max), ("std", np.std):
            check(f"{key}.{part}", got[key][part], f(v))
print(f"1..{number}")
