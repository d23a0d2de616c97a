#!/usr/bin/env python3
"""PyTorch's side of bench.py: tests/reference/spt_torch.py in every way that is worth a try, timed with CUDA events.

What is done for it: the queries' positional encoding is computed once, as ours is; attention is SDPA (the reference's
MultiheadAttention without weights); the head is channels_last; AdamW is the fused one; frames come from pinned memory.
"""
import argparse
import os
import sys
import time

import numpy as np
import torch

from network import preset
from workload import Work, frames, serve, summary

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "reference"))
from spt_torch import SparsePixelTransformer  # noqa: E402

# name: (compile mode or None, weights in bf16 instead of autocast)
WAYS = {"eager": (None, False), "compile": ("default", False), "graphs": ("reduce-overhead", False),
        "autotune": ("max-autotune", False), "eager-bf16": (None, True), "compile-bf16": ("default", True),
        "graphs-bf16": ("reduce-overhead", True), "autotune-bf16": ("max-autotune", True)}


class Encoding(torch.nn.Module):
    """The positional encoding, with that of the queries, which are the same in every frame, kept."""

    def __init__(self, encoder, queries):
        super().__init__()
        self.register_buffer("freqs", encoder.freqs)
        self.register_buffer("kept", encoder(queries), persistent=False)

    def forward(self, uv):
        if uv.dim() == 2:
            return self.kept
        angle = [2 * torch.pi * self.freqs * uv[..., i:i + 1] for i in (0, 1)]
        return torch.cat([torch.stack([a.sin(), a.cos()], -1).flatten(-2) for a in angle], -1).to(uv.dtype)


class Transformer(SparsePixelTransformer):
    def queries(self, H, W, dtype):
        return self.uv

    def keep_queries(self, H, W, device):
        self.uv = super().queries(H, W, torch.float32).to(device)
        self.pos_encoder = Encoding(self.pos_encoder, self.uv)


def build(work, device):
    c = preset(work.model)
    model = Transformer(c.embed_dim, c.num_heads, c.num_encoder_layers, c.num_decoder_layers, c.feedforward_dim,
                        c.max_state_dim, c.dropout, False, 1.0, "full" if c.self_attention else "none", c.max_freq,
                        "seed" if c.coordinates else "centres", c.query_patch, c.head_width, bool(c.prefill)).to(device)
    model.keep_queries(work.H // c.query_patch, work.W // c.query_patch, device)
    model.refine_head.to(memory_format=torch.channels_last)
    return model, c


class Peer:
    def __init__(self, device):
        self.cuda, self.device, self.key = device == "cuda", torch.device(device), None
        torch.backends.cudnn.benchmark = True

    def prepare(self, work, way):
        mode, pure = WAYS[way]
        self.model = self.run = self.optimizer = None
        if self.cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            if hasattr(torch, "_dynamo"):
                torch._dynamo.reset()
        model, config = build(work, self.device)
        kind = torch.bfloat16 if pure else torch.float32
        model.train(work.kind == "train")
        if pure:
            kept = model.pos_encoder.freqs      # in bf16 its angles would be another function
            model.to(kind)
            model.pos_encoder.freqs = kept
        arrays = frames(work.H, work.W, work.N, work.B, config.max_state_dim, config.prefill)
        hosts = [None if a is None else torch.from_numpy(a) for a in arrays]
        self.hosts = [a if a is None or not self.cuda else a.pin_memory() for a in hosts]
        self.model, self.kind, self.pure, self.work = model, kind, pure, work
        self.run = model if mode is None else torch.compile(model, mode=None if mode == "default" else mode, dynamic=False)
        if work.kind == "train":
            extra = {"fused": True} if self.cuda else {}
            self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01, **extra)

    def batch(self):
        return [None if a is None else a.to(self.device, non_blocking=True) for a in self.hosts]

    def forward(self, pixels, state, mask, planes):
        size = (self.work.H, self.work.W)
        if self.pure:
            state, mask = state.to(self.kind), mask.to(self.kind)
            pixels, planes = pixels.to(self.kind), planes if planes is None else planes.to(self.kind)
        if planes is not None:
            planes = planes.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.cuda and not self.pure):
            return self.run(pixels, state, mask, size, None, planes)

    def once(self):
        if hasattr(torch, "compiler") and self.cuda:
            torch.compiler.cudagraph_mark_step_begin()
        *inputs, target = self.batch()
        if self.work.kind != "train":
            with torch.no_grad():
                self.picture = self.forward(*inputs)
            return
        self.optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.l1_loss(self.forward(*inputs)[:, 0].float(), target)
        loss.backward()
        self.optimizer.step()

    def measure(self, once, runs, rounds):
        times = []
        for _ in range(rounds):
            if self.cuda:
                start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                start.record()
            else:
                start = time.perf_counter()
            for _ in range(runs):
                once()
            if self.cuda:
                stop.record()
                stop.synchronize()
                times.append(start.elapsed_time(stop) / runs)
            else:
                times.append((time.perf_counter() - start) * 1e3 / runs)
        return summary(times)

    def agree(self, path):
        """Our weights into PyTorch's network: how far the pictures are apart."""
        saved = np.load(path)
        own = self.model.state_dict()
        for name in own:
            if name in saved and "freqs" not in name:
                own[name].copy_(torch.from_numpy(saved[name]).reshape(own[name].shape))
        self.once()
        ours, theirs = saved["picture"].astype(np.float64), self.picture[:, 0].float().cpu().numpy().astype(np.float64)
        return {"distance": float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))}

    def ceilings(self, size, copy):
        """The matrix rate and the copy bandwidth (bytes read and written) of the device, on random numbers."""
        a, b = (torch.randn(size, size, device=self.device, dtype=torch.bfloat16) for _ in range(2))
        x = torch.randn(copy // 4, device=self.device)
        y = torch.empty_like(x)
        result = {}
        for name, once, amount in (("tflops", lambda: a @ b, 2 * size ** 3 / 1e9),
                                   ("tb_s", lambda: y.copy_(x), 2 * copy / 1e9)):
            self.measure(once, 3, 1)
            result[name] = amount / self.measure(once, 10, 7)["ms"]
        return dict(result, torch=torch.__version__, device=torch.cuda.get_device_name() if self.cuda else "cpu")

    def answer(self, q):
        if q["do"] == "ceilings":
            return self.ceilings(q["size"], q["copy"])
        key = (Work(*q["work"]), q["way"])
        if key != self.key:
            self.key = None
            began = time.perf_counter()
            self.prepare(*key)
            for _ in range(3):
                self.once()
            if self.cuda:       # what a step needs, without what finding the fastest kernels took
                torch.cuda.synchronize()
                torch.cuda.reset_peak_memory_stats()
            self.key, self.took = key, time.perf_counter() - began
        if q["do"] == "agree":
            return self.agree(q["path"])
        result = dict(self.measure(self.once, q["runs"], q["rounds"]), started_s=self.took)
        if self.cuda:           # a graph's memory is its own, and counts as reserved alone
            reserved, graphs = torch.cuda.max_memory_reserved(), (WAYS[q["way"]][0] or "default") != "default"
            result.update(bytes=reserved if graphs else torch.cuda.max_memory_allocated(), reserved=reserved)
        return result


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--device", default="cuda")
    a = p.parse_args()
    serve(Peer(a.device).answer)


if __name__ == "__main__":
    main()
