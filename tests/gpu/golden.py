#!/usr/bin/env python3
"""The network on a device against PyTorch's golden cases: golden.py [--device cuda] [CASE...]

In fp32 the stages, the output, entropy and importance, losses, gradients, running statistics and three steps of AdamW;
in bf16 the output, entropy and losses. Prints TAP. Needs numpy and h5py, and $SGAPS_NETWORK.
"""
import argparse
import glob
import json
import os
import sys

import h5py
import numpy as np

from network import Batch, Network, Tap, config_of, distance, scale_map

ROOT = os.environ.get("SGAPS_ROOT") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LOSSES = ("sampled_l2", "l2", "l1")
CLOSE = {"fp32": 1e-4, "bf16": 1e-2}


class Case:
    """A folder of tests/golden: the batch, what it is compared with, and what PyTorch said."""

    def __init__(self, folder):
        self.name = os.path.basename(folder.rstrip("/"))
        self.checkpoint = h5py.File(os.path.join(folder, "checkpoint.h5"))
        self.expected = h5py.File(os.path.join(folder, "expected.h5"))
        model = json.loads(self.checkpoint.attrs["config"])["model"]
        self.config = config_of(model)
        self.losses = LOSSES + ("nll",) * self.config.error_head
        with h5py.File(os.path.join(folder, "recording.h5")) as f:
            session = f["sessions/golden"]
            self.target = session["frames"][()].astype(np.float32) / np.float32(255)
            state = session["state"][()].astype(np.float32)
            offset, uv, value = (session["samples"][k][()] for k in ("offset", "uv", "value"))
        B, H, W = self.target.shape
        self.counts = np.diff(offset.astype(np.int64))
        N = self.counts.max()
        pixels = np.zeros((B, N, 3), np.float32)
        self.index, self.value, self.select = (np.zeros((B, N), k) for k in (np.int32, np.float32, np.uint8))
        size = np.array([W, H], np.float32) - (1 if model["coordinates"] == "seed" else 0)
        for b, n in enumerate(self.counts):
            own = slice(int(offset[b]), int(offset[b + 1]))
            pixels[b, :n, :2] = uv[own]
            pixels[b, :n, 2] = value[own].astype(np.float32) / np.float32(255)
            x, y = np.minimum((uv[own].astype(np.float32) * size).astype(np.int64), [W - 1, H - 1]).T
            self.index[b, :n] = y * W + x
            self.value[b, :n] = self.target[b, y, x]
            self.select[b, :n] = 1
        mask = state != np.float32(self.config.sentinel_value)
        prefill = self.expected["prefill"][()] if "prefill" in self.expected else None
        self.batch = Batch(H, W, pixels, state, mask, self.counts, prefill)

    def start(self, n):
        n.create(self.config)
        n.load(lambda name: self.checkpoint["model_state_dict"][name][()])
        n.target(self.batch, self.target, self.index, self.value, self.select)


def stage_distance(case, name, rows, want):
    """Our rows of channels against torch's tokens (B,T,D) or image (B,C,H,W), without the rows of padding."""
    if name.startswith("refine"):
        want = np.moveaxis(want, 1, -1)
    if name == "refine.shuffled":
        rows = rows[:, :want.shape[-1]]     # the planes of prefill lie behind
    have, want = (a.reshape(case.batch.B, -1, rows.shape[-1]) for a in (rows, want))
    if name == "pixel_tokens":
        have = have[:, 1:]
    if have.shape[1] in (case.batch.N, case.batch.N + 1) and not name.startswith("refine"):
        state = have.shape[1] - case.batch.N
        keep = [slice(0, int(n) + state) for n in case.counts]
        have, want = (np.concatenate([a[b, k] for b, k in enumerate(keep)]) for a in (have, want))
    return distance(have, want)


def compare(tap, where, close, pairs):
    """pairs of (what, have, want); one line for all."""
    far = [f"{what}: {d:.3g}" for what, d in ((what, distance(h, w)) for what, h, w in pairs) if not d <= close]
    for line in far:
        tap.note(line)
    return tap.ok(not far, f"{where} within {close:g}")


