#!/usr/bin/env python3
"""Forward passes and training steps on a GPU, ours and PyTorch's in turn: bench.py [--out FILE.json] [--model spt-base]...

First ours alone, row by row. Then for each row the ways of running the reference model that fit it (eager, compiled, compiled
with CUDA graphs; autocast, or bf16 weights where nothing is trained) are tried shortly, and the best runs against ours, round
by round, each side in a process of its own. A forward pass takes frames in the host's memory and leaves the picture on the
device; `live` brings it back to the host; a training step is forward, L1 on whole frames, backward, AdamW. Times by CUDA
events, medians of rounds. FILE.json is whole after each row, and what has been measured by --seconds, or until SIGTERM, is
the table.

  bench.py --device cpu --model spt-tiny --size 16x16 -n 12 --batch 1 --runs 1 --rounds 2    a try without a GPU

Needs numpy, torch, $SGAPS_NETWORK and $SGAPS_CUDA_LIBRARY. --without-torch: ours alone.
"""
import argparse
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time

from workload import Work

HERE = os.path.dirname(os.path.abspath(__file__))
BATCHES = {"spt-base": [1, 8, 32], "spt-fast": [1, 8, 32], "spt-seed": [1]}
KINDS = ["infer", "entropy", "live", "train"]


class Child:
    """One side. After a failure it is begun anew: a fault on the device stays with the process that met it."""

    def __init__(self, deadline, program, *arguments):
        self.command = [sys.executable, "-B", os.path.join(HERE, program), *arguments]
        self.deadline, self.process = deadline, None

    def ask(self, **question):
        left = self.deadline - time.monotonic()
        if left <= 0:
            return {"error": "no time is left"}
        if not self.process:
            self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = ""
        try:
            self.process.stdin.write(json.dumps(question) + "\n")
            self.process.stdin.flush()
            if not select.select([self.process.stdout], [], [], left)[0]:
                self.end()
                return {"error": "its time was over"}
            line = self.process.stdout.readline()
        except BrokenPipeError:
            pass
        answer = json.loads(line) if line else {"error": "its process has ended"}
        if "error" in answer:
            self.end()
        return answer

    def end(self):
        if self.process:
            self.process.kill()
            self.process.wait()
        self.process = None


def ways_for(a, work):
    """What may be PyTorch's best: graphs where launches cost more than work; bf16 weights only where nothing is trained."""
    if a.way:
        return a.way
    if a.device != "cuda":
        return ["eager"]
    compiled = "graphs" if work.B == 1 else "compile"
    return ["eager", compiled if work.kind == "train" else compiled + "-bf16"]


def best_way(a, torch, work, tried):
    for way in ways_for(a, work):
        tried[way] = torch.ask(do="time", work=work, way=way, runs=a.runs, rounds=2)
        print(f"# {work.model} {work.kind} batch {work.B}, PyTorch {way}: "
              f"{tried[way].get('ms', tried[way].get('error'))}", file=sys.stderr, flush=True)
    good = {way: r["ms"] for way, r in tried.items() if "ms" in r}
    return min(good, key=good.get) if good else None


def middle(answers):
    """Of several rounds' answers: the median of the medians, the extremes, the largest memory."""
    good = [r for r in answers if "ms" in r]
    if not good:
        return answers[-1]
    ms = sorted(r["ms"] for r in good)
    return dict(good[-1], ms=ms[len(ms) // 2], least=min(r["least"] for r in good), most=max(r["most"] for r in good),
                bytes=max(r.get("bytes", 0) for r in good))


def compare(a, ours, torch, row):
    """Beside PyTorch. Where both have no room on the device at once, each one's time alone stays."""
    work = Work(*(row[field] for field in Work._fields))
    ours.ask(do="close")
    row["torch_tried"] = {}
    way = best_way(a, torch, work, row["torch_tried"])
    if not way:
        return
    row.update(torch=row["torch_tried"][way], torch_way=way, in_turn=False)
    mine, theirs = [], []
    for _ in range(a.rounds):
        mine.append(ours.ask(do="time", work=work, runs=a.runs, rounds=3))
        theirs.append(torch.ask(do="time", work=work, way=way, runs=a.runs, rounds=3))
        if "error" in mine[-1] or "error" in theirs[-1]:
            break
    if "ms" in middle(mine) and "ms" in middle(theirs):
        row.update(ours=middle(mine), torch=middle(theirs), in_turn=True)
    if "ms" in row["ours"]:
        row["ratio"] = row["torch"]["ms"] / row["ours"]["ms"]
    if work.kind == "infer":
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "weights.npz")
            said = ours.ask(do="agree", work=work, path=path)
            row["distance"] = said if said else torch.ask(do="agree", work=work, way="eager", path=path)


def of_rate(row, rate):
    """Share of the matrix rate; a training step is taken as three forward passes."""
    r = row["ours"]
    return r["flops"] * row["B"] * (3 if row["kind"] == "train" else 1) / (r["ms"] * 1e-3) / (rate * 1e12)


