#!/usr/bin/python3
"""The protocol of the live loop as the deployed client sees it: start, ack, coordinates, frames, errors, two checkpoints at
once, missing keys, resume, a second session_start, SIGHUP, variants."""
import asyncio
import json
import os
import shutil
import signal
import sys
import time
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.environ.get("SGAPS_ROOT", "."), "tests/support"))
from live import PATIENCE, Client, Server, Tap, checkpoint, eventually, folder

tap = Tap()
ACK = {"checkpoint_key", "checkpoint_loaded", "model_version", "sample_count", "max_state_dim", "target_fps",
       "sentinel_value", "resolution", "debug_mode", "session_id"}


async def sequence(server):
    async with Client(server.url) as c:
        tap.same(await c.error(kind="frame_data", frame_id=0, timestamp=0, resolution=[4, 4], num_pixels=1,
                               pixels=[{"u": .5, "v": .5, "value": 1}], state_vector=[]),
                 "SESSION_NOT_STARTED", "a frame before session_start is an error, the connection stays")
        await c.say("heartbeat", timestamp=1.5)
        beat = await c.wait("heartbeat_ack")
        tap.ok(beat and abs(beat["timestamp"] - time.time()) < 60, "heartbeat_ack carries Unix seconds", beat)
        ack = await c.start("alpha", debug=True, something_new={"a": [1, 2]}, max_state_dim=7, sample_count=9)
        tap.same(set(ack), ACK, "the ack has every field")
        tap.same({k: ack[k] for k in ("checkpoint_key", "checkpoint_loaded", "sample_count", "max_state_dim", "target_fps",
                                      "sentinel_value", "resolution", "debug_mode")},
                 {"checkpoint_key": "alpha", "checkpoint_loaded": True, "sample_count": 40, "max_state_dim": 64,
                  "target_fps": 10, "sentinel_value": -999, "resolution": [32, 32], "debug_mode": True},
                 "and they say what the server decided, whatever the client asked for")
        tap.ok(ack["model_version"].startswith("alpha@1-"), "model_version names the checkpoint", ack)
        order = [m["type"] for m in c.got]
        tap.same(order, ["error", "heartbeat_ack", "session_start_ack", "uv_coordinates"],
                 "the first coordinates come at once behind the ack")
        first = c.all("uv_coordinates")[0]
        tap.same((first["target_frame_id"], first["set_id"], len(first["coordinates"])), (0, 0, 40),
                 "for frame 0: set 0, as many as the ack says")
        tap.ok(all(set(p) == {"u", "v"} and 0 <= p["u"] <= 1 and 0 <= p["v"] <= 1 for p in first["coordinates"]),
               "as objects {u,v} in [0,1]")
        for k in range(10):
            await c.send_frame(k, unknown=None)
            if k % 5 == 4:
                await c.wait("uv_coordinates", 1 + (k + 1) // 5)
        sets = c.all("uv_coordinates")
        tap.same([(s["target_frame_id"], s["set_id"]) for s in sets], [(0, 0), (5, 1), (10, 2)],
                 "coordinates are sent when the schedule says: every 5 frames, for the frame behind")
        tap.ok(sets[0]["coordinates"] != sets[1]["coordinates"], "and they are new ones")
        tap.same(len(c.all("error")), 1, "no frame was refused")

        tap.same(await c.error(kind="frame_data", **c.frame(11, state=[0.5] * 65)), "STATE_TOO_LONG",
                 "more state than the ack's max_state_dim")
        tap.same(await c.error(kind="no_such_thing"), "UNKNOWN_MESSAGE_TYPE", "an unknown type")
        tap.same(await c.error(data="{"), "INVALID_JSON", "no JSON")
        before = c.ack["session_id"]
        again = await c.start("beta", coordinate_format="array")
        tap.ok(again["session_id"] != before, "a second session_start begins another session", again)
        last = c.all("uv_coordinates")[-1]
        tap.ok(last["target_frame_id"] == 0 and all(isinstance(p, list) and len(p) == 2 for p in last["coordinates"]),
               "with its own coordinates, as [[u,v],...] where asked for")
        tap.ok(eventually(lambda: before not in server.get("/api/sessions")), "and ends the first")


async def two_checkpoints(server):
    async with Client(server.url) as a, Client(server.url) as b, Client(server.url) as d:
        acks = [await a.start("alpha"), await b.start("beta"), await d.start("gamma")]
        tap.same([(x["checkpoint_key"], x["checkpoint_loaded"], x["model_version"].split("@")[0]) for x in acks],
                 [("alpha", True, "alpha"), ("beta", True, "beta"), ("gamma", False, "default")],
                 "two checkpoints at once; a key without one falls back to default")
        loaded = json.loads(server.get("/api/status"))["checkpoints_loaded"]
        tap.same(loaded, {"alpha": True, "beta": True, "default": True, "gamma": False},
                 "/api/status says which are loaded, and which was asked for in vain")
        tap.same([x["max_state_dim"] for x in acks], [64, 30, 64], "each with its checkpoint's max_state_dim")
        for k in range(5):
            for c in (a, b, d):
                await c.send_frame(k)
        for c in (a, b, d):
            await c.wait("uv_coordinates", 2)
        tap.same([len(c.all("uv_coordinates")) for c in (a, b, d)], [2, 2, 2], "all three are guided")


async def no_checkpoint(server):
    async with Client(server.url) as c:
        ack = await c.start("anything", value_range=1)
        tap.same((ack["checkpoint_loaded"], ack["model_version"]), (False, "linear"),
                 "no checkpoint at all: linear, never random weights")
        for k in range(5):
            p = c.frame(k)
            for q in p["pixels"]:
                q["value"] /= 255
            await c.say("frame_data", **p)
        await c.wait("uv_coordinates", 2)
        tap.same((len(c.all("uv_coordinates")), c.all("error")), (2, []), "value_range 1 takes values of 0..1")


async def resume(server):
    c = Client(server.url)
    async with c:
        first = await c.start("alpha")
        for k in range(5):
            await c.send_frame(k)
        await c.wait("uv_coordinates", 2)
        c.ws.transport.abort()  # a cut line: no close frame
        await c.wait("closed")
    async with Client(server.url) as d:
        ack = await d.start("alpha", resume=first["session_id"])
        tap.same(ack["session_id"], first["session_id"], "a session whose line was cut is resumed")
        tap.same(d.all("uv_coordinates")[0], dict(c.all("uv_coordinates")[-1], target_frame_id=5),
                 "with its newest coordinates, for the next frame")
        for k in range(5, 10):
            await d.send_frame(k)
        await d.wait("uv_coordinates", 2)
        tap.same([(s["target_frame_id"], s["set_id"]) for s in d.all("uv_coordinates")], [(5, 1), (10, 2)],
                 "the schedule goes on where it was")
        async with Client(server.url) as e:
            taken = await e.start("alpha", resume=first["session_id"])
            code = await d.wait("closed")
            tap.same((taken["session_id"], code), (first["session_id"], 1008),
                     "a connection that is only half dead is taken over")
    async with Client(server.url) as c:
        ack = await c.start("alpha", resume=first["session_id"])
        tap.ok(ack["session_id"] != first["session_id"], "a session that was closed is over: a new one begins", ack)


async def silent(server):
    async with Client(server.url) as c:
        await c.start()
        code = await c.wait("closed")
        e = c.all("error")
        tap.same((len(e) and e[0]["code"], code), ("TIMEOUT", 1008), "a silent session: TIMEOUT, and closed")


async def full(server):
    async with Client(server.url) as a, Client(server.url) as b, Client(server.url) as c:
        await a.start()
        await b.start()
        await c.say("session_start", checkpoint_key="default", resolution=[64, 64])
        code = await c.wait("closed")
        e = c.all("error")
        tap.same((len(e) and e[0]["code"], code), ("SERVER_OVERLOAD", 1013), "one session too many: SERVER_OVERLOAD, 1013")
        await a.send_frame(0)
        await a.ws.close()
        async with Client(server.url) as d:
            tap.ok(await d.start(), "whose place is free when another has gone")


async def fast(server):
    async with Client(server.url) as c:
        await c.start()
        for k in range(59):  # with session_start: 60 at once
            await c.send_frame(k)
        await c.say("heartbeat", timestamp=0)
        tap.ok(await c.wait("heartbeat_ack", seconds=2) is None and c.all("error")[0]["code"] == "SERVER_OVERLOAD",
               "60 messages at once pass a limit of one a second, the next does not", c.all("error"))
        tap.same(await c.wait("closed"), 1013, "which closes")


async def operator(server):
    async with Client(server.url) as a, Client(server.url) as b:
        one, two = (await a.start())["session_id"], (await b.start())["session_id"]
        url = "http://127.0.0.1:%d/api/sessions/%s" % (server.port, one)

        def end():
            try:
                with urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=PATIENCE) as answer:
                    return answer.status
            except urllib.error.HTTPError as e:
                return e.code
        loop = asyncio.get_running_loop()
        tap.same((await loop.run_in_executor(None, end), await a.wait("closed")), (200, 1000),
                 "DELETE /api/sessions/{id} ends that session")
        text = server.get("/api/sessions")
        tap.ok(one not in text and two in text, "and no other", text)
        tap.same(await loop.run_in_executor(None, end), 404, "once")


