#!/usr/bin/python3
"""20,000 frames through sgaps-sample and sgaps-eval: under 300 MB each. The frames are of 112x112; eval compares them at a
smaller size to be done soon, and reads every one in full."""
import os
import subprocess
import sys
import tempfile
import zlib

import h5py
import numpy as np

if os.environ.get("SAN"):
    print("1..0 # SKIP a sanitiser's own memory would be measured")
    sys.exit()
T, H, W, LIMIT = 20000, 112, 112, 300


def peak_of(name, *arguments):
    """Exit status and the greatest resident set in MB of this child alone."""
    tool = os.path.join(os.environ["SGAPS_BIN"], name)
    child = subprocess.Popen([tool, "-q", *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    return os.waitstatus_to_exitcode(status), usage.ru_maxrss / 1024


with tempfile.TemporaryDirectory() as folder:
    source, sparse = os.path.join(folder, "long.h5"), os.path.join(folder, "sparse.h5")
    with h5py.File(source, "w") as f:
        f.attrs.update(format="sgaps-recording", format_version=1, format_minor=0, creator="test", config="{}",
                       history="", uuid="0", default="sessions/a")
        g = f.create_group("sessions/a")
        g.attrs.update(session_id="a", resolution=np.array([W, H], np.uint32), target_fps=10.0,
                       sentinel=np.float32(-999), closed=np.uint8(1))
        g["frame_id"], g["timestamp"] = np.arange(T), np.arange(T) / 10
        frames = g.create_dataset("frames", (T, H, W), np.uint8, maxshape=(None, H, W), chunks=(1, H, W),
                                  compression="gzip", compression_opts=1)
        y, x = np.mgrid[0:H, 0:W]
        chunks = [zlib.compress(((x * (3 + k) + 2 * y) // 8 % 256).astype(np.uint8).tobytes(), 1) for k in range(7)]
        for t in range(T):
            frames.id.write_direct_chunk((t, 0, 0), chunks[t % 7])
    runs = [("sgaps-sample", "--pattern", "random", "-n", "125", source, "-o", sparse),
            ("sgaps-eval", "--method", "nearest", "--method", "thumbnail", "-n", "20", "--size", "28x28", "--per-frame",
             "--tsv", source)]
    print(f"1..{2 * len(runs)}")
    for k, run in enumerate(runs):
        code, peak = peak_of(*run)
        print("ok" if code == 0 else "not ok", 2 * k + 1, f"- {run[0]} exits {code}")
        print("ok" if peak < LIMIT else "not ok", 2 * k + 2, f"- {run[0]}, {T} frames: {peak:.0f} MB, at most {LIMIT}")
