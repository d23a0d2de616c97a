#!/usr/bin/python3
"""A checkpoint of ours into PyTorch by load_state_dict, one of PyTorch's back into the tools, the same frames both ways."""
import os
import subprocess
import sys
import tempfile

import h5py
import numpy as np
import torch

root = os.environ.get("SGAPS_ROOT", ".")
tools = os.environ.get("SGAPS_BIN", os.path.join(root, "bin"))
sys.path.insert(0, os.path.join(root, "tests", "reference"))
sys.dont_write_bytecode = True
from spt_torch import SparsePixelTransformer  # noqa: E402

count = 0


def ok(good, name):
    global count
    count += 1
    print(("ok" if good else "not ok"), count, "-", name, flush=True)


def tool(*args):
    subprocess.run([os.path.join(tools, args[0]), *args[1:]], check=True)


torch.set_num_threads(1)
golden = os.path.join(root, "tests", "golden", "tiny")
model = SparsePixelTransformer(64, 4, 2, 2, 128, 64)


def frames_of_torch():
    with h5py.File(os.path.join(golden, "recording.h5")) as f:
        s = f[f.attrs["default"]]
        offset, uv, value = s["samples/offset"][:], s["samples/uv"][:], s["samples/value"][:]
        state, size = torch.from_numpy(s["state"][:]), s.attrs["resolution"]
    B = len(offset) - 1
    pixels = torch.from_numpy(np.concatenate([uv, value[:, None].astype(np.float32) / np.float32(255)], 1)).view(B, -1, 3)
    with torch.no_grad():
        return model.eval()(pixels, state, (state != -999).float(), (int(size[1]), int(size[0])))[:, 0].numpy()


with tempfile.TemporaryDirectory() as d:
    # Ours to PyTorch: what sgaps-train wrote, three lines.
    run = os.path.join(d, "run")
    tool("sgaps-train", "-q", "-o", run, "--init", os.path.join(golden, "checkpoint.h5"), "--set", "training.max_steps=1",
         "--set", "training.sampling=recorded", "--set", "training.validation=none", "--set", "training.loss=sampled_l2",
         "--set", "training.batch_size=2", os.path.join(golden, "recording.h5"))
    f = h5py.File(os.path.join(run, "last.h5"))["model_state_dict"]
    state = {n: torch.from_numpy(f[n][()]) for n in f}
    result = model.load_state_dict(state, strict=False)
    ok(not result.unexpected_keys and all(n.endswith("num_batches_tracked") for n in result.missing_keys),
       "load_state_dict takes a checkpoint of sgaps-train")
    out = os.path.join(d, "out.h5")
    tool("sgaps-reconstruct", "-q", "-m", os.path.join(run, "last.h5"), "--dtype", "f32", "-o", out,
         os.path.join(golden, "recording.h5"))
    with h5py.File(out) as g:
        ours = g[g.attrs["default"]]["reconstruction"][:]
    theirs = frames_of_torch()
    ok(np.linalg.norm(ours - theirs) <= 1e-5 * np.linalg.norm(theirs), "PyTorch makes the same frames of it")

    # PyTorch to ours: other weights, no sha256, BatchNorm's counters left in.
    torch.manual_seed(5)
    for p in model.parameters():
        p.data += 0.02 * torch.randn_like(p)
    theirs = frames_of_torch()
    back = os.path.join(d, "back.h5")
    with h5py.File(back, "w") as g, h5py.File(os.path.join(golden, "checkpoint.h5")) as c:
        for name, value in c.attrs.items():
            g.attrs[name] = value
        for name, t in model.state_dict().items():
            g["model_state_dict/" + name] = t.numpy()
    tool("sgaps-reconstruct", "-q", "-m", back, "--dtype", "f32", "-o", out, "--force", os.path.join(golden, "recording.h5"))
    with h5py.File(out) as g:
        ours = g[g.attrs["default"]]["reconstruction"][:]
    ok(np.linalg.norm(ours - theirs) <= 1e-5 * np.linalg.norm(theirs), "a state_dict written by PyTorch runs in the tools")
print("1..%d" % count)