async def variants(server):
    async with Client(server.url) as a, Client(server.url) as b, Client(server.url) as c:
        acks = [await x.start("ab") for x in (a, b, c)]
        tap.same([(x["checkpoint_key"], x["checkpoint_loaded"], x["model_version"].split("@")[0]) for x in acks],
                 [("ab", True, "alpha"), ("ab", True, "beta"), ("ab", True, "alpha")],
                 "variants of a key take turns, and model_version tells which")


async def reload(server, models):
    async with Client(server.url) as c:
        before = await c.start("beta")
        shutil.copy(models + "/alpha/best.h5", models + "/beta/new.h5")
        os.rename(models + "/beta/new.h5", models + "/beta/best.h5")
        server.tell(signal.SIGHUP)
        eventually(lambda: "beta@1-" + alpha in server.get("/api/sessions") or c.task.done(), 1)
        for k in range(100):
            await c.send_frame(k)
            await asyncio.sleep(0.02)
            if before["model_version"] not in server.get("/api/sessions"):
                break
        tap.ok(before["model_version"] not in server.get("/api/sessions"),
               "SIGHUP: a running session goes on with the new weights", server.get("/api/sessions"))
        async with Client(server.url) as d:
            after = await d.start("beta")
            tap.same(after["model_version"].split("-")[1], alpha, "and a new one begins with them")


