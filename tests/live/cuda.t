#!/usr/bin/python3
"""The live loop on a CUDA device, emulated: frames of two sessions with one network are rebuilt, coordinates come, weights are
loaded anew while it runs, and what it says of itself names the device and the precision."""
import asyncio
import json
import os
import signal
import sys
import urllib.request

sys.path.insert(0, os.path.join(os.environ.get("SGAPS_ROOT", "."), "tests/support"))
from live import Client, Server, Tap, checkpoint, eventually, folder

tap = Tap()
library = os.path.join(os.environ["SGAPS_TESTS"], "cuda/libsgaps-cuda-emulated.so")
if not os.path.exists(library):
    print("1..0 # SKIP no emulated CUDA device is built")
    sys.exit(0)

home = folder()
checkpoint(home + "/alpha", size=16)
os.environ["SGAPS_CUDA_LIBRARY"] = library
server = Server("-v", "--checkpoints", home, "--device", "cuda", "--set", "server.resolution=[16,16]", "--set",
                "sampling.default_sample_count=20", "--set", "server.stale_ms=0", small=False)
tap.ok(server.find(r"emulated CUDA device, bf16"), "the first line names the device and the precision", server.lines)


def status():
    with urllib.request.urlopen("http://127.0.0.1:%d/api/status" % server.port) as r:
        return json.load(r)


async def play(first, last, clients):
    for k in range(first, last):
        for c in clients:
            await c.send_frame(k)
        for c in clients:
            if k % 5 == 4:
                await c.wait("uv_coordinates", 1 + (k + 1) // 5)


async def sessions():
    async with Client(server.url) as a, Client(server.url) as b:
        for c in (a, b):
            ack = await c.start("alpha")
            tap.ok(ack["checkpoint_loaded"] and ack["model_version"].startswith("alpha@1-"), "a session with the checkpoint", ack)
        await play(0, 10, (a, b))
        tap.same([len(c.all("uv_coordinates")) for c in (a, b)], [3, 3], "new sets come every five frames")
        checkpoint(home + "/alpha", size=16, seed=2)
        server.tell(signal.SIGHUP)
        tap.ok(eventually(lambda: server.find(r"takes the place of alpha@1-")), "new weights are loaded beside the old ones",
               server.lines)
        await play(10, 20, (a, b))
        tap.same([len(c.all("error")) for c in (a, b)], [0, 0], "no frame was refused")


asyncio.run(sessions())
told = status()
tap.same(told["device"], "emulated CUDA device, bf16", "/api/status names the device")
c = told["counters"]
tap.ok(c["rebuilt"] and c["rebuilt"] + c["superseded"] == 40, "every frame was rebuilt or superseded", c)
tap.same(server.stop(), 0, "SIGTERM ends it in good order")
tap.ok(not server.find(r"launch by launch|CUDA (a kernel|launch|upload|download|graph|memory)"), "nothing failed on the device", server.lines)

server = Server("-v", "--device", "auto", "--precision", "fp32")
tap.ok(server.find(r"emulated CUDA device, fp32"), "auto finds it, --precision is in force", server.lines)
server.stop()
tap.done()
