#!/usr/bin/python3
"""How connections end: cut off in the middle, by the server's word, with the server itself. Each end is told once."""
import os
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.environ["SGAPS_ROOT"], "tests", "support"))
from raw_websocket import *  # noqa: E402,F403

tap = Tap()


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
    closes(tap, c, 4321, "a code of the server's choice")
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


for part in (cut_off, workers):
    part()
tap.done()
