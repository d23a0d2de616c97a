#!/usr/bin/env python3
"""Ten training steps on a device beside the processor's, with dropout and AdamW, and twice with the same bits:
steps.py [--device cuda] [--against ref]

Dropout's masks are the same on every device, so the losses must follow each other. Prints TAP. Needs numpy and
$SGAPS_NETWORK.
"""
import argparse
import sys

import numpy as np

from network import Batch, Network, Tap, preset

STEPS = 10
# what the loss of a step may differ by: at first, and at the end, when rounding has been through Adam ten times
CLOSE = {"fp32": (1e-4, 1e-2), "bf16": (1e-2, 5e-2)}
MODELS = {
    "a query a pixel": (dict(name="spt-tiny", embed_dim=32), 24, 20),
    "full self-attention, skip": (dict(name="spt-seed", embed_dim=32, num_heads=2, num_encoder_layers=1,
                                       num_decoder_layers=2, feedforward_dim=48, skip=1), 12, 14),
    "patches with prefill": (dict(name="spt-fast", embed_dim=64, num_heads=2, num_encoder_layers=2, num_decoder_layers=2,
                                  feedforward_dim=96, head_width=32), 48, 40),
}


def frames(H, W, B=2, N=30, S=64, prefill=False):
    """Smooth pictures, samples of them with a different count for each frame, states with gaps."""
    draw = np.random.default_rng(5)
    y, x = np.mgrid[0:H, 0:W]
    target = np.stack([0.5 + 0.3 * np.sin(x / 3 + b) * np.cos(y / 4 - b) for b in range(B)]).astype(np.float32)
    counts = np.array([N - 7 * b for b in range(B)])
    pixels = np.zeros((B, N, 3), np.float32)
    for b, n in enumerate(counts):
        at = draw.choice(H * W, n, replace=False)
        pixels[b, :n] = np.stack([(at % W + 0.5) / W, (at // W + 0.5) / H, target[b].ravel()[at]], 1)
    mask = (draw.random((B, S)) < 0.6).astype(np.float32)
    planes = draw.random((B, 2, H, W)) if prefill else None
    return Batch(H, W, pixels, draw.normal(size=(B, S)), mask, counts, planes), target


def run(device, precision, model, H, W):
    """Losses of the steps, the weights after them, the picture then."""
    with Network(device, precision) as n:
        config = preset(**model)
        batch, target = frames(H, W, prefill=bool(config.prefill))
        n.create(config, seed=3)
        n.target(batch, target)
        losses = []
        for step in range(1, STEPS + 1):
            losses.append(n.train_pass(batch, "l1", seed=42, step=step))
            n.adamw(step)
        n.forward(batch, importance="entropy")
        weights, picture, entropy = n.parameters(), n.output(), n.map()
        n.check()
    return np.array(losses), weights, picture, entropy


def same_bits(a, b):
    return (a[0].tobytes() == b[0].tobytes() and all(a[1][k].tobytes() == b[1][k].tobytes() for k in a[1])
            and a[2].tobytes() == b[2].tobytes() and a[3].tobytes() == b[3].tobytes())


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--device", default="cuda")
    p.add_argument("--against", default="ref")
    p.add_argument("--precision", choices=CLOSE, action="append")
    a = p.parse_args()
    tap = Tap()
    for title, (model, H, W) in MODELS.items():
        want = run(a.against, "fp32", model, H, W)[0]
        tap.ok(want[-1] < 0.95 * want[0], f"{title}: {a.against}'s loss falls from {want[0]:.4f} to {want[-1]:.4f}")
        for precision in a.precision or CLOSE:
            first, second = (run(a.device, precision, model, H, W) for _ in range(2))
            off = np.abs(first[0] - want) / want
            start, end = CLOSE[precision]
            if not tap.ok(off[0] <= start and (off <= end).all(),
                          f"{title} {precision}: {STEPS} losses within {start:g} at first and {end:g} of {a.against}'s "
                          f"(worst {off.max():.1g})"):
                tap.note(f"{a.device} {first[0]}")
                tap.note(f"{a.against} {want}")
            tap.ok(same_bits(first, second), f"{title} {precision}: losses, weights and picture twice with the same bits")
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
