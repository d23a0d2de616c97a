#!/usr/bin/python3
"""Connections that bring too much, or too slowly, or nothing: each is ended with its code, and nobody else waits."""
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.environ["SGAPS_ROOT"], "tests", "support"))
from raw_websocket import *  # noqa: E402,F403

tap = Tap()


def too_large():
    server = Echo(max_message=1 << 20)
    much = frame(BINARY, b"x" * (100 << 20))
    neighbour = Neighbour(server, 3)
    c = Client(server)
    data = b"x" * (1 << 20)
    c.send(frame(BINARY, data))
    tap(c.message() == (BINARY, data), "a message of the limit")
    before = memory(server)
    c.send(frame(BINARY, b"x" * 100, length=100 << 20))
    closes(tap, c, 1009, "a frame of 100 MB, announced")
    c = Client(server)


    def pour():  # it is read to its end, so that the close frame is not lost
        try:
            c.send(much)
        except OSError:
            pass

    t = threading.Thread(target=pour)
    t.start()
    closes(tap, c, 1009, "100 MB, sent", within=30)
    t.join()
    c = Client(server)
    c.send(frame(BINARY, data, fin=0) + frame(CONTINUATION, b"x", fin=0))
    closes(tap, c, 1009, "a byte over the limit, in fragments")
    c = Client(server)
    c.send(frame(BINARY, b"", fin=0) + frame(CONTINUATION, b"x", length=(1 << 63) - 1))
    closes(tap, c, 1009, "2^63 bytes, announced")
    c = Client(server)
    c.send(b"\x82\xff" + b"\xff" * 8 + b"mask")
    tap(c.farewell()[1] in (None, 1002), "2^64 bytes, announced: the end")
    grown = memory(server) - before
    tap(SAN or grown < 4096, "and no memory was taken for them (%d kB)" % grown)
    neighbour.end(tap, "100 MB")
    found = server.end()
    tap(found["too_large"] == 4 and found["status"] == 0, "all are counted", found)


def too_slow():
    server = Echo(message_s=1, first_message_s=1.5, max_fragments=16)
    c = Client(server)
    closes(tap, c, 1008, "no first message", within=5)
    c = Client(server)
    c.send(frame(TEXT, b"begun", fin=0))
    closes(tap, c, 1008, "a message that does not go on", within=5)
    c = Client(server)
    c.send(frame(TEXT, b"one"))
    c.message()

    def drip():
        try:
            for b in frame(TEXT, b"0123456789" * 10):
                c.send(bytes([b]))
                time.sleep(.1)
        except OSError:
            pass

    t = threading.Thread(target=drip)
    t.start()
    closes(tap, c, 1008, "a message byte by byte, 10 a second", within=5)
    t.join()
    c = Client(server)
    parts = [frame(TEXT if i == 0 else CONTINUATION, b"x", fin=i == 15) for i in range(16)]
    c.send(b"".join(parts))
    tap(c.message() == (TEXT, b"x" * 16), "as many fragments as allowed")
    c.send(frame(TEXT, b"", fin=0) + frame(CONTINUATION, b"", fin=0) * 16)
    closes(tap, c, 1008, "one fragment more")
    found = server.end()
    tap(found["too_slow"] == 3 and found["opened"] == found["closed"] == 4, "all are counted", found)


def silent():
    server = Echo(ping_s=.5)
    lively, dead = Client(server), Client(server)
    for c in (lively, dead):
        c.send(frame(TEXT, b"x"))
        c.message()
    over = time.monotonic() + 3
    pings = 0
    while time.monotonic() < over:
        opcode, payload = lively.message()
        pings += opcode == PING
        lively.send(frame(PONG, payload))
    tap(pings >= 3, "a silent connection is pinged (%d times in 3 s)" % pings)
    lively.send(frame(TEXT, b"still here"))
    got = lively.message()
    while got[0] == PING:
        got = lively.message()
    tap(got == (TEXT, b"still here"), "and lives when it answers")
    tap(dead.farewell()[1] is None, "and is ended when it does not")
    server.end()


for part in (too_large, too_slow, silent):
    part()
tap.done()
