"""Checkpoints and recordings of SGAPS in PyTorch: load, save, and what the network is fed. Runs on Debian's python3-torch,
python3-h5py and python3-scipy.

    model, config, norm = load("best.h5")
    inputs = batch(rows("rec.h5"), config, norm, samples=125)
    frames = forward(model, config, inputs)          # (B,1,H,W), white = 1
    save("torch.h5", model, config, norm)
"""
import hashlib
import json
import os
import sys

import h5py
import numpy as np
import scipy.interpolate
import scipy.spatial
import torch

_here = os.path.dirname(os.path.abspath(__file__))
# The network itself: beside this file where it is installed, among the tests in the sources.
for _folder in (_here, os.path.join(_here, "../../tests/reference")):
    if os.path.exists(os.path.join(_folder, "spt_torch.py")):
        sys.path.insert(0, _folder)
        break
from spt_torch import SparsePixelTransformer  # noqa: E402

# What a configuration that lacks a key was made with: see sgaps-config(5).
MISSING = {"prefill": "none", "coordinates": "centres", "state_norm": False, "sentinel_value": -999.0, "error_head": False,
           "positional": {"kind": "sinusoidal", "max_freq": 10},
           "decoder": {"self_attention": "none", "query_patch": 1, "head_width": 0}}


def network(c):
    """The network of a configuration's group `model`, with random weights."""
    c = {**MISSING, **c}
    decoder = {**MISSING["decoder"], **c["decoder"]}
    skip = c["architecture"].get("skip", {"enabled": False, "weight": 1.0})
    return SparsePixelTransformer(c["embed_dim"], c["num_heads"], c["num_encoder_layers"], c["num_decoder_layers"],
                                  c["architecture"]["feedforward_dim"], c["max_state_dim"],
                                  c["architecture"].get("dropout", 0.0), skip["enabled"], skip["weight"],
                                  decoder["self_attention"], c["positional"]["max_freq"], c["coordinates"],
                                  decoder["query_patch"], decoder["head_width"], c["prefill"] == "linear",
                                  c["error_head"])


def load(path):
    """(model in evaluation mode, configuration's group `model`, (mean, std) of the state or None)."""
    with h5py.File(path) as f:
        config = {**MISSING, **json.loads(f.attrs["config"])["model"]}
        norm = (f["state_norm/mean"][:], f["state_norm/std"][:]) if "state_norm" in f else None
        tensors = {n: torch.from_numpy(t[()]) for n, t in f["model_state_dict"].items()}
    model = network(config)
    model.load_state_dict(tensors, strict=False)
    left = set(model.state_dict()) ^ set(tensors)
    if any(not name.endswith("num_batches_tracked") for name in left):
        raise ValueError(f"{path}: tensors and configuration differ: {sorted(left)[:5]}")
    return model.eval(), config, norm


def save(path, model, config, norm=None, **attributes):
    """A checkpoint that every tool takes. attributes: checkpoint_key, epoch, step, score ... see sgaps-checkpoint(5)."""
    tensors = {n.replace("_orig_mod.", ""): t for n, t in model.state_dict().items()
               if not n.endswith(("num_batches_tracked", "query_grid"))}
    digest = hashlib.sha256()
    with h5py.File(path, "w") as f:
        f.attrs.update({"format": "sgaps-checkpoint", "format_version": 1, "model": "spt",
                        "config": json.dumps({"model": {**config, "state_norm": norm is not None}}),
                        "creator": "sgaps_torch.py", **attributes})
        group = f.create_group("model_state_dict", track_order=True)
        for name, tensor in tensors.items():
            data = tensor.detach().cpu().numpy().astype("<f4")
            group[name] = data
            digest.update(data.tobytes())
        group.attrs["sha256"] = digest.hexdigest()
        if norm is not None:
            f["state_norm/mean"], f["state_norm/std"] = norm


