#!/usr/bin/python3
"""examples/torch and examples/h5py-tour.py: the owner's best.pth becomes a checkpoint and goes back, a checkpoint trains on in
PyTorch and comes back, and what a stranger's pickle may not do."""
import math
import os
import pickle
import subprocess
import sys
import tempfile

import h5py
import numpy as np
import omegaconf
import torch
import torch.nn as nn
import torch.nn.functional as F

root, tools = os.environ["SGAPS_ROOT"], os.environ["SGAPS_BIN"]
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(root, "examples/torch"))
import sgaps_torch  # noqa: E402

torch.set_num_threads(1)
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
number = failed = 0


def ok(good, text, *why):
    global number, failed
    number += 1
    failed += not good
    print("ok" if good else "not ok", number, "-", text, flush=True)
    if not good:
        for line in why:
            print("#", line)


def tool(name, *arguments):
    return subprocess.run([os.path.join(tools, name), "-q", *arguments], check=True, capture_output=True, text=True).stdout


def example(name, *arguments):
    p = subprocess.run(["/usr/bin/python3", os.path.join(root, "examples", name), *arguments], capture_output=True, text=True)
    return p.returncode, p.stdout, p.stderr.strip().split("\n")[-1]


class BasicBlock(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(d, d, 3, padding=1, bias=False), nn.BatchNorm2d(d)
        self.conv2, self.bn2 = nn.Conv2d(d, d, 3, padding=1, bias=False), nn.BatchNorm2d(d)

    def forward(self, x):
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + x)


