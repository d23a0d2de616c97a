#!/usr/bin/python3
"""The files are open to Python: three lines read a recording, three lines take a checkpoint to torch and back."""
import json
import os
import subprocess
import sys
import tempfile

import h5py
import numpy as np
import torch

root, tools = os.environ["SGAPS_ROOT"], os.environ["SGAPS_BIN"] + "/"
sys.path.insert(0, root + "/tests/reference")
from spt_torch import SparsePixelTransformer  # noqa: E402

count = 0


def ok(good, text):
    global count
    count += 1
    print("ok" if good else "not ok", count, "-", text)
    sys.stdout.flush()


def run(*args):
    subprocess.run([tools + args[0], *args[1:]], check=True, stdout=subprocess.DEVNULL)


def network():
    return SparsePixelTransformer(16, 2, 1, 1, 24, 6, 0.0, max_freq=6)


def reconstruct(model, recording):
    """What torch makes of every frame of the sparse recording."""
    out = []
    with h5py.File(recording) as f:
        s = f[f.attrs["default"]]
        W, H = map(int, s.attrs["resolution"])
        offset = s["samples/offset"][:]
        for t in range(len(offset) - 1):
            at = slice(offset[t], offset[t + 1])
            value = s["samples/value"][at][:, None].astype(np.float32) / np.float32(255)
            pixels = torch.from_numpy(np.concatenate([s["samples/uv"][at], value], 1))[None]
            state = torch.from_numpy(s["state"][t])[None]
            with torch.no_grad():
                out.append(model.eval()(pixels, state, (state != -999).float(), (H, W))[0, 0].numpy())
    return np.stack(out)


def distance(a, b):
    return np.linalg.norm(a.astype(float) - b) / np.linalg.norm(b)


torch.set_num_threads(1)
torch.manual_seed(1)
os.chdir(tempfile.mkdtemp(prefix="sgaps-h5py-"))
subprocess.run([sys.executable, root + "/tests/support/make_recording.py", "made.h5", "sessions=a", "frames=6",
                "size=20x16", "state=6"], check=True)
run("sgaps-import", "-o", "rec.h5", "made.h5")
run("sgaps-sample", "-n", "40", "-o", "sparse.h5", "rec.h5")

# A recording, as the page of the formats has it.
t = 2
f = h5py.File("sparse.h5"); s = f[f.attrs["default"]]; o = s["samples/offset"][t:t+2]
uv, value = s["samples/uv"][o[0]:o[1]], s["samples/value"][o[0]:o[1]]
image = h5py.File("rec.h5")["sessions/a/frames"][t]
px, py = (uv * [20, 16]).astype(int).T
ok(len(uv) == 40 and (image[py, px] == value).all(), "three lines read a frame's samples and its picture")
f.close()
with h5py.File("rec.h5") as f:
    ok(f.id.get_create_plist().get_version()[0] == 0, "the file is in HDF5's oldest format")
    g = f["sessions/a"]
    made = h5py.File("made.h5")["sessions/a"]
    ok((made["frames"][:] == g["frames"][:]).all() and (made["state"][:] == g["state"][:]).all(), "nothing is lost")

# A checkpoint to torch.
recipe = {"model.embed_dim": 16, "model.num_heads": 2, "model.num_encoder_layers": 1, "model.num_decoder_layers": 1,
          "model.architecture.feedforward_dim": 24, "model.max_state_dim": 6, "model.resolution": [16, 20],
          "model.positional.max_freq": 6, "model.architecture.dropout": 0, "model.state_norm": False,
          "training.max_steps": 3, "training.warmup_steps": 1, "training.batch_size": 2,
          "training.validation": "none"}
settings = [x for k, v in recipe.items() for x in ("--set", f"{k}={json.dumps(v) if not isinstance(v, str) else v}")]
run("sgaps-train", "-q", "-j", "1", "-o", "run", "--set", "model=spt-tiny", *settings, "rec.h5")
model = network()
f = h5py.File("run/last.h5")
found = model.load_state_dict({k: torch.from_numpy(v[()]) for k, v in f["model_state_dict"].items()}, strict=False)
ok(not found.unexpected_keys and all(k.endswith("num_batches_tracked") for k in found.missing_keys),
   "torch's load_state_dict takes what sgaps-train wrote")
f.close()
run("sgaps-reconstruct", "-m", "run/last.h5", "--dtype", "f32", "-o", "out.h5", "sparse.h5")
with h5py.File("out.h5") as g:
    d = distance(g["sessions/a/reconstruction"][:], reconstruct(model, "sparse.h5"))
ok(d < 1e-5, f"and makes the same frames, {d:.1e}")

# A checkpoint from torch.
model = network()
config = {"model": {"embed_dim": 16, "num_heads": 2, "num_encoder_layers": 1, "num_decoder_layers": 1,
                    "max_state_dim": 6, "resolution": [16, 20], "coordinates": "centres",
                    "positional": {"kind": "sinusoidal", "max_freq": 6},
                    "decoder": {"self_attention": "none", "query_patch": 1, "head_width": 16},
                    "architecture": {"feedforward_dim": 24, "dropout": 0, "skip": {"enabled": False}}}}
f = h5py.File("torch.h5", "w")
f.attrs.update(format="sgaps-checkpoint", format_version=1, model="spt", config=json.dumps(config))
for k, v in model.state_dict().items(): f["model_state_dict/_orig_mod." + k] = v.numpy()
f.close()
run("sgaps-info", "--check", "torch.h5")
run("sgaps-reconstruct", "-m", "torch.h5", "--dtype", "f32", "-o", "back.h5", "sparse.h5")
with h5py.File("back.h5") as g:
    d = distance(g["sessions/a/reconstruction"][:], reconstruct(model, "sparse.h5"))
ok(d < 1e-5, f"what torch wrote, wrapped by torch.compile, makes the same frames here, {d:.1e}")
print(f"1..{count}")