def evaluation(tap, n, case, precision, close):
    where, want, seen = f"{case.name} {precision}", case.expected["eval"], []
    case.start(n)
    n.on_stage(lambda name, rows: seen.append((name, rows)))
    n.forward(case.batch, importance="entropy")
    n.on_stage(None)
    if precision == "fp32":
        far = {name: stage_distance(case, name, rows, want["stages"][name][()]) for name, rows in seen
               if name in want["stages"]}
        layers = case.config.num_encoder_layers + case.config.num_decoder_layers
        for name, d in far.items():
            if not d <= close:
                tap.note(f"stage {name}: {d:.3g}")
        tap.ok(len(far) > layers and all(d <= close for d in far.values()), f"{where}: {len(far)} stages within {close:g}")
    for _ in range(2):      # without stages the queries may go in other pieces; the second time, from a recording
        n.forward(case.batch, importance="entropy")
        maps = [("entropy", n.map(), want["entropy"][()])]
        if precision == "fp32":
            maps.append(("importance", scale_map(n.map()), want["importance"][()]))
        compare(tap, f"{where}: output and entropy", close, [("output", n.output(), want["output"][()]), *maps])
    # A loss is a small difference of two pictures, squared: their rounding weighs more in it.
    compare(tap, f"{where}: losses in evaluation", 3 * close if precision == "bf16" else close,
            [(kind, n.loss(kind), want["loss"][kind][()]) for kind in case.losses])
    n.check()


def training(tap, n, case):
    where, want = f"{case.name} fp32", case.expected["train"]
    for kind in case.losses:
        case.start(n)
        loss = n.train_pass(case.batch, kind)
        compare(tap, f"{where}: training loss {kind}", CLOSE["fp32"], [(kind, loss, want[kind]["loss"][()])])
        if "grad" in want[kind]:
            have, pairs, thirds = n.gradients(), [], 0
            for name, g in want[kind]["grad"].items():
                g, h = g[()].ravel(), have[name]
                if name.endswith("in_proj_bias"):       # the gradient of a key's bias is zero in theory
                    third = slice(g.size // 3, 2 * g.size // 3)
                    thirds = max(thirds, np.abs(g[third] - h[third]).max())
                    g, h = np.delete(g, third), np.delete(h, third)
                pairs.append((name, h, g))
            compare(tap, f"{where}: {len(pairs)} gradients of {kind}", CLOSE["fp32"], pairs)
            tap.ok(thirds <= 1e-6, f"{where}: the keys' biases have none ({thirds:.1g})")
    have = n.parameters()
    compare(tap, f"{where}: running statistics", CLOSE["fp32"],
            [(name, have[name], v[()]) for name, v in want["running"].items() if name in have])
    n.check()


def adamw(tap, n, case):
    for kind in case.losses:
        want = case.expected["adamw"][kind]
        case.start(n)
        losses = []
        for step in range(1, len(want["loss"]) + 1):
            losses.append(n.train_pass(case.batch, kind))
            n.adamw(step)
        n.forward(case.batch)
        compare(tap, f"{case.name} fp32: three steps on {kind}", 1e-2,
                [("losses", losses, want["loss"][()]), ("output", n.output(), want["output"][()])])
    n.check()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--device", default="cuda")
    p.add_argument("--precision", choices=CLOSE, action="append")
    p.add_argument("cases", nargs="*")
    a = p.parse_args()
    tap = Tap()
    cases = a.cases or sorted(glob.glob(os.path.join(ROOT, "tests/golden/*/checkpoint.h5")))
    for precision in a.precision or CLOSE:
        with Network(a.device, precision) as n:
            tap.note(f"{a.device}: {n.device}, {precision}")
            for path in cases:
                case = Case(path if os.path.isdir(path) else os.path.dirname(path))
                evaluation(tap, n, case, precision, CLOSE[precision])
                if precision == "fp32":
                    training(tap, n, case)
                    adamw(tap, n, case)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
