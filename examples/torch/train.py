#!/usr/bin/python3
"""Goes on training a checkpoint in PyTorch, and brings it back:

    sgaps-train rec.h5 -o runs/first
    train.py runs/first/best.h5 rec.h5 -o torch.h5 --steps 200 --samples 125
    sgaps-eval -m runs/first/best.h5 -m torch.h5 -n 125 test.h5

The loss is the mean absolute error on full frames; the place to try one of your own."""
import argparse

import numpy as np
import torch

from sgaps_torch import batch, forward, load, rows, save

parser = argparse.ArgumentParser(description="Goes on training a checkpoint in PyTorch.")
parser.add_argument("checkpoint")
parser.add_argument("recording", nargs="+")
parser.add_argument("-o", "--output", required=True)
parser.add_argument("--steps", type=int, default=200)
parser.add_argument("--samples", type=int, default=125, help="samples a frame, drawn anew each time")
parser.add_argument("--batch", type=int, default=8)
parser.add_argument("--lr", type=float, default=1e-4)
parser.add_argument("--seed", type=int, default=42)
a = parser.parse_args()

torch.manual_seed(a.seed)
rng = np.random.default_rng(a.seed)
model, config, norm = load(a.checkpoint)
data = [row for path in a.recording for row in rows(path, config["resolution"]) if row["image"] is not None]
if not data:
    raise SystemExit(f"{a.recording[0]}: has no full frames")
model.train()
optimizer = torch.optim.AdamW(model.parameters(), lr=a.lr, weight_decay=0.01)
first = last = 0.0
for step in range(a.steps):
    chosen = [data[i] for i in rng.choice(len(data), min(a.batch, len(data)), replace=False)]
    inputs = batch(chosen, config, norm, a.samples, rng)
    loss = (forward(model, config, inputs) - inputs["target"]).abs().mean()
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    first = first or loss.item()
    last = loss.item() if not last else 0.9 * last + 0.1 * loss.item()
print(f"{len(data)} frames, {a.steps} steps, loss {first:.4f} -> {last:.4f}")
save(a.output, model, config, norm, step=a.steps, history=f"train.py: {a.steps} steps of PyTorch on {a.checkpoint}")
