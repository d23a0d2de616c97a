#!/usr/bin/python3
"""Hostile input: each message an error by name or a close by number, the session goes on where the protocol says so, and
nothing of it is recorded or seen by others."""
import asyncio
import json
import os
import sys

import websockets

sys.path.insert(0, os.path.join(os.environ.get("SGAPS_ROOT", "."), "tests/support"))
from live import Client, Server, Tap, eventually, folder, recording, rows, sent_rows

tap = Tap()
FRAME = {"frame_id": 7, "timestamp": 0.7, "resolution": [640, 480], "num_pixels": 1,
         "pixels": [{"u": 0.5, "v": 0.5, "value": 9}], "state_vector": [1, 2]}


def text(**change):
    """A frame as text with some fields put differently; a str is put in as it is."""
    parts = {k: json.dumps(v) for k, v in FRAME.items()}
    parts.update({k: v if isinstance(v, str) else json.dumps(v) for k, v in change.items()})
    return '{"type":"frame_data","payload":{%s}}' % ",".join('"%s":%s' % kv for kv in parts.items() if kv[1])


def pixels(u="0.5", v="0.5", value="9"):
    return text(pixels='[{"u":%s,"v":%s,"value":%s}]' % (u, v, value))


BAD = "INVALID_FRAME_DATA"
JSON = "INVALID_JSON"
cases = [
    # numbers
    ("u = NaN", pixels(u="NaN"), {BAD, JSON}),
    ("v = Infinity", pixels(v="Infinity"), {BAD, JSON}),
    ("value = 1e999", pixels(value="1e999"), {BAD, JSON}),
    ("u = 1.0001", pixels(u="1.0001"), {BAD}),
    ("u = -1e-9", pixels(u="-1e-9"), {BAD}),
    ("value = 256", pixels(value="256"), {BAD}),
    ("u = 0x1p-1", pixels(u="0x1p-1"), {BAD, JSON}),
    ("value = 007", pixels(value="007"), {BAD, JSON}),
    ("u = 0,5 as in German", pixels(u="0,5"), {BAD, JSON}),
    ("u = \"0.5\"", pixels(u='"0.5"'), {BAD}),
    ("u = null", pixels(u="null"), {BAD}),
    ("frame_id = -1", text(frame_id=-1), {BAD}),
    ("frame_id = 2^53+1", text(frame_id="9007199254740993"), {BAD}),
    ("frame_id = 1e300", text(frame_id="1e300"), {BAD}),
    ("frame_id = 1.5", text(frame_id=1.5), {BAD}),
    ("frame_id = \"7\"", text(frame_id="\"7\""), {BAD}),
    ("no frame_id", text(frame_id=""), {BAD}),
    ("timestamp = NaN", text(timestamp="NaN"), {BAD, JSON}),
    ("state of NaN", text(state_vector="[NaN]"), {BAD, JSON}),
    ("state of 1e39", text(state_vector="[1e39]"), {BAD}),
    ("state of text", text(state_vector='["a"]'), {BAD}),
    # counts and shapes
    ("no pixels", text(pixels="[]", num_pixels=0), {BAD}),
    ("num_pixels differs", text(num_pixels=2), {BAD}),
    ("num_pixels = 1e9", text(num_pixels="1000000000"), {BAD}),
    ("5001 samples", text(num_pixels=5001, pixels=FRAME["pixels"] * 5001), {BAD}),
    ("65 state values", text(state_vector=[0.5] * 65), {"STATE_TOO_LONG"}),
    ("pixels is an object", text(pixels={"u": 1}), {BAD}),
    ("a pixel is a list", text(pixels="[[0.5,0.5,9]]"), {BAD}),
    ("a pixel without value", text(pixels='[{"u":0.5,"v":0.5}]'), {BAD}),
    ("resolution of one side", text(resolution="[640]"), {BAD}),
    ("resolution = [0,0]", text(resolution="[0,0]"), {BAD}),
    ("resolution = [1e9,1e9]", text(resolution="[1e9,1e9]"), {BAD}),
    # JSON itself
    ("duplicate key frame_id", '{"type":"frame_data","payload":{"frame_id":1,"frame_id":2}}', {BAD, JSON}),
    ("duplicate key u", pixels(u='0.1,"u":0.2'), {BAD, JSON}),
    ("duplicate payload", '{"type":"frame_data","payload":{},"payload":{}}', {BAD, JSON}),
    ("100,000 brackets", '{"type":"frame_data","payload":{"x":' + "[" * 100000 + "]" * 100000 + "}}", {BAD, JSON}),
    ("100,000 brackets that never close", '{"x":' * 100000, {JSON}),
    ("trailing bytes", text() + " x", {JSON}),
    ("two messages in one", text() + text(), {JSON}),
    ("a comment", "/* hello */" + text(), {JSON}),
    ("a trailing comma", text()[:-1] + ",}", {JSON}),
    ("an array", "[1,2,3]", {JSON}),
    ("a number", "17", {JSON}),
    ("an empty message", "", {JSON}),
    ("blanks only", "   ", {JSON}),
    ("a lone surrogate in a key", '{"type":"frame_data","payload":{"\\ud800":1}}', {BAD, JSON}),
    ("a control character in a string", '{"type":"heart\x01beat","payload":{}}', {JSON, "UNKNOWN_MESSAGE_TYPE"}),
    ("type is a number", '{"type":5,"payload":{}}', {JSON, "UNKNOWN_MESSAGE_TYPE"}),
    ("no type", '{"payload":{}}', {JSON, "UNKNOWN_MESSAGE_TYPE"}),
    ("no payload", '{"type":"frame_data"}', {BAD, JSON}),
    ("payload is null", '{"type":"frame_data","payload":null}', {BAD, JSON}),
    ("an unknown type with control characters", '{"type":"\\u001b[2J\\n","payload":{}}', {"UNKNOWN_MESSAGE_TYPE"}),
    # pictures
    ("base64 that is none", text(full_frame_base64='"@@@@"').replace("frame_data", "frame_data_debug", 1), {BAD}),
    ("a PNG that is none", text(full_frame_base64='"aGVsbG8gd29ybGQh"').replace("frame_data", "frame_data_debug", 1), {BAD}),
    ("a PNG of 60000x60000", (60000, 60000, 10), {BAD}),
    ("a black PNG of 4096x4096, sound, of more pixels than a message may have bytes", (4096, 4096, 4096), {BAD}),
]
keys = ["../../etc/passwd", "/etc/passwd", "..", ".hidden", "a/b", "a\\\\b", "", "x" * 65, "a b", "a%2fb", "ключ", "a\\u0000b",
        "a\\n"]


