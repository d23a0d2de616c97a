#!/usr/bin/python3
"""A thousand connections, and memory that stays flat while sessions come and go. SGAPS_SOAK=600 plays for ten minutes; the
figures are in SPEED.md."""
import asyncio
import json
import os
import resource
import socket
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.environ.get("SGAPS_ROOT", "."), "tests/support"))
from live import ROOT, SLOW, Client, Server, Tap, eventually, folder, run

tap = Tap()
SECONDS = float(os.environ.get("SGAPS_SOAK") or 12)
THOUSAND = 1000
HELLO = (b"GET /ws/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
BEAT = b'{"type":"heartbeat","payload":{"timestamp":0}}'


async def answers(server, count):
    """Median seconds from a frame to its coordinates, one frame at a time."""
    took = []
    async with Client(server.url) as c:
        await c.start()
        for k in range(count):
            began = time.monotonic()
            await c.send_frame(k)
            await c.wait("uv_coordinates", k + 2)
            took.append(time.monotonic() - began)
    return statistics.median(took)


def thousand(server):
    before = asyncio.run(answers(server, 40))
    memory = server.memory()
    began, crowd = time.monotonic(), []
    for _ in range(THOUSAND):
        s = socket.create_connection(("127.0.0.1", server.port), timeout=20 * SLOW)
        s.sendall(HELLO + b"\x81" + bytes([0x80 | len(BEAT)]) + bytes(4) + BEAT)
        crowd.append(s)
    there = 0
    for s in crowd:
        got = b""
        while b"heartbeat_ack" not in got:
            part = s.recv(4096)
            if not part:
                break
            got += part
        there += b"heartbeat_ack" in got
    took = time.monotonic() - began
    tap.same(there, THOUSAND, "a thousand connections are answered")
    tap.ok(server.metric("sgaps_connections_open") >= THOUSAND, "and stay open")
    each = (server.memory() - memory) / THOUSAND
    among = asyncio.run(answers(server, 40))
    tap.ok(among < 4 * before + 0.05, "a session among them is answered as before", before, among)
    print("# %d connections in %.2f s, %.1f kB each; a frame's answer %.2f ms alone, %.2f ms among them" % (
        THOUSAND, took, each / 1e3, 1e3 * before, 1e3 * among))
    for s in crowd:
        s.close()
    tap.ok(eventually(lambda: server.metric("sgaps_connections_open") < 10), "all are let go")


def flat(server, film, data):
    """Rounds of sessions; what the server holds after each."""
    held, rounds, frames = [], 0, 0
    end = time.monotonic() + SECONDS
    while time.monotonic() < end or rounds < 6:
        code, out, said = run("replay", "-q", film, server.url, "--sessions", 12, "--fps", 20, "--duration", min(2, SECONDS / 6),
                              "--json", *(["--binary"] if rounds % 2 else []))
        if code:
            tap.ok(False, "sgaps-replay plays a round", code, out, said)
            break
        rounds += 1
        frames += json.loads(out)["frames_sent"]
        held.append(server.memory())
    third = max(1, len(held) // 3)
    early, late = statistics.median(held[third:2 * third]), statistics.median(held[-third:])
    if os.environ.get("SAN"):
        tap.skip("memory is flat over %d rounds of sessions" % rounds, "a sanitiser's own memory would be measured")
    else:
        tap.ok(late < 1.03 * early + (4 << 20), "memory is flat over %d rounds of sessions" % rounds, held)
    print("# %.0f s, %d frames in %d sessions: %.1f MB after the first third, %.1f MB in the last" % (
        SECONDS, frames, 12 * rounds, early / 1e6, late / 1e6))
    received = eventually(lambda: server.metric("sgaps_recorded_frames_total") == frames)
    tap.ok(received, "every frame is recorded", server.metric("sgaps_recorded_frames_total"), frames)

    def add_up():
        return server.metric("sgaps_frames_inferred_total") + server.metric("sgaps_frames_dropped_total") == frames
    tap.ok(eventually(add_up), "inferred + superseded + stale + failed = received", server.get("/metrics"))


soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
server = Server("--set", "server.max_per_address=2000", "--set", "mask_update.fixed_interval=1", "--set", "sampling.strategy=random")
if min(hard, 4096) < THOUSAND + 100:
    tap.skip("a thousand connections", "this machine lets a program have %d files" % hard)
else:
    thousand(server)
tap.same(server.stop(), 0, "ends with 0")

home = folder()
code, _, said = run("import", "-q", "--size", "32x32", "--stride", 2, "--select", "map20-a", "-o", home + "/full.h5",
                    os.path.join(ROOT, "examples/data/doom.h5"))
assert code == 0, said
server = Server("--record", home + "/data")
flat(server, home + "/full.h5", home + "/data")
tap.same(server.stop(), 0, "ends with 0")
tap.done()
