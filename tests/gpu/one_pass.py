#!/usr/bin/env python3
"""A few passes of a preset and nothing else, for a profiler: one_pass.py [--model spt-base] [--batch 1] [--kind train]

--trace FILE.json: the kernels of the passes, after three to warm up, as torch's profiler sees them; it needs no leave to read
the GPU's counters, as ncu does. kernels.py sums both."""
import argparse

from bench_ours import Ours
from workload import Work


def traced(path, passes):
    import torch
    torch.cuda.init()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as p:
        passes()
    p.export_chrome_trace(path)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--device", default="cuda")
    p.add_argument("--precision", default="bf16")
    p.add_argument("--model", default="spt-base")
    p.add_argument("--batch", type=int, default=1)
    p.add_argument("--kind", choices=["infer", "entropy", "train"], default="train")
    p.add_argument("--size", default="224x224")
    p.add_argument("-n", "--samples", type=int, default=500)
    p.add_argument("--passes", type=int, default=2)
    p.add_argument("--trace", metavar="FILE.json")
    a = p.parse_args()
    W, H = (int(x) for x in a.size.split("x"))
    ours = Ours(a.device, a.precision)

    def passes():
        for _ in range(a.passes):
            ours.once()
        ours.network.check()

    ours.open(Work(a.model, H, W, a.samples, a.batch, a.kind), passes=3 if a.trace else 0)
    if a.trace:
        traced(a.trace, passes)
    else:
        passes()
    ours.close()


if __name__ == "__main__":
    main()
