#!/usr/bin/env python3
"""A few passes of a preset and nothing else, for a profiler: one_pass.py [--model spt-base] [--batch 1] [--kind train]"""
import argparse

from bench_ours import Ours
from workload import Work

p = argparse.ArgumentParser(description=__doc__)
p.add_argument("--device", default="cuda")
p.add_argument("--precision", default="bf16")
p.add_argument("--model", default="spt-base")
p.add_argument("--batch", type=int, default=1)
p.add_argument("--kind", choices=["infer", "entropy", "train"], default="train")
p.add_argument("--size", default="224x224")
p.add_argument("-n", "--samples", type=int, default=500)
p.add_argument("--passes", type=int, default=2)
a = p.parse_args()
W, H = (int(x) for x in a.size.split("x"))
ours = Ours(a.device, a.precision)
ours.open(Work(a.model, H, W, a.samples, a.batch, a.kind))
for _ in range(a.passes):
    ours.once()
ours.network.check()
ours.close()
