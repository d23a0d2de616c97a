#!/usr/bin/python3
"""From end to end: a client in lockstep sends frames with their full image, over the wire and into a recording; sgaps-sample's
closed loop on that recording, with the same settings, asks for the very coordinates that the server asked for."""
import asyncio
import os
import sys

sys.path.insert(0, os.path.join(os.environ.get("SGAPS_ROOT", "."), "tests/support"))
import h5py
import numpy as np
from live import Client, Server, Tap, base64_png, checkpoint, folder, picture, recording, run

tap = Tap()
FRAMES = 8


async def play(server, key):
    async with Client(server.url) as c:
        ack = await c.start(key, debug=True)
        for k in range(FRAMES):
            image = picture(3 * k)
            await c.say("frame_data_debug", **c.frame(k, image=image, state=(0.1 * k, -1.5),
                                                      full_frame_base64=base64_png(image)))
            await c.wait("uv_coordinates", k + 2)
        return ack


def compare(name, key, settings, offline, runs):
    data = folder()
    options = [x for s in settings for x in ("--set", s)]
    server = Server("--record", data, *(["--checkpoints", runs] if runs else []), *options)
    ack = asyncio.run(play(server, key))
    server.stop()
    rec = recording(data, ack["session_id"])
    if not tap.ok(rec is not None and len(rec["frame_id"]) == FRAMES, name + ": recorded", server.lines):
        return
    out = os.path.join(data, "offline.h5")
    code, _, said = run("sample", "-n", 40, "--latency", 1, *options, *offline, rec["path"], "-o", out)
    tap.same((code, said), (0, ""), name + ": sgaps-sample takes the recording")
    with h5py.File(out) as f:
        s = f[f.attrs["default"]]
        uv, sets = s["samples/uv"][:], s["samples/set"][:]
    tap.same(list(sets), list(range(FRAMES)), name + ": a set with every frame")
    tap.ok(uv.shape == rec["uv"].shape and uv.tobytes() == rec["uv"].tobytes(), name + ": the same coordinates, bit for bit",
           np.flatnonzero((uv != rec["uv"]).any(1)) if uv.shape == rec["uv"].shape else (uv.shape, rec["uv"].shape))


runs = folder()
checkpoint(os.path.join(runs, "alpha"), steps=2)
model = ["-m", os.path.join(runs, "alpha", "best.h5")]
always = ["mask_update.mode=adaptive", "mask_update.adaptive.quality_threshold=1"]
compare("adaptive", "alpha", ["sampling.strategy=adaptive", *always], model, runs)
compare("hybrid by variance", "alpha", ["sampling.strategy=hybrid", "sampling.importance=variance",
                                        "mask_update.fixed_interval=1"], model, runs)
compare("importance_only over linear", "any", ["sampling.strategy=importance_only", "sampling.importance=residual", *always],
        [], None)
tap.done()
