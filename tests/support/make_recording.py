"""make_recording.py OUT [key=value...]: a small recording of moving waves and noise, written by h5py alone.

sessions=a,b  frames=40  size=64x48  state=5  samples=0 (each frame's, kept beside the frames)  images=1 (0: none)
seed=1  first=0 (number of the first frame)  id_step=1  break=... (see the end: one fault, for tests of bad input)"""
import sys

import h5py
import numpy as np

out = sys.argv[1]
o = dict(sessions="a,b", frames="40", size="64x48", state="5", samples="0", images="1", seed="1", first="0", id_step="1")
o["break"] = ""
o.update(a.split("=", 1) for a in sys.argv[2:])
W, H = map(int, o["size"].split("x"))
T, S, N = int(o["frames"]), int(o["state"]), int(o["samples"])
rng = np.random.default_rng(int(o["seed"]))
names = o["sessions"].split(",")
with h5py.File(out, "w", libver="earliest") as f:
    f.attrs.update(format="sgaps-recording", format_version=np.int32(1), format_minor=np.int32(0),
                   creator="make_recording.py", created_at="2026-01-01T00:00:00Z", history="make_recording.py",
                   uuid="00000000-0000-4000-8000-000000000000", config="{}", default="sessions/" + names[0])
    for k, name in enumerate(names):
        g = f.create_group("sessions/" + name)
        g.attrs.update(session_id=name, checkpoint_key="default", client_name="test", target_fps=10.0,
                       resolution=np.array([W, H], np.uint32), sentinel=np.float32(-999), value_range=255.0,
                       closed=np.uint8(1))
        g["frame_id"] = int(o["first"]) + int(o["id_step"]) * np.arange(T, dtype=np.int64)
        g["timestamp"] = np.arange(T) / 10.0
        if S:
            g["state"] = rng.normal(0, 1, (T, S)).astype(np.float32)
            g["state_len"] = np.full(T, S, np.uint16)
        y, x = np.mgrid[0:H, 0:W]
        images = np.stack([128 + 80 * np.sin((x + 3 * t) / 9) * np.cos((y + 7 * k + t) / 11) + 8 * rng.normal(0, 1, (H, W))
                           for t in range(T)]).clip(0, 255).astype(np.uint8)
        if int(o["images"]):
            g.create_dataset("frames", data=images, chunks=(1, H, W), compression="gzip", compression_opts=1)
        if N:
            at = np.stack([rng.permutation(H * W)[:N] for _ in range(T)])
            px, py = at % W, at // W
            uv = np.stack([(px + 0.5) / W, (py + 0.5) / H], 2).astype(np.float32)
            g["samples/offset"] = N * np.arange(T + 1, dtype=np.uint64)
            g["samples/uv"] = uv.reshape(-1, 2)
            g["samples/value"] = images[np.arange(T)[:, None], py, px].reshape(-1)
    g = f["sessions/" + names[0]]
    fault = o["break"]
    if fault == "shape":
        del g["frames"]
        g["frames"] = np.zeros((T, H, W + 1), np.uint8)
    elif fault == "type":
        del g["frames"]
        g["frames"] = np.full((T, H, W), np.nan, np.float32)
    elif fault == "uv":
        g["samples/uv"][3, 0] = 1.7
    elif fault == "nan":
        g["samples/uv"][3, 0] = np.nan
    elif fault == "version":
        f.attrs["format_version"] = np.int32(9)
    elif fault == "format":
        f.attrs["format"] = "something-else"
    elif fault == "offset":
        g["samples/offset"][2] = 10 ** 12
    elif fault:
        sys.exit("make_recording.py: no such fault: " + fault)
