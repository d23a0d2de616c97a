#!/usr/bin/python3
"""sgaps-replay in lockstep against a server, and sgaps-sample's closed loop on what was recorded, choose the same coordinates: the
same library, once over a network and once not. And what sgaps-replay sent is what the recording holds."""
import os
import subprocess
import sys

import h5py
import numpy as np

sys.path.insert(0, os.path.join(os.environ.get("SGAPS_ROOT", "."), "tests/support"))
from live import ROOT, Server, Tap, checkpoint, eventually, folder, recordings, run, values

tap = Tap()
FRAMES = 24


def samples(path):
    """uv, value and the set's number of every frame, and the full frames."""
    with h5py.File(path) as f:
        s = f[f.attrs["default"]]
        o = s["samples/offset"][()]
        return ([s["samples/uv"][o[t]:o[t + 1]] for t in range(len(o) - 1)],
                [s["samples/value"][o[t]:o[t + 1]] for t in range(len(o) - 1)],
                s["samples/set"][()] if "samples/set" in s else None, s["frames"][()] if "frames" in s else None)


def agree(where, film, name, latency, interval, settings, models=None, *how):
    data = os.path.join(where, name.replace(" ", "-").replace(",", ""))
    keys = [x for s in settings + ["mask_update.fixed_interval=%d" % interval, "sampling.default_sample_count=60"]
            for x in ("--set", s)]
    server = Server("--record", data, "--set", "server.resolution=[48,64]", "--set", "server.stale_ms=0", *keys,
                    *(["--checkpoints", models] if models else []), small=False)
    code, out, said = run("replay", film, server.url, "--lockstep", interval, "--latency", latency, "--count", FRAMES,
                          "--debug", "--json", *how)
    tap.ok(code == 0, name + ": every due answer came", out, said)
    found = eventually(lambda: recordings(data))
    server.stop()
    if not tap.ok(found, name + ": it is recorded", "\n".join(server.lines)):
        return
    uv, value, sets, frames = samples(found[0])
    tap.ok(len(uv) == FRAMES and all((values(frames[t], uv[t]) == value[t]).all() for t in range(FRAMES)),
           name + ": what was recorded are the frames' pixels at the coordinates of the sets")
    again = os.path.join(where, "again.h5")
    model = ["-m", os.path.join(models, "default", "best.h5")] if models else ["--importance=residual"]
    code, _, said = run("sample", "-q", "--force", *model, *keys, "--latency", latency, "-o", again, found[0])
    tap.ok(code == 0, name + ": sgaps-sample on what was recorded", said)
    uv2, value2, sets2, _ = samples(again)
    same = sum(a.tobytes() == b.tobytes() and c.tobytes() == d.tobytes() for a, b, c, d in zip(uv, uv2, value, value2))
    tap.same((same, list(sets2)), (FRAMES, list(sets)), name + ": sgaps-sample chooses the same coordinates")
    tap.ok(len(set(x.tobytes() for x in uv)) > FRAMES // interval - latency, name + ": they change")


def main():
    where = folder()
    film, models = os.path.join(where, "film.h5"), os.path.join(where, "models")
    subprocess.run(["/usr/bin/python3", os.path.join(ROOT, "tests/support/make_recording.py"), film, "sessions=a",
                    "frames=30"], check=True)
    checkpoint(os.path.join(models, "default"))
    residual = ["sampling.strategy=adaptive", "sampling.importance=residual"]
    agree(where, film, "linear, adaptive by residual", 1, 1, residual)
    agree(where, film, "latency 3, a set every second frame", 3, 2, residual)
    agree(where, film, "a checkpoint, hybrid by entropy", 1, 1, ["sampling.strategy=hybrid"], models)
    agree(where, film, "binary, adaptive by residual", 1, 1, residual, None, "--binary")
    tap.done()


main()