def rows(path, size=None):
    """Every row of a recording with its full frame: dicts of image u8 (H,W) or None, state f32, uv and value of the samples.
    size: (H,W) to which frames are averaged down."""
    with h5py.File(path) as f:
        for s in f["sessions"].values():
            frame_of = {int(t): k for k, t in enumerate(s["frames_t"])} if "frames_t" in s else None
            for t in range(len(s["frame_id"])):
                row = {"state": s["state"][t] if "state" in s else np.zeros(0, np.float32), "image": None}
                k = t if frame_of is None else frame_of.get(t)
                if "frames" in s and k is not None:
                    row["image"] = s["frames"][k]
                    if size:
                        h, w = row["image"].shape[0] // size[0], row["image"].shape[1] // size[1]
                        cut = row["image"][:h * size[0], :w * size[1]].reshape(size[0], h, size[1], w)
                        row["image"] = cut.mean((1, 3)).round().astype(np.uint8)
                if "samples/uv" in s:
                    first, end = map(int, s["samples/offset"][t:t + 2])
                    row["uv"], row["value"] = s["samples/uv"][first:end], s["samples/value"][first:end]
                yield row


def draw(image, n, rng):
    """n samples of a frame at random pixels: uv (n,2), value u8 (n)."""
    H, W = image.shape
    at = rng.choice(H * W, n, replace=False)
    y, x = at // W, at % W
    return np.stack([(x + 0.5) / W, (y + 0.5) / H], 1).astype(np.float32), image[y, x]


def planes(uv, value, H, W):
    """What `prefill: linear` adds the network's output to: linear interpolation of the samples, nearest outside their hull; and
    the distance to the nearest over the samples' spacing. (2,H,W)"""
    at = uv * [W, H]
    y, x = np.mgrid[0:H, 0:W] + 0.5
    points = np.stack([x.ravel(), y.ravel()], 1)
    distance, nearest = scipy.spatial.cKDTree(at).query(points)
    flat = value[nearest]
    if len(at) >= 3 and np.linalg.matrix_rank(at - at[0]) == 2:
        inside = scipy.interpolate.LinearNDInterpolator(at, value)(points)
        flat = np.where(np.isnan(inside), flat, inside)
    return np.stack([flat, distance / np.sqrt(H * W / len(at))]).reshape(2, H, W).astype(np.float32)


def batch(chosen, config, norm=None, samples=0, rng=None):
    """The network's inputs for some rows: with samples, so many are drawn from each frame, else the recorded ones are used.
    All rows need the same number. target is (B,1,H,W), NaN where there is no frame."""
    rng = rng or np.random.default_rng(0)
    S, sentinel = config["max_state_dim"], config["sentinel_value"]
    H, W = chosen[0]["image"].shape if chosen[0]["image"] is not None else config["resolution"]
    pixels, states, masks, pre, target = [], [], [], [], []
    for row in chosen:
        uv, value = draw(row["image"], samples, rng) if samples else (row["uv"], row["value"])
        value = value.astype(np.float32) / np.float32(255)
        pixels.append(np.concatenate([uv, value[:, None]], 1))
        state, mask = np.zeros(S, np.float32), np.zeros(S, np.float32)
        n = min(S, len(row["state"]))
        mask[:n] = row["state"][:n] != sentinel
        state[:n] = row["state"][:n]
        if norm is not None:
            state = (state - norm[0]) / norm[1]
        states.append(np.where(mask > 0, state, 0).astype(np.float32))
        masks.append(mask)
        if config["prefill"] == "linear":
            pre.append(planes(uv, value, H, W))
        target.append(row["image"] / 255.0 if row["image"] is not None else np.full((H, W), np.nan))
    tensor = lambda a: torch.from_numpy(np.stack(a).astype(np.float32))  # noqa: E731
    return {"pixels": tensor(pixels), "state": tensor(states), "mask": tensor(masks), "pre": tensor(pre) if pre else None,
            "target": tensor(target)[:, None]}


def forward(model, config, inputs):
    """(B,1,H,W). Sides that are no multiple of query_patch are computed on the next multiple and cropped."""
    H, W = inputs["target"].shape[-2:]
    p = {**MISSING["decoder"], **config["decoder"]}["query_patch"]
    Hp, Wp = -(-H // p) * p, -(-W // p) * p
    pre = inputs["pre"]
    if pre is not None:
        pre = torch.nn.functional.pad(pre, (0, Wp - W, 0, Hp - H), mode="replicate")
    out = model(inputs["pixels"], inputs["state"], inputs["mask"], (Hp, Wp), pre=pre)
    return out[..., :H, :W]
