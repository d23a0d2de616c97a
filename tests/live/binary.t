#!/usr/bin/python3
"""The binary subprotocol against the JSON one: the same frame gives the same record and the same reconstruction, bit for bit.
The layout is written down here once more, by sgaps-protocol(7) and not by the library."""
import asyncio
import os
import struct
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.environ.get("SGAPS_ROOT", "."), "tests/support"))
from live import Client, Server, Tap, checkpoint, folder, picture, png, recording, values

tap = Tap()
OF_SET, U16, F32, VALUES_F32 = 0, 1, 2, 4


def padded(data):
    return data + bytes(-len(data) % 8)


def frame(k, uv, value, state, flags, set_id=0xffffffff, image=b""):
    uv = np.asarray(uv, np.float64)
    pairs = {OF_SET: b"", U16: np.rint(uv * 65535).astype("<u2").tobytes(), F32: uv.astype("<f4").tobytes()}[flags & 3]
    level = np.asarray(value).astype("<f4" if flags & VALUES_F32 else "u1").tobytes()
    head = struct.pack("<4sBBHQdIHHHHI", b"SGB1", 1, flags, 40, k, k / 10, set_id, 640, 480, len(value), len(state), len(image))
    return head + padded(pairs) + padded(level) + padded(np.asarray(state, "<f4").tobytes()) + padded(image)


def coordinates(data):
    magic, kind, flags, size, target, _, set_id, _, _, n, _, _ = struct.unpack("<4sBBHQdIHHHHI", data[:40])
    assert (magic, kind, flags & 3, size, len(data)) == (b"SGB1", 2, U16, 40, 40 + len(padded(bytes(4 * n))))
    return target, set_id, np.frombuffer(data, "<u2", 2 * n, 40).reshape(n, 2) / 65535


def same_recording(a, b, what):
    names = ("frame_id", "timestamp", "state", "state_len", "offset", "uv", "value", "reconstruction", "importance")
    wrong = [n for n in names if n not in a or n not in b or a[n].tobytes() != b[n].tobytes()]
    tap.ok(not wrong, what, wrong)


async def main(server, data):
    rng = np.random.default_rng(1)
    uv = rng.random((12, 40, 2)).astype(np.float32)
    uv[0, :4] = [[0, 0], [1, 1], [0, 1], [1e-30, 0.1]]
    state = (rng.standard_normal((12, 5)) * 1e3).astype(np.float32)
    level = [values(picture(k), uv[k]) for k in range(12)]

    async def send(c, k, message):
        await c.raw(message)
        await c.wait("binary", 2 + k)  # a set after every frame: it is rebuilt, not overtaken

    async with Client(server.url) as a, Client(server.url, subprotocols=["sgaps.v1.bin"]) as b, \
            Client(server.url, subprotocols=["sgaps.v1.bin"]) as c:
        for x in (b, c):  # coordinates come in binary
            await x.say("session_start", checkpoint_key="default", resolution=[640, 480], value_range=1 if x is c else 255)
            x.ack = await x.wait("session_start_ack")
        await a.start()
        target, set_id, first = coordinates(await b.wait("binary"))
        tap.same((target, set_id, first.shape), (0, 0, (40, 2)), "the first coordinates in binary: target 0, set 0")
        for k in range(12):
            payload = {"frame_id": k, "timestamp": k / 10, "resolution": [640, 480], "num_pixels": 40, "state_vector":
                       [float(s) for s in state[k]], "pixels": [{"u": float(u), "v": float(v), "value": int(x)}
                                                               for (u, v), x in zip(uv[k], level[k])]}
            await a.say("frame_data", **payload)
            await a.wait("uv_coordinates", 2 + k)
            await send(b, k, frame(k, uv[k], level[k], state[k], F32))
            await send(c, k, frame(k, uv[k], level[k] / np.float32(255), state[k], F32 | VALUES_F32))
        tap.same([x.all("error") for x in (a, b, c)], [[], [], []], "no frame is refused")
        ids = [x.ack["session_id"] for x in (a, b, c)]
    one, two, three = [recording(data, i) for i in ids]
    tap.same(len(one["frame_id"]), 12, "all frames are recorded")
    tap.ok(one["reconstruction"].any() and one["importance"].any(), "with what the server saw")
    same_recording(one, two, "JSON and f32 binary: the same record and the same reconstruction, bit for bit")
    same_recording(one, three, "and with values as floats of 0..1")

    async with Client(server.url, subprotocols=["sgaps.v1.bin"]) as d:
        await d.say("session_start", checkpoint_key="default", resolution=[640, 480])
        ack = await d.wait("session_start_ack")
        sets = [coordinates(await d.wait("binary"))]
        sent = 0
        for k in range(10):
            await d.raw(frame(k, [], values(picture(k), sets[-1][2]), state[k], OF_SET, sets[-1][1]))
            sent += 1
            sets.append(coordinates(await d.wait("binary", len(sets) + 1)))
        tap.same([s[1] for s in sets], list(range(11)), "frames that only name their set")
        for number, want in ((2, "UNKNOWN_SET"), (11, "UNKNOWN_SET"), (4000000000, "UNKNOWN_SET")):
            tap.same(await d.error(data=frame(100, [], level[0], [], OF_SET, number)), want, "set %d: %s" % (number, want))
        await d.raw(frame(101, [], level[0], [], OF_SET, 3))
        tap.same(await d.error(data=frame(102, [], level[0][:7], [], OF_SET, 10)), "INVALID_FRAME_DATA",
                 "of the last 8 the oldest is known; fewer values than it has coordinates are refused")
        await d.raw(frame(103, uv[1], level[1], [], U16))
        await d.raw(frame(104, uv[1], level[1], [], F32, image=png(picture(104)[::-1])))
        await d.say("heartbeat", timestamp=0)
        await d.wait("heartbeat_ack")
        tap.same(len(d.all("error")), 4, "u16 coordinates and a frame with its picture are taken")
        await d.say("frame_data", frame_id=105, timestamp=1, resolution=[640, 480], num_pixels=1,
                    pixels=[{"u": .5, "v": .5, "value": 1}], state_vector=[])
        await d.say("heartbeat", timestamp=0)
        await d.wait("heartbeat_ack", 2)
        tap.same(len(d.all("error")), 4, "and so is a frame as JSON text")
    rec = recording(data, ack["session_id"])
    tap.same(list(rec["frame_id"]), list(range(sent)) + [101, 103, 104, 105], "what was taken is recorded, and no more")
    o = rec["offset"]
    want = np.concatenate([sets[k][2] for k in range(sent)])
    tap.ok(np.abs(rec["uv"][:o[sent]] - want).max() <= 0.5 / 65535 + 1e-7, "with the coordinates of its set")
    tap.same(list(rec["set"][:sent]), list(range(sent)), "and its number")
    tap.ok(np.array_equal(rec["frames"][0], picture(104)), "the picture comes back row for row")


home = folder()
checkpoint(home + "/runs/default")
server = Server("--checkpoints", home + "/runs", "--record", home + "/data", "--record-reconstruction", "--set",
                "sampling.holdout=0", "--set", "server.max_batch=1", "--set", "sampling.strategy=adaptive", "--set",
                "mask_update.fixed_interval=1")
asyncio.run(main(server, home + "/data"))
tap.same(server.stop(), 0, "ends with 0")
tap.done()