class PositionalEncoding(nn.Module):
    def __init__(self, d, max_freq=10):
        super().__init__()
        self.register_buffer("freqs", torch.logspace(0, math.log10(max_freq), d // 4))

    def forward(self, x, uv):
        parts = [[], []]
        for f in self.freqs:
            for axis in (0, 1):
                parts[axis] += [torch.sin(2 * math.pi * f * uv[..., axis:axis + 1]), torch.cos(2 * math.pi * f * uv[..., axis:axis + 1])]
        return x + torch.cat(parts[0] + parts[1], 2)


class StateEncoder(nn.Module):
    def __init__(self, s, d):
        super().__init__()
        self.linear, self.norm = nn.Linear(s, d), nn.LayerNorm(d)

    def forward(self, state, mask):
        return self.norm(self.linear(state * mask)).unsqueeze(1)


class ServerModel(nn.Module):
    """The network as the Python server builds it: torch's stock layers, a query for every pixel, a grid from 0 to 1."""

    def __init__(self, c):
        super().__init__()
        d, a = c.embed_dim, c.architecture
        self.pixel_embed, self.state_encoder = nn.Linear(3, d), StateEncoder(c.max_state_dim, d)
        self.pos_encoder = PositionalEncoding(d)
        stock = dict(d_model=d, nhead=c.num_heads, dim_feedforward=a.feedforward_dim, dropout=a.dropout, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(**stock), c.num_encoder_layers)
        self.skip_proj = nn.Sequential(nn.Linear(d, d), nn.Dropout(0.2), nn.LayerNorm(d))
        self.decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(**stock), c.num_decoder_layers)
        self.refine_head = nn.Sequential(BasicBlock(d), BasicBlock(d), nn.Conv2d(d, 1, 3, padding=1), nn.Sigmoid())
        self.weight, self.dim = a.skip.weight, d
        self.register_buffer("query_grid", None)

    def forward(self, pixels, state, mask, resolution):
        H, W = resolution
        yy, xx = torch.meshgrid(torch.linspace(0, 1, H), torch.linspace(0, 1, W), indexing="ij")
        self.query_grid = torch.stack([xx.flatten(), yy.flatten()], 1)
        x = self.pos_encoder(self.pixel_embed(pixels), pixels[:, :, :2])
        memory = self.encoder(torch.cat([self.state_encoder(state, mask), x], 1))
        grid = self.query_grid.unsqueeze(0)
        y = self.decoder(self.pos_encoder(torch.zeros(1, H * W, self.dim), grid), memory)
        y = y + self.weight * self.skip_proj(memory[:, 1:].mean(1, keepdim=True))
        return self.refine_head(y.view(1, H, W, self.dim).permute(0, 3, 1, 2))


def distance(path, want):
    with h5py.File(path) as f:
        have = np.concatenate([s["reconstruction"][:] for s in f["sessions"].values()]).astype(float)
    return np.linalg.norm(have - want) / np.linalg.norm(want)


def best_pth():
    """A best.pth as the server writes it, and the model."""
    torch.manual_seed(3)
    config = omegaconf.OmegaConf.create({"model": {
        "name": "spt", "embed_dim": 32, "num_heads": 4, "num_encoder_layers": 2, "num_decoder_layers": 2, "max_state_dim": 12,
        "sentinel_value": -999.0, "architecture": {"feedforward_dim": 48, "dropout": 0.1,
                                                   "skip": {"enabled": True, "weight": 0.7, "dropout": 0.2}}},
        "training": {"lr": 4e-4, "betas": [0.9, 0.999]}})
    model = ServerModel(config.model)
    for p in model.parameters():
        nn.init.normal_(p, 0, 0.1)
    for block in model.refine_head[:2]:
        block.bn1.running_mean.normal_(0, 0.1)
        block.bn2.running_var.uniform_(0.5, 2)
    model.eval()
    with torch.no_grad():  # the grid of a forward pass is in the state dict then
        model(torch.rand(1, 5, 3), torch.zeros(1, 12), torch.zeros(1, 12), (4, 4))
    torch.save({"model_state_dict": model.state_dict(), "config": config, "epoch": 7}, "best.pth")
    torch.save(model.state_dict(), "bare.pth")
    return model


def test_pth():
    server = best_pth()
    code, said, error = example("torch/convert.py", "best.pth", "best.h5")
    ok(code == 0 and "4 heads" in said, "best.pth becomes best.h5", said, error)
    ok("sound" in subprocess.run([tools + "/sgaps-info", "--check", "best.h5"], capture_output=True, text=True).stdout,
       "which is sound")
    tool("sgaps-reconstruct", "-m", "best.h5", "--dtype", "f32", "sparse.h5", "-o", "rebuilt.h5")
    want = []
    for row in sgaps_torch.rows("sparse.h5"):
        pixels = np.concatenate([row["uv"], row["value"][:, None] / np.float32(255)], 1).astype(np.float32)
        state, mask = np.full(12, -999, np.float32), np.zeros(12, np.float32)
        n = len(row["state"])
        state[:n], mask[:n] = row["state"], row["state"] != -999
        with torch.inference_mode():
            want.append(server(*(torch.from_numpy(a)[None] for a in (pixels, state, mask)), (16, 24))[0, 0].numpy())
    d = distance("rebuilt.h5", np.stack(want))
    ok(d < 1e-5 and np.std(want) > 0.01, f"and rebuilds the frames that the server's code does, {d:.1e}")

    code, said, error = example("torch/convert.py", "best.h5", "again.pth")
    again = torch.load("again.pth")
    left = server.load_state_dict({k: v for k, v in again["model_state_dict"].items()}, strict=False)
    same = torch.load("bare.pth")
    ok(code == 0 and not left.unexpected_keys and left.missing_keys in ([], ["query_grid"]) and
       all(torch.equal(same[k], v) for k, v in again["model_state_dict"].items()), "and goes back, bit-equal", said, error)

    code, _, error = example("torch/convert.py", "bare.pth", "bare.h5")
    ok(code and "--heads" in error, "a state dict alone lacks the heads", error)
    code, _, error = example("torch/convert.py", "bare.pth", "bare.h5", "--heads", "4", "--resolution", "[16,24]")
    ok(code == 0, "and is converted when it is told", error)

    class Hostile:
        def __reduce__(self):
            return os.system, ("touch was-run",)
    with open("hostile.pth", "wb") as f:
        pickle.dump({"model_state_dict": Hostile()}, f)
    torch.save({"model_state_dict": Hostile()}, "hostile2.pth")
    codes = [example("torch/convert.py", p, "x.h5")[0] for p in ("hostile.pth", "hostile2.pth")]
    ok(all(codes) and not os.path.exists("was-run") and not os.path.exists("x.h5"), "a pickle that would run a command is refused")


def test_training():
    tool("sgaps-train", "full.h5", "-o", "run", "-j", "1", *(a for s in (
        "model.embed_dim=16", "model.num_heads=2", "model.num_encoder_layers=1", "model.num_decoder_layers=1",
        "model.architecture.feedforward_dim=16", "model.decoder.query_patch=4", "model.decoder.head_width=8",
        "model.resolution=[16,24]", "training.batch_size=4", "training.max_steps=8", "training.warmup_steps=0",
        "training.lr=1e-2") for a in ("--set", s)))
    model, config, norm = sgaps_torch.load("run/best.h5")
    ok(config["prefill"] == "linear" and norm is not None, "a default model: patches, prefill, state statistics")
    rows = list(sgaps_torch.rows("sparse.h5"))
    inputs = sgaps_torch.batch(rows, {**config, "resolution": [16, 24]}, norm)
    with torch.inference_mode():
        want = sgaps_torch.forward(model, config, inputs)[:, 0].numpy()
    _, _, error = example("torch/convert.py", "run/best.h5", "own.pth")
    code, said, _ = example("torch/convert.py", "own.pth", "own.h5")
    ok(code == 0 and "standardised" in error, "it becomes a .pth and comes back", said, error)
    back, told, its = sgaps_torch.load("own.h5")
    ok(all(torch.equal(v, back.state_dict()[k]) for k, v in model.state_dict().items()) and
       all(np.array_equal(a, b) for a, b in zip(norm, its)) and
       all(told[k] == config[k] for k in ("prefill", "coordinates", "decoder", "positional", "resolution", "num_heads")),
       "with its tensors, its kind and its statistics", told, config)
    tool("sgaps-reconstruct", "-m", "run/best.h5", "--dtype", "f32", "sparse.h5", "-o", "rebuilt.h5")
    d = distance("rebuilt.h5", want)
    ok(d < 1e-4, f"the loader's frames are those of sgaps-reconstruct, {d:.1e}")

    code, said, error = example("torch/train.py", "run/best.h5", "full.h5", "-o", "torch.h5", "--steps", "12", "--samples", "30",
                                "--lr", "3e-3", "--batch", "4")
    before, after = (float(x) for x in said.split("loss")[1].split("->")) if code == 0 else (0, 1)
    ok(code == 0 and after < before, f"train.py trains it on: {said.strip()}", error)
    ok("sound" in subprocess.run([tools + "/sgaps-info", "--check", "torch.h5"], capture_output=True, text=True).stdout,
       "what it wrote is sound, its sum too")
    ok("torch.h5" in tool("sgaps-eval", "-m", "run/best.h5", "-m", "torch.h5", "-n", "30", "--tsv", "full.h5"),
       "and sgaps-eval compares both")
    tool("sgaps-train", "full.h5", "-o", "on", "--init", "torch.h5", "--set", "training.max_steps=1", "--set", "training.batch_size=2")
    ok(os.path.exists("on/last.h5"), "and sgaps-train goes on from it")


with tempfile.TemporaryDirectory() as tmp:
    os.chdir(tmp)
    make = ["/usr/bin/python3", os.path.join(root, "tests/support/make_recording.py")]
    subprocess.run([*make, "full.h5", "frames=8", "size=24x16"], check=True)
    subprocess.run([*make, "sparse.h5", "images=0", "samples=19", "frames=4", "size=24x16"], check=True)
    with h5py.File("sparse.h5", "r+") as f:
        for s in f["sessions"].values():  # off the pixels' centres: four samples on a circle have two triangulations
            s["samples/uv"][:] += np.random.default_rng(5).uniform(-0.01, 0.01, s["samples/uv"].shape).astype(np.float32)
    subprocess.run([*make, "both.h5", "samples=19", "frames=4", "size=24x16"], check=True)
    test_pth()
    test_training()
    code, said, error = example("h5py-tour.py", "both.h5", "run/best.h5")
    ok(code == 0 and "pixels: True" in said and "largest weight" in said, "the tour of h5py", said, error)
    ok(tool("sgaps-info", "--check", "own.h5") is not None, "and the recording that it writes is sound")

print(f"1..{number}")
sys.exit(failed > 0)
