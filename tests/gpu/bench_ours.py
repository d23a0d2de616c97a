#!/usr/bin/env python3
"""Our side of bench.py: lib/spt on a device, timed with CUDA events on the backend's own stream."""
import argparse
import ctypes as c
import os
import time

import numpy as np

from network import Batch, Network, preset
from workload import Work, frames, serve, summary


class Events:
    """Two CUDA events on our stream, through the driver."""

    def __init__(self, network):
        self.cuda = c.CDLL("libcuda.so.1")
        library = c.CDLL(os.environ["SGAPS_CUDA_LIBRARY"])
        library.sgaps_cuda_stream.restype, library.sgaps_cuda_stream.argtypes = c.c_void_p, [c.c_void_p]
        self.stream = c.c_void_p(library.sgaps_cuda_stream(network.l.network_ctx(network.n)))
        self.events = c.c_void_p(), c.c_void_p()
        for e in self.events:
            self.must(self.cuda.cuEventCreate(c.byref(e), 0))

    @staticmethod
    def must(status):
        if status:
            raise RuntimeError(f"the CUDA driver returned {status}")

    def start(self):
        self.must(self.cuda.cuEventRecord(self.events[0], self.stream))

    def stop(self):
        """Milliseconds since start."""
        ms = c.c_float()
        self.must(self.cuda.cuEventRecord(self.events[1], self.stream))
        self.must(self.cuda.cuEventSynchronize(self.events[1]))
        elapsed = getattr(self.cuda, "cuEventElapsedTime_v2", self.cuda.cuEventElapsedTime)
        self.must(elapsed(c.byref(ms), *self.events))
        return ms.value


class Clock:
    """The same where there are no events: the host's clock around a device that has been waited for."""

    def __init__(self, network):
        self.network = network

    def start(self):
        self.network.check()
        self.at = time.perf_counter()

    def stop(self):
        self.network.check()
        return (time.perf_counter() - self.at) * 1e3


class Ours:
    def __init__(self, device, precision):
        self.device, self.precision, self.network, self.work = device, precision, None, None

    def close(self):
        if self.network:
            self.network.__exit__()
        self.network = None

    def open(self, work=None, passes=3):
        """passes: to warm up, of which the third is what every later one is."""
        self.close()
        n = self.network = Network(self.device, self.precision)
        self.work = work
        free = n.memory()[0]
        self.clock = Clock(n) if self.device == "ref" or "emulated" in os.environ.get("SGAPS_CUDA_LIBRARY", "emulated") else Events(n)
        if work:
            self.prepare(n, work)
            for _ in range(passes):
                self.once()
            n.check()
            # Now, when the other side does nothing: the device knows only what it has left.
            self.bytes = free - n.memory()[0]

    def prepare(self, n, w):
        config = preset(w.model)
        n.create(config, seed=1)
        draw = np.random.default_rng(3)     # the last convolution starts at zero: weights that say something
        start = n.parameters()
        n.load(lambda name: start[name] if "running" in name or "freqs" in name else
               start[name] + np.float32(0.02) * draw.standard_normal(start[name].size, dtype=np.float32))
        pixels, state, mask, planes, self.target = frames(w.H, w.W, w.N, w.B, config.max_state_dim, config.prefill)
        self.batch = Batch(w.H, w.W, pixels, state, mask, None, planes)
        self.step = 0

    def once(self):
        n, w = self.network, self.work
        if w.kind != "train":
            n.forward(self.batch, importance="entropy" if w.kind == "entropy" else None)
            if w.kind == "live":
                self.picture = n.output()
            return
        self.step += 1
        n.target(self.batch, self.target)
        n.train_pass(self.batch, "l1", step=self.step)
        n.adamw(self.step, lr=1e-4)

    def measure(self, once, runs, rounds):
        times = []
        for _ in range(rounds):
            self.clock.start()
            for _ in range(runs):
                once()
            times.append(self.clock.stop() / runs)
        self.network.check()
        return summary(times)

    def answer(self, q):
        if q["do"] == "product":
            self.open()
            self.network.product(q["size"])
            for _ in range(3):
                self.network.product()
            result = self.measure(self.network.product, 10, 7)
            result["tflops"] = 2 * q["size"] ** 3 / result["ms"] / 1e9
            return dict(result, device=self.network.device)
        if q["do"] == "close":
            self.close()
            return {}
        work = Work(*q["work"])
        if work != self.work or not self.network:
            self.open(work)
        if q["do"] == "agree":      # for PyTorch: the same weights, and what came out with them
            self.network.forward(self.batch)
            np.savez(q["path"], picture=self.network.output(), **self.network.parameters())
            return {}
        result = self.measure(self.once, q["runs"], q["rounds"])
        return dict(result, bytes=self.bytes, flops=self.network.flops(work.H, work.W, work.N))


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--device", default="cuda")
    p.add_argument("--precision", default="bf16")
    a = p.parse_args()
    serve(Ours(a.device, a.precision).answer)


if __name__ == "__main__":
    main()
