#!/usr/bin/python3
"""The AdamW operation on given gradients against torch.optim.AdamW, to 1e-6."""
import os
import subprocess

import numpy as np
import torch

program = os.path.join(os.environ["SGAPS_TESTS"], "golden", "adamw")
n, steps = 5000, 6
rng = np.random.default_rng(3)
start = rng.normal(0, 0.5, n).astype(np.float32)
gradients = (rng.normal(0, 1, (steps, n)) * 10.0 ** rng.uniform(-6, 0, (steps, n))).astype(np.float32)
p = torch.nn.Parameter(torch.from_numpy(start.copy()))
optimizer = torch.optim.AdamW([p], lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
want = []
for g in gradients:
    p.grad = torch.from_numpy(g.copy())
    optimizer.step()
    want.append(p.detach().numpy().copy())
print("1..2")
for number, backend in enumerate(("ref", "cpu"), 1):
    data = subprocess.run([program, backend, str(n), str(steps)], input=start.tobytes() + gradients.tobytes(),
                          stdout=subprocess.PIPE, check=True).stdout
    have = np.frombuffer(data, np.float32).reshape(steps, n)
    d = max(np.linalg.norm(a.astype(float) - b) / np.linalg.norm(b) for a, b in zip(have, want))
    moved = max(np.abs((a - start).astype(float) - (b - start)).max() for a, b in zip(have, want))
    good = d < 1e-6 and moved < 1e-6
    print("ok" if good else "not ok", number, "-", f"{backend}: {steps} steps as torch's, {d:.1e}, moves within {moved:.1e}")
