#!/usr/bin/python3
"""A tour of a recording and a checkpoint with h5py alone: h5py-tour.py rec.h5 [best.h5]. Read along, then take what you need."""
import json
import sys

import h5py
import numpy as np

# --- a recording is a table for each session; see sgaps-recording(5) ---
f = h5py.File(sys.argv[1])
print(f"{sys.argv[1]}: {f.attrs['format']} {f.attrs['format_version']}, made by {f.attrs['creator']}")
print("sessions:", ", ".join(f["sessions"]))
s = f[f.attrs["default"]]
W, H = s.attrs["resolution"]
T = len(s["frame_id"])
print(f"{s.name}: {T} frames of {W}x{H}, {s.attrs.get('target_fps', float('nan')):.4g} a second")

# Columns are read as wanted, by row or as a whole. The sentinel marks what was not there.
if "state" in s:
    state = s["state"][:]
    missing = state == s.attrs["sentinel"]
    names = [n.decode() if isinstance(n, bytes) else n for n in s["state"].attrs.get("state_names", [])]
    columns = [i for i in range(state.shape[1]) if not missing[:, i].all()]
    print(f"state: {len(columns)} of {state.shape[1]} columns are in use")
    for i in columns[:4]:
        seen = state[~missing[:, i], i]
        print(f"  {names[i] if i < len(names) else i}: {seen.min():.4g} to {seen.max():.4g}")

# Samples of row t lie between two offsets. (u,v) is in [0,1]; this is the pixel that it falls on.
if "samples/uv" in s:
    t = T // 2
    first, end = s["samples/offset"][t:t + 2]
    uv, value = s["samples/uv"][first:end], s["samples/value"][first:end]
    x, y = np.minimum((uv * [W, H]).astype(int), [W - 1, H - 1]).T
    sparse = np.zeros((H, W), np.uint8)
    sparse[y, x] = value
    print(f"row {t}: {len(uv)} samples, {100 * len(uv) / (W * H):.2g} % of the pixels, mean value {value.mean():.4g}")
    if "frames" in s and "frames_t" not in s:
        print("  they are the frame's own pixels:", bool((s["frames"][t][y, x] == value).all()))

# Frames are one chunk each: reading one reads no other. frames_t says whose they are where not every row has one.
if "frames" in s:
    frames = s["frames"]
    rows = s["frames_t"][:] if "frames_t" in s else np.arange(len(frames))
    change = [np.abs(frames[k].astype(int) - frames[k - 1]).mean() for k in range(1, min(len(frames), 20))]
    print(f"frames: {len(frames)}, of rows {rows[0]} to {rows[-1]}; from one to the next a pixel changes by {np.mean(change):.3g}")

# --- a small recording of one's own: this is all that has to be there ---
with h5py.File("own.h5", "w") as own:
    own.attrs.update(format="sgaps-recording", format_version=1, default="sessions/waves")
    g = own.create_group("sessions/waves")
    g.attrs["resolution"] = np.array([48, 32], np.uint32)
    y, x = np.mgrid[0:32, 0:48]
    g["frames"] = np.stack([128 + 100 * np.sin((x + 2 * t) / 5) * np.cos(y / 4) for t in range(10)]).astype(np.uint8)
print("own.h5: written; sgaps-info --check own.h5")

# --- a checkpoint: tensors under torch's names; see sgaps-checkpoint(5) ---
if len(sys.argv) > 2:
    c = h5py.File(sys.argv[2])
    model, tensors = json.loads(c.attrs["config"])["model"], c["model_state_dict"]
    print(f"{sys.argv[2]}: {model['name']}, step {c.attrs['step']}, {c.attrs['metric']} {c.attrs.get('score', float('nan')):.4g}")
    print(f"  {len(tensors)} tensors, {sum(t.size for t in tensors.values())} numbers")
    widest = max((n for n in tensors if n.endswith("weight")), key=lambda n: np.abs(tensors[n][()]).max())
    print(f"  the largest weight is in {widest}")
