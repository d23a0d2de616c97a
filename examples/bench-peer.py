#!/usr/bin/python3
"""Speed of sgaps-bench against PyTorch on the same weights, in turn.

  bench-peer.py [CHECKPOINT] [-n 200] [-j 1] [--rounds 5] [--batch 1] [--blas DIR]... [--json]

Without a checkpoint an spt-small with random weights is made. PyTorch runs tests/reference/spt_torch.py; every
combination of BLAS library, instruction set, memory layout and tracing is tried first, and the fastest one runs
against sgaps-bench, round by round, so that a busy machine is busy for both. Debian's python3-torch calls whatever
libblas.so.3 is: the reference BLAS unless another package is installed. Optimised ones that are installed (or lie in
a folder given with --blas) are tried too, through LD_LIBRARY_PATH.

Needs python3-torch, python3-h5py, python3-numpy, and the tools in $SGAPS_BIN, bin/ or PATH.
"""
import argparse
import glob
import hashlib
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "reference"))

SPT_SMALL = {"name": "spt-small", "embed_dim": 128, "num_heads": 4, "num_encoder_layers": 3, "num_decoder_layers": 2,
             "max_state_dim": 64, "sentinel_value": -999.0, "coordinates": "centres", "resolution": [112, 112],
             "positional": {"kind": "sinusoidal", "max_freq": 10.0}, "prefill": "none",
             "decoder": {"self_attention": "none", "query_patch": 1, "head_width": 128},
             "architecture": {"feedforward_dim": 256, "dropout": 0.1,
                              "skip": {"enabled": False, "weight": 1.0, "dropout": 0.2}}}


def build(config):
    from spt_torch import SparsePixelTransformer
    arch, dec = config["architecture"], config["decoder"]
    skip = arch.get("skip", {})
    return SparsePixelTransformer(config["embed_dim"], config["num_heads"], config["num_encoder_layers"],
                                  config["num_decoder_layers"], arch["feedforward_dim"], config["max_state_dim"],
                                  arch["dropout"], skip.get("enabled", False), skip.get("weight", 1.0),
                                  dec["self_attention"], config["positional"]["max_freq"], config["coordinates"],
                                  dec.get("query_patch", 1), dec.get("head_width", 0),
                                  config.get("prefill", "none") == "linear")


def write_checkpoint(path):
    import h5py
    import numpy as np
    import torch
    torch.manual_seed(0)
    model = build(SPT_SMALL)
    with h5py.File(path, "w", libver="earliest") as f:
        f.attrs.update(format="sgaps-checkpoint", format_version=np.int32(1), format_minor=np.int32(0), model="spt",
                       config=json.dumps({"model": SPT_SMALL}), checkpoint_key="bench", epoch=np.int64(0),
                       step=np.int64(0), metric="none", score=0.0, seed=np.uint64(0), creator="bench-peer.py",
                       history="bench-peer.py", created_at="2026-01-01T00:00:00Z", data_uuid="")
        g, sha = f.create_group("model_state_dict", track_order=True), hashlib.sha256()
        for name, t in model.state_dict().items():
            if not name.endswith("num_batches_tracked"):
                a = np.ascontiguousarray(t.numpy(), dtype=np.float32)
                g.create_dataset(name, data=a)
                sha.update(a.tobytes())
        g.attrs["sha256"] = sha.hexdigest()


def read_checkpoint(path):
    import h5py
    import torch
    with h5py.File(path) as f:
        config = json.loads(f.attrs["config"])["model"]
        model = build(config)
        model.load_state_dict({k: torch.from_numpy(v[:]) for k, v in f["model_state_dict"].items()}, strict=False)
    return config, model


# --- the child: PyTorch under one setting of BLAS and instruction set; a line of JSON in, a line out ---

def child(a):
    import torch
    torch.set_num_threads(a.threads)
    config, model = read_checkpoint(a.checkpoint)
    H, W = config["resolution"]
    N, B, S = a.samples, a.batch, config["max_state_dim"]
    pixels, state, mask = torch.rand(B, N, 3), torch.randn(B, S), torch.ones(B, S)
    prefill = torch.rand(B, 2, H, W) if config.get("prefill", "none") == "linear" else None
    target = torch.rand(B, 1, H, W)

    class Fixed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, p, s, m):
            return self.model(p, s, m, (H, W), None, prefill)

    def prepare(kind, layout, how):
        model.to(memory_format=torch.channels_last if layout == "channels_last" else torch.contiguous_format)
        fixed = Fixed()
        if kind == "train":
            fixed.train()
            optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01)

            def step():
                optimizer.zero_grad(set_to_none=True)
                torch.nn.functional.l1_loss(fixed(pixels, state, mask), target).backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
            return step
        fixed.eval()
        run = fixed
        if how != "eager":
            with torch.no_grad():
                run = torch.jit.freeze(torch.jit.trace(fixed, (pixels, state, mask), check_trace=False))
                if how == "optimized":
                    run = torch.jit.optimize_for_inference(run)

        def infer():
            with torch.inference_mode():
                run(pixels, state, mask)
        return infer

    ready = {}
    for line in sys.stdin:
        q = json.loads(line)
        key = (q["kind"], q["layout"], q["how"])
        try:
            if key not in ready:
                ready.clear()       # one model, one layout at a time
                ready[key] = prepare(*key)
                ready[key]()
            wall, cpu = [], []
            for _ in range(q["runs"]):
                w, c = time.perf_counter(), time.process_time()
                ready[key]()
                wall.append(time.perf_counter() - w)
                cpu.append(time.process_time() - c)
            answer = {"wall": statistics.median(wall) * 1e3, "cpu": statistics.median(cpu) * 1e3}
        except Exception as error:          # a setting that this build cannot run is no setting
            ready.clear()
            answer = {"error": str(error).splitlines()[0][:200]}
        print(json.dumps(answer), flush=True)


