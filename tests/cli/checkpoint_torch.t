#!/usr/bin/python3
"""Checkpoints both ways between sgaps-train and PyTorch, in a few lines each, and the same frames on both sides; and the
three lines that read a recording. An error head is added in PyTorch by the three lines of sgaps-checkpoint(5)."""
import json
import os
import subprocess
import sys
import tempfile

import h5py
import numpy as np
import torch

root, tools = os.environ["SGAPS_ROOT"], os.environ["SGAPS_BIN"]
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(root, "tests/reference"))
from spt_torch import SparsePixelTransformer  # noqa: E402

torch.set_num_threads(1)
number = 0


def ok(good, text):
    global number
    number += 1
    print("ok" if good else "not ok", number, "-", text, flush=True)


def run(tool, *arguments):
    subprocess.run([os.path.join(tools, tool), "-q", *arguments], check=True)


def network(c):
    return SparsePixelTransformer(c["embed_dim"], c["num_heads"], c["num_encoder_layers"], c["num_decoder_layers"],
                                  c["architecture"]["feedforward_dim"], c["max_state_dim"], 0.0,
                                  c["architecture"]["skip"]["enabled"], c["architecture"]["skip"]["weight"],
                                  c["decoder"]["self_attention"], c["positional"]["max_freq"], c["coordinates"],
                                  c["decoder"]["query_patch"], c["decoder"]["head_width"])


def error_head_lines():
    with open(os.path.join(root, "man/sgaps-checkpoint.5")) as f:
        lines = [line for line in f if line.startswith(("model.error_head =", "last.register", "scale ="))]
    assert len(lines) == 3, lines
    return lines


def frames(model, path, session, norm=None, scales=None):
    """Every row of a session through torch, one at a time; scales: takes what the error head says of each."""
    out = []
    with h5py.File(path) as f:
        s = f["sessions/" + session]
        W, H = map(int, s.attrs["resolution"])
        S = model.state_encoder.linear.in_features
        for t in range(len(s["frame_id"])):
            o = s["samples/offset"][t:t + 2].astype(int)
            pixels = np.concatenate([s["samples/uv"][o[0]:o[1]],
                                     s["samples/value"][o[0]:o[1]][:, None].astype(np.float32) / np.float32(255)], 1)
            raw = s["state"][t]
            state, mask = np.zeros(S, np.float32), np.zeros(S, np.float32)
            mask[:len(raw)] = raw != -999
            state[:len(raw)] = raw
            if norm:
                state = (state - norm[0]) / norm[1]
            with torch.inference_mode():
                y = model(torch.from_numpy(pixels)[None], torch.from_numpy(state * mask)[None],
                          torch.from_numpy(mask)[None], (H, W))
                if scales is not None:
                    names = {"model": model, "F": torch.nn.functional}
                    exec(error_head_lines()[2], names)
                    scales.append(names["scale"][0, 0].numpy())
            out.append(y[0, 0].numpy())
    return np.stack(out)


def distance(path, session, want, name="reconstruction"):
    with h5py.File(path) as f:
        have = f[f"sessions/{session}/{name}"][:].astype(float)
    return np.linalg.norm(have - want) / np.linalg.norm(want)


print("1..8")
with tempfile.TemporaryDirectory() as tmp:
    os.chdir(tmp)
    make = os.path.join(root, "tests/support/make_recording.py")
    subprocess.run(["/usr/bin/python3", make, "full.h5", "frames=6", "size=24x16"], check=True)
    subprocess.run(["/usr/bin/python3", make, "sparse.h5", "images=0", "samples=19", "frames=5", "size=24x16"], check=True)
    for kind, more in (("pixel", []), ("patch", ["model.decoder.query_patch=4", "model.decoder.head_width=16",
                                                 "model.architecture.skip.enabled=true"])):
        sets = ["model=spt-tiny", "model.embed_dim=32", "model.num_heads=2", "model.state_norm=true",
                "model.resolution=[16,24]", "training.batch_size=4", "training.max_steps=6", "training.lr=1e-2",
                "training.warmup_steps=0", "model.error_head=true",
                "training.validation=none", "training.samples=[0.05,0.1]"] + more
        run("sgaps-train", "full.h5", "-o", kind, *[a for s in sets for a in ("--set", s)])
        last = kind + "/last.h5"

        # ours -> torch
        with h5py.File(last) as f:
            c = json.loads(f.attrs["config"])["model"]
            model, norm = network(c), (f["state_norm/mean"][:], f["state_norm/std"][:])
            last_conv = model.refine_head.out if kind == "patch" else model.refine_head[2]
            exec("".join(error_head_lines()[:2]), {"model": model, "last": last_conv, "nn": torch.nn})
            left = model.load_state_dict({k: torch.from_numpy(v[:]) for k, v in f["model_state_dict"].items()},
                                         strict=False)
        ok(not left.unexpected_keys and all(k.endswith("num_batches_tracked") for k in left.missing_keys),
           f"{kind}: load_state_dict takes a checkpoint of sgaps-train")
        model.eval()
        run("sgaps-reconstruct", "-m", last, "--dtype", "f32", "--importance=error", "sparse.h5", "-o", kind + ".h5")
        scales = {s: [] for s in "ab"}
        want = {s: frames(model, "sparse.h5", s, norm, scales[s]) for s in "ab"}
        d = max(distance(kind + ".h5", s, want[s]) for s in want)
        ok(d < 1e-5 and want["a"].std() > 0.01, f"{kind}: and gives the same frames, {d:.1e}")

        for s, b in scales.items():
            low, high = (np.stack([edge(x) for x in b])[:, None, None] for edge in (np.min, np.max))
            scales[s] = (np.stack(b) - low) / (high - low + 1e-9)
        d = max(distance(kind + ".h5", s, scales[s], "importance") for s in want)
        ok(d < 1e-4 and scales["a"].std() > 0.01, f"{kind}: and the same scale of the error, {d:.1e}")

        # torch -> ours, as a user of PyTorch writes it
        if kind == "patch":
            continue
        model = network(c)
        for p in model.parameters():
            torch.nn.init.normal_(p, 0, 0.1)
        c["state_norm"] = c["error_head"] = False
        with h5py.File("torch.h5", "w") as f:
            f.attrs.update(format="sgaps-checkpoint", format_version=1, model="spt", config=json.dumps({"model": c}))
            for k, v in model.state_dict().items():
                f["model_state_dict/_orig_mod." + k] = v.numpy()
        model.eval()
        run("sgaps-reconstruct", "-m", "torch.h5", "--dtype", "f32", "sparse.h5", "-o", "from-torch.h5")
        d = distance("from-torch.h5", "a", frames(model, "sparse.h5", "a"))
        ok(d < 1e-5, f"a checkpoint written by h5py from a state_dict gives the same frames, {d:.1e}")

    t = 2
    f = h5py.File("from-torch.h5"); s = f[f.attrs["default"]]; o = s["samples/offset"][t:t+2]
    uv, value, image = s["samples/uv"][o[0]:o[1]], s["samples/value"][o[0]:o[1]], s["reconstruction"][t]
    ok(uv.shape == (19, 2) and value.dtype == np.uint8 and image.shape == (16, 24), "three lines of h5py read a recording")