def tried(row):
    return ", ".join(f"{way} {r['ms']:.3f}" if "ms" in r else f"{way}: {r['error']}"
                     for way, r in row.get("torch_tried", {}).items())


def table(result):
    rate = (result.get("ceilings") or {}).get("tflops") or result["product"].get("tflops")
    lines = ["| model | batch | pass | ours ms | PyTorch ms | its best way | times as fast | frames/s | of the matrix rate | memory GB, ours and PyTorch's | PyTorch's ways, ms |",
             "|---|---|---|---|---|---|---|---|---|---|---|"]
    for row in result["rows"]:
        o, t = row["ours"], row.get("torch") or {}
        if "ms" not in o:
            lines.append(f"| {row['model']} | {row['B']} | {row['kind']} | {o.get('error')} | | | | | | | {tried(row)} |")
            continue
        lines.append(f"| {row['model']} | {row['B']} | {row['kind']} | {o['ms']:.3f} | "
                     f"{format(t['ms'], '.3f') if 'ms' in t else t.get('error', '')} | {row.get('torch_way', '')} | "
                     f"{format(row['ratio'], '.2f') if 'ratio' in row else ''}{'' if row.get('in_turn', True) else ', not in turn'} | "
                     f"{row['B'] / o['ms'] * 1e3:.0f} | {format(of_rate(row, rate), '.0%') if rate else ''} | "
                     f"{o['bytes'] / 1e9:.2f}, {format(t['bytes'] / 1e9, '.2f') if 'bytes' in t else ''} | {tried(row)} |")
    for row in result["rows"]:
        if row["kind"] == "entropy" and "ms" in row["ours"]:
            plain = [r for r in result["rows"] if r["kind"] == "infer" and (r["model"], r["B"]) == (row["model"], row["B"])]
            if plain and "ms" in plain[0]["alone"]:
                base = plain[0]["alone"]["ms"]
                lines.append(f"\n{row['model']} batch {row['B']}: the entropy takes {(row['alone']['ms'] - base) / base:.1%} of a forward pass.")
        if "distance" in row:
            lines.append(f"\n{row['model']} batch {row['B']}: our picture and PyTorch's (eager, autocast) are {row['distance']} apart.")
    return "\n".join(lines)


def keep(path, result):
    if path:
        with open(path + ".part", "w") as f:
            json.dump(result, f, indent=1)
        os.replace(path + ".part", path)


def measure(a, ours, torch, result, gpu):
    W, H = (int(x) for x in a.size.split("x"))
    result["product"] = ours.ask(do="product", size=8192 if gpu else 64)
    for model in a.model or BATCHES:
        for B in a.batch or BATCHES.get(model, [1]):
            for kind in a.kind or KINDS:
                work = Work(model, H, W, a.samples, B, kind)
                alone = ours.ask(do="time", work=work, runs=a.runs, rounds=7)
                result["rows"].append(dict(work._asdict(), ours=alone, alone=alone))
                keep(a.out, result)
    if not torch:
        return
    ours.ask(do="close")
    result["ceilings"] = torch.ask(do="ceilings", size=8192 if gpu else 64, copy=(4 << 30) if gpu else (1 << 20))
    for row in result["rows"]:
        if row["kind"] in ("infer", "train"):
            compare(a, ours, torch, row)
            keep(a.out, result)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--device", default="cuda", help="cuda, or cpu for a try: then ours runs on --ours")
    p.add_argument("--ours", help="our device (cuda; ref with --device cpu)")
    p.add_argument("--precision", help="ours (bf16; fp32 with --device cpu)")
    p.add_argument("--model", action="append")
    p.add_argument("--batch", type=int, action="append")
    p.add_argument("--kind", choices=KINDS, action="append")
    p.add_argument("--way", action="append", help="PyTorch's, in place of those that fit")
    p.add_argument("--size", default="224x224", help="WxH")
    p.add_argument("-n", "--samples", type=int, default=500)
    p.add_argument("--runs", type=int, default=10, help="passes in one timing")
    p.add_argument("--rounds", type=int, default=5, help="of the two sides in turn")
    p.add_argument("--seconds", type=float, default=1e6, help="in all; what is not done by then is left out")
    p.add_argument("--without-torch", action="store_true")
    p.add_argument("--out")
    a = p.parse_args()
    deadline, gpu = time.monotonic() + a.seconds, a.device == "cuda"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    ours = Child(deadline, "bench_ours.py", "--device", a.ours or ("cuda" if gpu else "ref"), "--precision",
                 a.precision or ("bf16" if gpu else "fp32"))
    torch = None if a.without_torch else Child(deadline, "bench_torch.py", "--device", a.device)
    result = {"size": a.size, "samples": a.samples, "rows": [], "product": {}}
    try:
        measure(a, ours, torch, result, gpu)
    finally:
        for child in (ours, torch):
            if child:
                child.end()
        print(table(result))
        print(f"\nproduct {result['product']}\nceilings {result.get('ceilings')}", flush=True)
        keep(a.out, result)
    failed = not result["rows"] or any("ms" not in r["ours"] for r in result["rows"])
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