class Peer:
    def __init__(self, a, blas, isa):
        env = dict(os.environ, OMP_NUM_THREADS=str(a.threads), OPENBLAS_NUM_THREADS=str(a.threads),
                   BLIS_NUM_THREADS=str(a.threads))
        env.pop("OPENBLAS_CORETYPE", None)
        if blas:
            env["LD_LIBRARY_PATH"] = blas + ":" + env.get("LD_LIBRARY_PATH", "")
        if isa:
            env["ATEN_CPU_CAPABILITY"] = isa
        self.process = subprocess.Popen([sys.executable, os.path.abspath(__file__), "--child", a.checkpoint, "-n",
                                         str(a.samples), "-j", str(a.threads), "--batch", str(a.batch)],
                                        env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, kind, layout, how, runs):
        self.process.stdin.write(json.dumps(dict(kind=kind, layout=layout, how=how, runs=runs)) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def fastest(a, kind):
    """The best of all settings, each run a few times."""
    folders = [None] + a.blas + [d for d in glob.glob("/usr/lib/*/*") if os.path.exists(d + "/libblas.so.3")
                                 and not d.endswith("/blas")]
    hows = ["eager", "frozen", "optimized"] if kind == "infer" else ["eager"]
    best = None
    for blas, isa in itertools.product(folders, [None, "avx512"]):
        peer = Peer(a, blas, isa)
        for layout, how in itertools.product(["contiguous", "channels_last"], hows):
            r = peer.ask(kind, layout, how, 2)
            setting = dict(blas=blas or "as installed", isa=isa or "default", layout=layout, how=how)
            print(f"# {kind}: {setting} {r.get('cpu', r.get('error'))}", file=sys.stderr)
            if "error" not in r and (best is None or r["cpu"] < best[0]):
                best = (r["cpu"], blas, isa, layout, how, setting)
        peer.close()
    return best


def ours(a, kind):
    r = json.loads(subprocess.run([a.tool, kind, "--model", a.checkpoint, "-n", str(a.samples), "-j", str(a.threads),
                                   "--batch", str(a.batch), "-r", str(a.runs), "--json"], check=True,
                                  stdout=subprocess.PIPE).stdout)
    return {"wall": r["results"][0]["median_ms"], "cpu": r["results"][0]["processor_ms"]}


def compare(a, kind):
    _, blas, isa, layout, how, setting = fastest(a, kind)
    peer = Peer(a, blas, isa)
    us, them = [], []
    for _ in range(a.rounds):
        us.append(ours(a, kind))
        them.append(peer.ask(kind, layout, how, a.runs))
    peer.close()
    result = {"kind": kind, "torch_setting": setting, "rounds": a.rounds}
    for clock in ("wall", "cpu"):
        mine, theirs = (statistics.median(r[clock] for r in rs) for rs in (us, them))
        result[clock] = {"sgaps_ms": mine, "torch_ms": theirs,
                         "ratio": statistics.median(t[clock] / u[clock] for u, t in zip(us, them))}
    return result


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("checkpoint", nargs="?")
    p.add_argument("-n", "--samples", type=int, default=200)
    p.add_argument("-j", "--threads", type=int, default=1)
    p.add_argument("--batch", type=int, default=1)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--runs", type=int, default=5, help="in each round")
    p.add_argument("--blas", action="append", default=[], help="folder with another libblas.so.3")
    p.add_argument("--kind", choices=["infer", "train"], action="append")
    p.add_argument("--json", action="store_true")
    p.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.child:
        return child(a)
    found = [os.environ.get("SGAPS_BIN", ""), os.path.join(ROOT, "bin")]
    a.tool = next((t for t in (shutil.which("sgaps-bench", path=d) for d in found if d) if t), "sgaps-bench")
    with tempfile.TemporaryDirectory() as folder:
        if not a.checkpoint:
            a.checkpoint = os.path.join(folder, "spt-small.h5")
            write_checkpoint(a.checkpoint)
        results = [compare(a, kind) for kind in a.kind or ["infer", "train"]]
    if a.json:
        print(json.dumps(results, indent=2))
        return None
    for r in results:
        print(f"{r['kind']}: " + ", ".join(f"{c} {r[c]['sgaps_ms']:.1f} ms against {r[c]['torch_ms']:.1f} ms: "
                                           f"{r[c]['ratio']:.2f} times as fast" for c in ("wall", "cpu")))
        print(f"  PyTorch at its best: {r['torch_setting']}")
    return None


if __name__ == "__main__":
    main()
