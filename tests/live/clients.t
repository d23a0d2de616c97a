#!/usr/bin/python3
"""Real clients, none of them ours: python3-websockets, aiohttp, and C# ClientWebSocket under Mono, which is what Unity uses.
What they sent is what is recorded, byte for byte in coordinates, values and state, and sgaps-train trains on it unchanged.
The binary subprotocol is written down here once more, from sgaps-protocol(7) alone."""
import asyncio
import json
import os
import shutil
import struct
import subprocess
import sys

import aiohttp
import numpy as np

sys.path.insert(0, os.path.join(os.environ.get("SGAPS_ROOT", "."), "tests/support"))
from live import (PATIENCE, ROOT, Client, Server, Tap, base64_png, checkpoint, folder, picture, png, recording, rows, run,
                  sent_rows, values)

tap = Tap()
FRAMES = 20


async def with_websockets(server):
    """Everything in one frame, cut into fragments, and with white space: three ways to write the same."""
    async with Client(server.url, compression="deflate") as c:
        ack = await c.start("unity", client_name="python3-websockets")
        tap.same(c.ws.response_headers.get("Sec-WebSocket-Extensions"), None, "websockets: compression is offered and not agreed")
        for k in range(FRAMES):
            payload = c.frame(k, state=[k / 3, -999, 1e-7 * k])
            if k % 3 == 0:
                await c.say("frame_data", **payload)
            elif k % 3 == 1:
                text = json.dumps({"type": "frame_data", "payload": payload}, indent=1)
                await c.raw([text[i:i + 1016] for i in range(0, len(text), 1016)])
            else:
                await c.raw(json.dumps({"payload": payload, "type": "frame_data"}, separators=(",", ":")))
            if k % 5 == 4:
                await c.wait("uv_coordinates", 1 + (k + 1) // 5)
        tap.same((len(c.all("uv_coordinates")), c.all("error")), (1 + FRAMES // 5, []), "websockets: %d frames, a set after every fifth" % FRAMES)
        return ack["session_id"], sent_rows(c.sent)


def header(kind, flags, frame_id, timestamp, set_id, pixels, state=0, image=0, size=(640, 480)):
    return struct.pack("<4sBBHQdIHHHHI", b"SGB1", kind, flags, 40, frame_id, timestamp, set_id, *size, pixels, state, image)


def aligned(data):
    return data + bytes(-len(data) % 8)


async def binary_set(ws):
    """(set_id, coordinates) of the next binary message."""
    while True:
        m = await ws.receive(timeout=PATIENCE)
        if m.type == aiohttp.WSMsgType.TEXT:
            assert json.loads(m.data)["type"] != "error", m.data
            continue
        magic, kind, flags, length, target, _, set_id, _, _, n, state, image = struct.unpack("<4sBBHQdIHHHHI", m.data[:40])
        assert (magic, kind, flags, length, state, image) == (b"SGB1", 2, 1, 40, 0, 0), m.data[:40]
        assert len(m.data) == 40 + (4 * n + 7) // 8 * 8
        return target, set_id, np.frombuffer(m.data, "<u2", 2 * n, 40).reshape(n, 2) / 65535


async def with_aiohttp(server):
    """The binary subprotocol in all its forms."""
    async with aiohttp.ClientSession() as session, session.ws_connect(
            server.url, protocols=["sgaps.v2.bin", "sgaps.v1.bin", "sgaps.v1.json"], timeout=PATIENCE) as ws:
        tap.same(ws.protocol, "sgaps.v1.bin", "aiohttp: the first subprotocol that the server knows is taken")
        await ws.send_str(json.dumps({"type": "session_start", "payload": {
            "checkpoint_key": "unity", "resolution": [640, 480], "client_name": "aiohttp", "debug": True}}))
        ack = json.loads((await ws.receive(timeout=PATIENCE)).data)
        tap.same(ack["type"], "session_start_ack", "aiohttp: the acknowledgement is text")
        target, set_id, uv = await binary_set(ws)
        tap.same((target, set_id, len(uv)), (0, 0, ack["payload"]["sample_count"]), "aiohttp: coordinates are binary")
        want = []
        for k in range(FRAMES):
            value = values(picture(k), uv)
            state = np.array([k / 3, -999, 1e-7 * k], "<f4")
            f32 = uv.astype("<f4")
            image = png(picture(k)[::-1]) if k == 6 else b""
            tail = aligned(state.tobytes()) + aligned(image)
            plain, head = aligned(value.tobytes()), dict(frame_id=k, timestamp=k / 10, pixels=len(uv), state=3, image=len(image))
            if k % 4 == 0:
                data = header(1, 2, set_id=set_id, **head) + aligned(f32.tobytes()) + plain + tail
            elif k % 4 == 1:
                data = header(1, 6, set_id=2**32 - 1, **head) + aligned(f32.tobytes()) + aligned(value.astype("<f4").tobytes()) + tail
            elif k % 4 == 2:
                data = header(1, 1, set_id=set_id, **head) + aligned(np.rint(uv * 65535).astype("<u2").tobytes()) + plain + tail
            else:
                data = header(1, 0, set_id=set_id, **head) + plain + tail
            await ws.send_bytes(data)
            want.append((k, k % 4, f32, value, state))
            if k % 5 == 4:
                target, set_id, uv = await binary_set(ws)
        await ws.send_bytes(header(1, 0, FRAMES, 0, 77, len(uv)) + aligned(bytes(len(uv))))
        error = json.loads((await ws.receive(timeout=PATIENCE)).data)
        tap.same(error["payload"]["code"], "UNKNOWN_SET", "aiohttp: a set that there is none of")
        await ws.send_bytes(b"SGB1" + bytes(100))
        error = json.loads((await ws.receive(timeout=PATIENCE)).data)
        tap.same(error["payload"]["code"], "INVALID_FRAME_DATA", "aiohttp: a binary message that is none")
        return ack["payload"]["session_id"], want


def with_mono(server, where):
    program, sent, full = (os.path.join(where, name) for name in ("UnityClient.exe", "sent.txt", "full.b64"))
    built = subprocess.run(["mcs", "-out:" + program, "-r:System.dll", os.path.join(ROOT, "tests/live/UnityClient.cs")],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=4 * PATIENCE)
    if not tap.ok(built.returncode == 0, "Mono: the client compiles", built.stdout.decode()):
        return None, []
    with open(full, "w") as f:
        f.write(base64_png(picture(3)))
    p = subprocess.run(["mono", program, server.url, str(FRAMES), sent, full], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       timeout=8 * PATIENCE)
    session, lines = None, p.stdout.decode().splitlines()
    for line in lines:
        if line.startswith(("ok ", "not ok ")):
            tap.ok(line.startswith("ok "), "Mono: " + line.split("ok ", 1)[1])
        elif line.startswith("session "):
            session = line.split()[1]
    tap.ok(p.returncode == 0 and sum(line.startswith("ok ") for line in lines) == 9, "Mono: all was tried", "\n".join(lines))
    if not os.path.exists(sent):
        return session, []
    out = []
    for line in open(sent):
        k, *parts = line.split()
        uv, value, state = map(bytes.fromhex, parts)
        out.append((int(k), uv, value, state))
    return session, out


def check_binary(data, session, want):
    rec = recording(data, session)
    if not tap.ok(rec, "aiohttp: the session is recorded"):
        return
    o, exact, near = rec["offset"], 0, 0.0
    for t, (k, form, uv, value, state) in enumerate(want):
        got = rec["uv"][o[t]:o[t + 1]]
        exact += (rec["frame_id"][t] == k and np.array_equal(rec["value"][o[t]:o[t + 1]], value) and
                  rec["state"][t][:3].tobytes() == state.tobytes() and rec["state_len"][t] == 3 and
                  rec["timestamp"][t] == k / 10 and (form > 1 or got.tobytes() == uv.tobytes()))
        near = max(near, float(np.abs(got - uv).max()))
    tap.same((len(rec["frame_id"]), exact), (FRAMES, FRAMES), "aiohttp: what was sent is what is recorded")
    tap.ok(near <= 0.51 / 65535, "aiohttp: coordinates of a set and of 16 bits are within their rounding", near)
    tap.ok(np.array_equal(rec["frames"][0], picture(6)) and rec.get("frames_t", [6])[0] == 6,
           "aiohttp: a full frame is recorded right way up, with its frame")


def check_training(data, where):
    """Frames of a network's clients, as they were recorded."""
    code, _, said = run("train", "-q", "-o", os.path.join(where, "trained"), "--set", "model=spt-tiny", "--set",
                        "model.resolution=[32,32]", "--set", "training.batch_size=4", "--set", "training.max_steps=2",
                        os.path.join(data, "unity"))
    tap.ok(code == 0, "sgaps-train trains on what was recorded, unchanged", said)
    code, out, said = run("info", "--check", *sorted(os.path.join(data, "unity", f) for f in os.listdir(os.path.join(data, "unity"))))
    tap.ok(code == 0, "sgaps-info --check finds nothing", out, said)


def main():
    where = folder()
    data = os.path.join(where, "data")
    checkpoint(os.path.join(where, "models", "unity"))
    server = Server("--checkpoints", os.path.join(where, "models"), "--record", data)
    a, sent = asyncio.run(with_websockets(server))
    b, want = asyncio.run(with_aiohttp(server))
    c, lines = (None, None)
    if shutil.which("mcs") and shutil.which("mono"):
        c, lines = with_mono(server, where)
    else:
        tap.skip("Mono", "mcs or mono is not installed")
    tap.same(server.stop(), 0, "the server ends well")
    rec = recording(data, a)
    tap.ok(rec and rows(rec) == sent, "websockets: what was sent is what is recorded, bit by bit")
    check_binary(data, b, want)
    if c:
        rec = recording(data, c)
        tap.ok(rec and len(lines) == FRAMES and rows(rec) == lines, "Mono: what was sent is what is recorded, bit by bit")
        tap.ok(rec and np.array_equal(rec["frames"][0], picture(3)), "Mono: the full frame is recorded right way up")
        tap.same(rec and rec["attrs"]["client_name"], "Unity \u00fcber Mono", "Mono: the client's name is recorded")
    check_training(data, where)
    tap.done()


main()