models = folder()
checkpoint(models + "/alpha", seed=1)
checkpoint(models + "/beta", seed=2, more=["--set", "model.max_state_dim=30"])
shutil.copytree(models + "/alpha", models + "/default")

server = Server("--checkpoints", models)
asyncio.run(sequence(server))
asyncio.run(two_checkpoints(server))
asyncio.run(resume(server))
tap.same(server.stop(), 0, "SIGTERM ends with 0")



async def another_size():
    async with Client(server.url) as c:
        tap.same((await c.start("alpha"))["resolution"], [64, 48], "frames have the server's size")


server = Server("--checkpoints", models, "--set", "server.resolution=[48,64]")
asyncio.run(another_size())
tap.ok(eventually(lambda: server.find(r"(alpha/best.h5: was trained at 32x32 and rebuilds 64x48)")),
       "and it warns of a checkpoint that was trained at another one", server.lines)
server.stop()

server = Server("--set", "server.max_sessions=2")
asyncio.run(no_checkpoint(server))
asyncio.run(full(server))
tap.same(server.stop(), 0, "so does a server without checkpoints")

server = Server("--set", "server.idle_timeout_s=0.5")
asyncio.run(silent(server))
server.stop()

server = Server("--set", "server.max_frame_rate=1")
asyncio.run(fast(server))
server.stop()

server = Server("--checkpoints", models, "--set", "server.variants={ab: [alpha, beta]}")
asyncio.run(operator(server))
asyncio.run(variants(server))


async def version():
    async with Client(server.url) as c:
        return (await c.start("alpha"))["model_version"].split("-")[1]

alpha = asyncio.run(version())
asyncio.run(reload(server, models))
tap.same(server.stop(signal.SIGINT), 0, "SIGINT ends with 0 too")
tap.done()