def huge_png(width, height, rows):
    """A few bytes that claim so many pixels, and hold some rows of them."""
    import base64
    import struct
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    data = (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(bytes((width + 1) * rows))) + chunk(b"IEND", b""))
    return base64.b64encode(data).decode()


async def errors(server, data):
    async with Client(server.url) as other, Client(server.url) as c:
        await other.start()
        bystander = (await other.start())["session_id"]
        ack = await c.start()
        wrong = []
        for k, (name, message, want) in enumerate(cases):
            if isinstance(message, tuple):
                message = text(full_frame_base64='"%s"' % huge_png(*message)).replace("frame_data", "frame_data_debug", 1)
            got = await c.error(data=message)
            if got not in want:
                wrong.append("%s: %s, wanted %s" % (name, got, "/".join(sorted(want))))
            if k % 8 == 0:
                await c.send_frame(k)
                await other.send_frame(k)
        tap.ok(not wrong, "%d wrong messages: each an error by its name, the connection stays" % len(cases), *wrong)
        e = c.all("error")
        at = [x for x in e if x["message"].startswith("pixels[0].u: 1.0001")]
        tap.same(at and at[0].get("details"), {"field": "pixels[0].u", "index": 0},
                 "INVALID_FRAME_DATA says the first offending index")
        third = [dict(FRAME["pixels"][0])] * 2 + [{"u": 2, "v": 0, "value": 0}]
        await c.error(kind="frame_data", **dict(FRAME, num_pixels=3, pixels=third))
        tap.same(c.all("error")[-1].get("details"), {"field": "pixels[2].u", "index": 2}, "wherever it is")
        wrong = []
        for key in keys:
            got = await c.error(data='{"type":"session_start","payload":{"checkpoint_key":"%s","resolution":[4,4]}}' % key)
            if got not in ("INVALID_CHECKPOINT_KEY", "INVALID_JSON" if "u0000" in key else None):
                wrong.append("%r: %s" % (key, got))
        tap.ok(not wrong, "%d keys that are no names: INVALID_CHECKPOINT_KEY" % len(keys), *wrong)
        await c.send_frame(1000)
        await c.wait("closed", seconds=0.1)
        tap.same(len(c.all("closed")), 0, "the session goes on after all that")
        tap.same(other.all("error"), [], "another client has noticed nothing")
    rec = recording(data, ack["session_id"])
    tap.ok(rec and rows(rec) == sent_rows(c.sent), "of all that nothing is in the file, but every sound frame is",
           rec and (len(rec["frame_id"]), len(c.sent)))
    rec = recording(data, bystander)
    tap.ok(rec and rows(rec) == sent_rows(other.sent), "the other client's file is whole")


