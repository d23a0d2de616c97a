#!/usr/bin/python3
"""sgaps-reconstruct and sgaps-eval give on the CUDA device what they give on the CPU. The device is the one SGAPS_CUDA_LIBRARY
names, else the emulated one."""
import json
import os
import subprocess
import sys
import tempfile

import h5py
import numpy as np

sys.path.insert(0, os.path.join(os.environ["SGAPS_ROOT"], "tests", "support"))
from tap import Tap  # noqa: E402

BIN, ROOT = os.environ["SGAPS_BIN"], os.environ["SGAPS_ROOT"]
os.environ.setdefault("SGAPS_CUDA_LIBRARY", os.environ["SGAPS_TESTS"] + "/cuda/libsgaps-cuda-emulated.so")
CASES = ("ragged", "patch-prefill", "seed-full-skip")
CLOSE = {"fp32": 1e-4, "bf16": 1e-2}  # ||a-b|| / ||b|| of pictures
PSNR = {"fp32": 1e-3, "bf16": 0.1}    # dB

tap = Tap()
ok = tap.ok


def run(*args):
    p = subprocess.run(args, capture_output=True, text=True)
    if p.returncode:
        tap.note(" ".join(args) + "\n" + p.stderr)
        return None
    return p.stdout


def pictures(case, out, device, precision):
    here = f"{ROOT}/tests/golden/{case}"
    if run(f"{BIN}/sgaps-reconstruct", "-q", "-j", "1", "--device", device, "--precision", precision, "-m",
           f"{here}/checkpoint.h5", "--dtype", "f32", "-o", out, f"{here}/recording.h5") is None:
        return None
    with h5py.File(out) as f:
        return f["sessions/golden/reconstruction"][:].astype(np.float64)


def psnr(case, device, precision):
    here = f"{ROOT}/tests/golden/{case}"
    text = run(f"{BIN}/sgaps-eval", "-q", "-j", "1", "--json", "--device", device, "--precision", precision, "-m",
               f"{here}/checkpoint.h5", f"{here}/recording.h5")
    return text and json.loads(text)["psnr"]["mean"]


with tempfile.TemporaryDirectory() as top:
    for case in CASES:
        want, db = pictures(case, f"{top}/cpu.h5", "cpu", "fp32"), psnr(case, "cpu", "fp32")
        ok(want is not None and db is not None, f"{case}: the CPU's")
        for precision in CLOSE:
            have, again = (pictures(case, f"{top}/{i}.h5", "cuda", precision) for i in range(2))
            if not ok(have is not None and again is not None and want is not None, f"{case}: pictures in {precision}"):
                continue
            d = np.linalg.norm(have - want) / np.linalg.norm(want)
            ok(d <= CLOSE[precision], f"{case}: pictures in {precision} differ by {d:.1e}")
            ok((have == again).all(), f"{case}: pictures in {precision} are the same to the bit again")
            off = psnr(case, "cuda", precision)
            ok(off is not None and abs(off - db) <= PSNR[precision], f"{case}: PSNR in {precision} is {off}, {db} on the CPU")
sys.exit(tap.done())
