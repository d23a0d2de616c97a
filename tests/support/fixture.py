"""fixture.py HELD TEST Y4M FRAMES NDJSON: one session of HELD as a recording, a film, PNG files and messages."""
import json
import os
import subprocess
import sys

import h5py
import numpy as np

held, test, y4m, folder, ndjson = sys.argv[1:]
with h5py.File(held) as f, h5py.File(test, "w", libver="earliest") as g:
    for name, value in f.attrs.items():
        g.attrs[name] = value
    name = f.attrs["default"].split("/")[-1]
    f.copy(f["sessions/" + name], g.create_group("sessions"), name)
    s = g["sessions/" + name]
    frames, state, stamp = s["frames"][:], s["state"][:], s["timestamp"][:]
    ids, length = s["frame_id"][:], s["state_len"][:]
K, H, W = frames.shape
with open(y4m, "wb") as f:
    f.write(b"YUV4MPEG2 W%d H%d F10:1 Ip A1:1 Cmono XCOLORRANGE=FULL\n" % (W, H))
    for frame in frames:
        f.write(b"FRAME\n" + frame.tobytes())
for k, frame in enumerate(frames[:5]):
    pgm = b"P5\n%d %d\n255\n" % (W, H) + frame.tobytes()
    path = os.path.join(folder, "%04d.png" % (k + 1))
    subprocess.run(["ffmpeg", "-loglevel", "error", "-y", "-f", "image2pipe", "-c:v", "pgm", "-i", "-", path],
                   input=pgm, check=True)
rng = np.random.default_rng(1)
with open(ndjson, "w") as f:
    def say(kind, **payload):
        f.write(json.dumps({"type": kind, "payload": payload}) + "\n")
    say("session_start", checkpoint_key="default", resolution=[W, H], client_name="fixture")
    for k in range(min(K, 8)):
        at = rng.permutation(H * W)[:60]
        x, y = at % W, at // W
        pixels = [{"u": (int(a) + .5) / W, "v": (int(b) + .5) / H, "value": int(frames[k, b, a])} for a, b in zip(x, y)]
        say("frame_data", frame_id=int(ids[k]), timestamp=float(stamp[k]), resolution=[W, H], num_pixels=len(pixels),
            pixels=pixels, state_vector=[float(v) for v in state[k, :length[k]]])