async def closes(server, data):
    async def closed_by(message, **options):
        async with Client(server.url, **options) as c:
            await c.start()
            try:
                await c.raw(message)
            except websockets.ConnectionClosed:
                pass  # already, while it was being sent
            return await c.wait("closed"), c.all("error")
    code, _ = await closed_by(b"\x00\x01\x02binary garbage")
    tap.same(code, 1003, "a binary message on the JSON subprotocol closes 1003")
    code, e = await closed_by(json.dumps({"type": "frame_data", "payload": {"x": "y" * (3 << 20)}}))
    tap.same((code, [x["code"] for x in e]), (1009, ["MESSAGE_TOO_LARGE"]), "3 MiB where 2 are allowed: MESSAGE_TOO_LARGE, closes 1009")
    async with Client(server.url, subprotocols=["sgaps.v1.bin"]) as c:
        tap.same(c.ws.subprotocol, "sgaps.v1.bin", "the binary subprotocol is echoed")
        await c.start()
        wrong = []
        for garbage in (b"", b"x", bytes(39), bytes(40), bytes(4096), os.urandom(64), os.urandom(5000), b"SGAP" + b"\xff" * 60):
            got = await c.error(data=garbage)
            if got != BAD:
                wrong.append("%r: %s" % (garbage[:16], got))
        tap.ok(not wrong, "binary garbage on the binary one: INVALID_FRAME_DATA", *wrong)
        await c.say("heartbeat", timestamp=0)
        tap.ok(await c.wait("heartbeat_ack"), "which keeps the connection")
    # invalid UTF-8 in a text frame, by hand: the library would not send it
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /ws/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"\x81\x84\0\0\0\0\"\xc3\x28\"")
    frame = await asyncio.wait_for(reader.read(4), 20)
    tap.same((frame[0], int.from_bytes(frame[2:4], "big")), (0x88, 1007), "invalid UTF-8 closes 1007")
    writer.close()


async def log_is_clean(server):
    async with Client(server.url) as c:
        await c.start(client_name="\x1b[31mred\nsgaps-serve: all is well\x07")
    eventually(lambda: server.find("red"))
    line = server.find(".*red.*")
    tap.ok(line and "\x1b" not in line and "sgaps-serve: all is well" in line,
           "a client's name stays one harmless line of the log", repr(line))
    tap.ok(not [l for l in server.lines if l.startswith("sgaps-serve: all is well")], "and cannot forge another")


data = folder()
server = Server("-v", "--record", data, "--set", "server.max_message_bytes=2097152", "--set", "server.max_frame_rate=0")
asyncio.run(errors(server, data))
asyncio.run(closes(server, data))
asyncio.run(log_is_clean(server))
tap.same(server.stop(), 0, "the server has come through")
tap.done()
