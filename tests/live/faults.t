#!/usr/bin/python3
"""Connections that do harm or come to harm: too much, too slow, silent, cut off; and the server's own end. It lives, tells
the end of each, and nobody else waits."""
import os
import random
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.environ["SGAPS_ROOT"], "tests", "support"))
from raw_websocket import *  # noqa: E402,F403

tap = Tap()


def closes(c, code, name, within=PATIENCE):
    """The server closes with this code, in this time."""
    begun = time.monotonic()
    try:
        got, found = c.farewell()
    except (socket.timeout, TimeoutError):
        got, found = [], "nothing"
    seconds = time.monotonic() - begun
    c.close()
    tap(found == code and seconds < within, "%s: %s after %.1f s" % (name, code, seconds), "%s %s" % (got[:2], found))


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
    closes(c, 1009, "a frame of 100 MB, announced")
    c = Client(server)


    def pour():  # it is read to its end, so that the close frame is not lost
        try:
            c.send(much)
        except OSError:
            pass

    t = threading.Thread(target=pour)
    t.start()
    closes(c, 1009, "100 MB, sent", within=30)
    t.join()
    c = Client(server)
    c.send(frame(BINARY, data, fin=0) + frame(CONTINUATION, b"x", fin=0))
    closes(c, 1009, "a byte over the limit, in fragments")
    c = Client(server)
    c.send(frame(BINARY, b"", fin=0) + frame(CONTINUATION, b"x", length=(1 << 63) - 1))
    closes(c, 1009, "2^63 bytes, announced")
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
    closes(c, 1008, "no first message", within=5)
    c = Client(server)
    c.send(frame(TEXT, b"begun", fin=0))
    closes(c, 1008, "a message that does not go on", within=5)
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
    closes(c, 1008, "a message byte by byte, 10 a second", within=5)
    t.join()
    c = Client(server)
    parts = [frame(TEXT if i == 0 else CONTINUATION, b"x", fin=i == 15) for i in range(16)]
    c.send(b"".join(parts))
    tap(c.message() == (TEXT, b"x" * 16), "as many fragments as allowed")
    c.send(frame(TEXT, b"", fin=0) + frame(CONTINUATION, b"", fin=0) * 16)
    closes(c, 1008, "one fragment more")
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


def cut_off():
    server = Echo()
    neighbour = Neighbour(server, 2)
    whole = frame(TEXT, b"0123456789" * 3000)
    for i in range(60):
        c = Client(server)
        c.send(whole[:1 + i * 501])
        if i % 3 == 0:
            cut(c)
        elif i % 3 == 1:
            c.close()
        else:
            c.socket.shutdown(socket.SHUT_WR)
            if i == 2:
                tap(c.farewell() == ([], None), "half closed in the middle of a message: the end")
            c.close()
    for data in (b"GET", b"GET /ws/echo HTTP/1.1\r\nHo"):
        c = Client(server, upgrade=False)
        c.send(data)
        cut(c)
    neighbour.end(tap, "60 that were cut off")
    time.sleep(.2)
    found = server.end()
    tap(found["opened"] == found["closed"] == 61 and found["status"] == 0,
        "each end is told once, and no half message", found)


def garbage():
    """Frames and heads at random, from a seed that is told: the server lives and serves the next one."""
    seed = int(os.environ.get("SGAPS_SEED", "1"))
    rounds = 5000 if os.environ.get("SGAPS_LIVE") == "full" else 400
    dice = random.Random(seed)
    server = Echo(first_message_s=2, message_s=1, max_message=1 << 20, max_queue=1 << 20)
    head = b"GET /ws/echo?q=1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
           b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n" \
           b"Sec-WebSocket-Protocol: echo.v1\r\nAuthorization: Bearer x\r\nOrigin: http://x\r\n\r\n"
    lived = 0
    for i in range(rounds):
        try:
            if i % 3 == 0:
                data = bytearray(head)
                for k in range(dice.randrange(1, 5)):
                    data[dice.randrange(len(data))] = dice.randrange(256)
                c = Client(server, upgrade=False)
                c.send(bytes(data) + dice.randbytes(dice.randrange(50)))
            else:
                c = Client(server)
                for k in range(dice.randrange(1, 8)):
                    payload = dice.randbytes(dice.choice((0, 1, 2, 5, 125, 126, 300, 70000)))
                    length = None if dice.random() < .8 else dice.choice((0, 5, 126, 65535, 65536, 1 << 40))
                    c.send(frame(dice.choice((0, 0, 1, 1, 2, 2, 8, 9, 10, dice.randrange(16))), payload,
                                 fin=dice.random() < .7, rsv=dice.choice((0, 0, 0, 0, 4, dice.randrange(8))),
                                 masked=dice.random() < .9, length=length))
        except (Ended, OSError):
            pass
        (cut if i % 2 else Client.close)(c)
        if i % 50 == 49:
            c = Client(server)
            c.send(frame(TEXT, b"still here"))
            lived += c.message() == (TEXT, b"still here")
            c.close()
    found = server.end()
    tap(lived == rounds // 50 and found["status"] == 0 and found["opened"] == found["closed"],
        "%d connections of garbage (seed %d)" % (rounds, seed), found)


def workers():
    """Answers from another thread; stopping with answers under way."""
    server = Echo(worker=1)
    clients = [Client(server) for i in range(8)]
    wrong = []

    def talk(c, k):
        for i in range(0, 300, 30):
            sent = [b"%d %d" % (k, j) for j in range(i, i + 30)]
            c.send(b"".join(frame(TEXT, x) for x in sent))
            wrong.extend(x for x in sent if c.message() != (TEXT, x))

    threads = [threading.Thread(target=talk, args=(c, k)) for k, c in enumerate(clients)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    tap(not wrong, "answers from another thread, in order", wrong[:5])
    c = clients[0]
    c.send(frame(TEXT, b"close 4321"))
    closes(c, 4321, "a code of the server's choice")
    c = clients[1]
    at = time.monotonic()
    c.send(frame(TEXT, b"pause 1"))
    c.message()
    c.send(frame(TEXT, b"later"))
    c.message()
    waited = time.monotonic() - at
    tap(.7 < waited < 5, "a paused connection is not read, and then is (%.1f s)" % waited)
    c.send(frame(TEXT, b"flood 20 100000"))
    c.take(10)
    got = {}
    t = threading.Thread(target=lambda: got.update(found=server.end()))
    t.start()
    try:
        while True:
            c.more()
            if c.buffer[-24:].endswith(b"\x03\xe9the server is going away"):
                break
        c.send(frame(CLOSE, close_body(1001)))
    except Ended:
        pass
    tap(len(c.buffer) + 10 > 20 * 100000, "at the end what is queued is sent first, then 1001")
    for x in clients[2:-1]:
        x.farewell()
    t.join()  # the last one never answers
    found = got["found"]
    tap(found["status"] == 0 and found["opened"] == found["closed"] == 8 and found["end_seconds"] < 20,
        "it has told every end, after %.1f s" % found["end_seconds"], found)


for part in (too_large, too_slow, silent, cut_off, garbage, workers):
    part()
tap.done()
