#!/usr/bin/python3
"""Live and offline are one loop: a session that sgaps-replay plays in lockstep against sgaps-serve, and sgaps-sample on what
was recorded of it, choose the same coordinates. And the pipeline of the manual: eight sessions, figures as JSON."""
import json
import os
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.environ.get("SGAPS_ROOT", "."), "tests/support"))
from live import ROOT, Server, Tap, checkpoint, eventually, folder, recording, recordings, run

tap = Tap()
home = folder()
full = home + "/full.h5"
code, _, said = run("import", "-q", "--size", "32x32", "--stride", 2, "--select", "map20-a", "-o", full,
                    os.path.join(ROOT, "examples/data/doom.h5"))
assert code == 0, said
checkpoint(home + "/runs/default")


def same(name, latency, every, *settings):
    sets = [x for s in ("mask_update.fixed_interval=%d" % every,) + settings for x in ("--set", s)]
    data = home + "/data-" + name.replace(" ", "-")
    server = Server("--checkpoints", home + "/runs", "--record", data, *sets)
    code, _, said = run("replay", "-q", "--debug", "--lockstep", every, "--latency", latency, "--checkpoint-key", "default", full,
                        server.url)
    ended = server.stop()
    if not tap.same((code, ended), (0, 0), "%s: played in lockstep %s" % (name, said)):
        return
    path = recordings(data)[0]
    live = recording(data, "*", 0)
    again = home + "/again.h5"
    code, _, said = run("sample", "-q", "-n", 40, *sets, "-m", home + "/runs/default/best.h5", "--latency", latency, path, "-o",
                        again)
    assert code == 0, said
    import h5py
    with h5py.File(again) as f:
        s = f[f.attrs["default"]]
        uv, offset, number = s["samples/uv"][()], s["samples/offset"][()], s["samples/set"][()]
    frames = len(live["frame_id"])
    tap.ok(frames > 10 and np.array_equal(offset, live["offset"]) and uv.tobytes() == live["uv"].tobytes(),
           "%s: sgaps-sample chooses the same coordinates, bit for bit, on all %d frames" % (name, frames),
           [t for t in range(min(len(offset), frames)) if not np.array_equal(uv[40 * t:40 * t + 40], live["uv"][40 * t:40 * t + 40])])
    tap.ok(len(set(number)) >= frames // every - latency and live["value"].any(), "from %d sets" % len(set(number)), list(number))


same("adaptive", 1, 5, "sampling.strategy=adaptive")
same("adaptive three frames late", 3, 4, "sampling.strategy=adaptive", "sampling.importance=variance")
same("hybrid every frame", 1, 1, "sampling.strategy=hybrid")

server = Server("--checkpoints", home + "/runs", "--record", home + "/data")
code, out, said = run("replay", full, server.url, "--sessions", 8, "--fps", 20, "--json")
figures = json.loads(out) if code == 0 else {}
tap.same((code, figures.get("sessions"), figures.get("sessions_failed"), figures.get("errors")), (0, 8, 0, {}),
         "sgaps-replay --sessions 8 --json: all eight play to the end " + said)
frames = figures.get("frames_sent", 0) // 8
tap.ok(frames > 10 and figures["coordinates_received"] >= 8 and figures["latency_ms"]["p95"] > 0, "with figures", out)
server.stop()
files = recordings(home + "/data")
tap.same([len(recording(home + "/data", os.path.basename(f)[-19:-3], 0)["frame_id"]) for f in files], [frames] * 8,
         "and each is a recording of all its frames")
code, _, said = run("info", "--check", *files)
tap.same(code, 0, "which sgaps-info --check finds sound " + said)
tap.done()
