#!/usr/bin/python3
"""What the server promises about recordings: what was sent is what is recorded, byte for byte; a slow disk makes gaps that
are counted (best-effort) or slows the client (strict); SIGTERM drains; sgaps-train takes the files as they are."""
import asyncio
import glob
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error

import numpy as np

sys.path.insert(0, os.path.join(os.environ.get("SGAPS_ROOT", "."), "tests/support"))
from live import ROOT, Client, Server, Tap, base64_png, eventually, folder, picture, recording, recordings, rows, run, sent_rows

tap = Tap()


async def faithful(server, data):
    rng = np.random.default_rng(5)
    async with Client(server.url) as c:
        ack = await c.start("key-1", client_name="클라이언트 \"7\"", value_range=255)
        for k in range(30):
            state = [float(x) for x in rng.standard_normal(k % 7) * 10.0 ** rng.integers(-30, 30)] + [-999.0] * (k % 3)
            more = {}
            if k % 10 == 3:
                more = {"image": picture(k)}
                payload = c.frame(k * k, state=state, image=picture(k))
                await c.say("frame_data_debug", **payload, full_frame_base64=base64_png(picture(k)))
            elif k % 10 == 4:
                await c.say("frame_data_debug", **c.frame(k * k, state=state), full_frame_base64="")
            else:
                payload = c.frame(k * k, state=state, set_id=k // 7)
                if k == 25:  # the game loads a saved state: its clock goes back
                    payload["timestamp"] = 0.25
                await c.say("frame_data", **payload)
            if k == 20:  # a frame of its own coordinates, fewer than the set has
                uv, c.uv = c.uv, [(float(u), float(v)) for u, v in rng.random((7, 2))]
                await c.send_frame(420)
                c.uv = uv
    rec = recording(data, ack["session_id"])
    want = sent_rows(c.sent)
    tap.ok(rec and rows(rec) == want, "uv, value and state are recorded byte for byte, in order",
           rec and [k for k, (a, b) in enumerate(zip(rows(rec), want)) if a != b])
    tap.same([float(t) for t in rec["timestamp"]], [p["timestamp"] for p in c.sent], "and the timestamps")
    tap.same([int(s) for s in rec["set"]], [p.get("set_id", -1) for p in c.sent], "and the sets they name")
    with_frame = [t for t, p in enumerate(c.sent) if p["frame_id"] in (9, 169, 529)]
    tap.ok(list(rec["frames_t"]) == with_frame and all(
        np.array_equal(f, picture(k)) for f, k in zip(rec["frames"], (3, 13, 23))), "full frames where there were, the right way up",
        list(rec["frames_t"]), with_frame)
    a = rec["attrs"]
    text = {k: a[k].decode() if isinstance(a[k], bytes) else a[k] for k in ("session_id", "checkpoint_key", "client_name")}
    tap.same(text, {"session_id": ack["session_id"], "checkpoint_key": "key-1", "client_name": "클라이언트 \"7\""},
             "the file says whose it is")
    tap.same((list(a["resolution"]), list(a["screen"]), float(a["target_fps"]), int(a["closed"])), ([32, 32], [640, 480], 10.0, 1),
             "its size, the client's screen, the rate, and that it ended cleanly")
    code, out, said = run("info", "--check", rec["path"])
    tap.ok(code == 0, "sgaps-info --check finds no fault", out, said)
    out = folder()
    code, _, said = run("train", "-q", "-o", out, "--set", "model=spt-tiny", "--set", "model.resolution=[32,32]", "--set",
                        "training=phase2", "--set", "training.max_steps=2", "--set", "training.batch_size=2", rec["path"])
    tap.same((code, os.path.exists(out + "/best.h5")), (0, True), "sgaps-train takes it as it is: " + said)


async def stream(server, c, key, count, go):
    await c.start(key)
    big = [(float(u), float(v)) for u, v in np.random.default_rng(1).random((2000, 2))]
    c.uv = big
    payload = c.frame(0, state=())
    text = json.dumps({"type": "frame_data", "payload": payload})
    head, tail = text.split('"frame_id": 0', 1)
    for k in range(count):
        await c.raw('%s"frame_id": %d%s' % (head, k, tail))
        go(k)
        await asyncio.sleep(0)


async def slow(server, data, slow_file, strict):
    name = "strict" if strict else "best-effort"
    open(slow_file, "w").close()
    began = time.monotonic()
    sent = []
    async with Client(server.url) as c:
        task = asyncio.ensure_future(stream(server, c, name, 200, sent.append))
        if strict:  # 1 MiB of queue is 40 frames of 2,000 samples: the rest has to wait
            await asyncio.sleep(0.5)
            last = -1
            while last != len(sent):
                last = len(sent)
                await asyncio.sleep(1)
            stuck = len(sent)
            async with Client(server.url) as other:
                tap.ok(await other.start("other"), "strict: others go on while one is slowed")
            os.unlink(slow_file)
            await task
            tap.ok(stuck < 200, "strict: a disk that stands still stops the client", stuck)
        else:
            await task
            await c.say("heartbeat", timestamp=0)
            tap.ok(await c.wait("heartbeat_ack"), "best-effort: the client is served at full speed")
            os.unlink(slow_file)
        session = c.ack["session_id"]
    rec = recording(data, session)
    ids = [int(i) for i in rec["frame_id"]] if rec else []
    if strict:
        tap.same(ids, list(range(200)), "strict: every frame is recorded, in order")
    else:
        said = [l for l in server.lines if "gap" in l.lower() or "not recorded" in l.lower()]
        tap.ok(0 < len(ids) < 200 and ids == sorted(set(ids)), "best-effort: some frames are left out", len(ids))
        tap.ok(said, "and that is said", server.lines)
        gaps = json.loads(rec["attrs"]["gaps"])
        tap.same((int(rec["attrs"]["frames_received"]), sum(g["count"] for g in gaps)), (200, 200 - len(ids)),
                 "received = recorded + gaps")


async def drain(server, data):
    """Four clients at full speed; SIGTERM in the middle."""
    confirmed = {}

    async def one(k):
        async with Client(server.url) as c:
            try:
                await c.start("drain")
                for n in range(100000):
                    await c.send_frame(n)
                    await asyncio.sleep(0.002)
                    if n % 10 == 9:
                        await c.say("heartbeat", timestamp=n)
                    if n == 40 and k == 0:
                        server.tell(signal.SIGTERM)
            except Exception:
                pass
            code = await c.wait("closed")
            confirmed[c.ack["session_id"]] = (10 * len(c.all("heartbeat_ack")), code, c.sent)
    await asyncio.gather(*(one(k) for k in range(4)))
    exit_code = await asyncio.get_running_loop().run_in_executor(None, server.stop, 0)
    tap.same(exit_code, 0, "SIGTERM: ends with 0")
    tap.same([code for _, code, _ in confirmed.values()], [1001] * 4, "the clients are closed with 1001")
    files = recordings(data, "drain")
    tap.same(len(files), 4, "every session is a file when the process has ended")
    tap.same(glob.glob(data + "/journal/*.sgj"), [], "and nothing is left in the journal")
    whole = 0
    for session, (least, _, sent) in confirmed.items():
        rec = recording(data, session, 0)
        got = rows(rec)
        whole += len(got) >= least and got == sent_rows(sent)[:len(got)]
    tap.same(whole, 4, "with everything that was received, bit for bit")


async def no_room(server, folder_of_data):
    async with Client(server.url) as c:
        await c.say("session_start", checkpoint_key="default", resolution=[64, 64])
        code = await c.wait("closed")
        e = c.all("error")
        tap.same((len(e) and e[0]["code"], code), ("SERVER_OVERLOAD", 1013),
                 "with less free than the floor a new session is refused: " + str(e and e[0]["message"]))
        tap.ok(e and folder_of_data not in e[0]["message"], "the client is not told where the recordings are", e)
    tap.ok(server.find("%s: .*MB free" % folder_of_data), "the operator is told why", server.lines)
    try:
        server.get("/api/ready")
        status = 200
    except urllib.error.HTTPError as error:
        status = error.code
    tap.same(status, 503, "and /api/ready says that none is taken")


home = folder()
server = Server("--record", home + "/data", "--set", "server.record_floor_mb=1000000000")
asyncio.run(no_room(server, home + "/data"))
server.stop()
server = Server("--record", home + "/data")
asyncio.run(faithful(server, home + "/data"))
server.stop()

server = Server("--record", home + "/drain", "--set", "server.max_frame_rate=0")
asyncio.run(drain(server, home + "/drain"))

if os.environ.get("SAN"):
    tap.skip("slow disk", "a sanitised program takes no other library in front")
else:
    shim = home + "/slow_disk.so"
    made = subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-D_GNU_SOURCE", "-o", shim,
                           os.path.join(ROOT, "tests/live/preload/slow_disk.c"), "-ldl"])
    tap.same(made.returncode, 0, "a disk that can stand still")
    for mode in ("best-effort", "strict"):
        os.environ.update(LD_PRELOAD=shim, SLOW_DISK=home + "/slow")
        server = Server("-v", "--record", home + "/" + mode, "--record-mode", mode, "--set", "server.record_queue_mb=1", "--set",
                        "server.max_frame_rate=0")
        del os.environ["LD_PRELOAD"]
        asyncio.run(slow(server, home + "/" + mode, home + "/slow", mode == "strict"))
        tap.same(server.stop(), 0, mode + ": ends with 0")
tap.done()
