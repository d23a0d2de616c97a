#!/usr/bin/python3
"""20,000 frames through sgaps-clean: under 300 MB, and frames without samples are copied chunk by chunk."""
import os
import resource
import subprocess
import sys
import tempfile
import zlib

import h5py
import numpy as np

if os.environ.get("SAN"):
    print("1..0 # SKIP a sanitiser's own memory would be measured")
    sys.exit()
T, S, N, H, W = 20000, 64, 100, 224, 224
LIMIT = 300
rng = np.random.default_rng(0)
with tempfile.TemporaryDirectory() as folder:
    source, out = os.path.join(folder, "long.h5"), os.path.join(folder, "clean.h5")
    with h5py.File(source, "w") as f:
        f.attrs.update(format="sgaps-recording", format_version=1, format_minor=0, creator="test", config="{}",
                       history="", uuid="0", default="sessions/a")
        g = f.create_group("sessions/a")
        g.attrs.update(session_id="a", resolution=np.array([W, H], np.uint32), target_fps=10.0,
                       sentinel=np.float32(-999), closed=np.uint8(1))
        g["frame_id"], g["timestamp"] = np.arange(T), np.arange(T) / 10
        g["state"] = np.cumsum(rng.normal(size=(T, S)), axis=0).astype(np.float32)
        g["state_len"] = np.full(T, S, np.uint16)
        g["samples/offset"] = np.arange(T + 1, dtype=np.uint64) * N
        g["samples/uv"] = rng.random((T * N, 2), dtype=np.float32)
        g["samples/value"] = np.zeros(T * N, np.uint8)
        frames = g.create_dataset("frames", (T, H, W), np.uint8, maxshape=(None, H, W), chunks=(1, H, W),
                                  compression="gzip", compression_opts=1)
        picture = rng.integers(0, 256, (H, W)).astype(np.uint8)
        picture[:, 40:] = 0
        chunk = zlib.compress(picture.tobytes(), 1)
        for t in range(T):
            frames.id.write_direct_chunk((t, 0, 0), chunk)
    tool = os.path.join(os.environ["SGAPS_BIN"], "sgaps-clean")
    p = subprocess.run([tool, "-q", source, "-o", out, "--clusters", "10"], capture_output=True, text=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print("ok 1 - cleans" if p.returncode == 0 else f"not ok 1 - exit {p.returncode}: {p.stderr}")
    print(f"{'ok' if peak < LIMIT else 'not ok'} 2 - {T} frames of {W}x{H} with {S} columns: {peak:.0f} MB, at most {LIMIT}")
    with h5py.File(out) as f:
        kept = f["sessions/a/frames"]
        same = all(kept.id.read_direct_chunk((k, 0, 0)) == (0, chunk) for k in (0, len(kept) // 2, len(kept) - 1))
        print(f"{'ok' if same and len(kept) > 1000 else 'not ok'} 3 - {len(kept)} frames keep their compressed bytes")
print("1..3")
