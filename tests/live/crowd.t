#!/usr/bin/python3
"""Many connections: a thousand that are idle, more than there are file descriptors, those who ask and do
not read, and garbage. SGAPS_LIVE=full: more of that."""
import os
import random
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.environ["SGAPS_ROOT"], "tests", "support"))
from raw_websocket import *  # noqa: E402,F403

tap = Tap()


def unread():
    """A client that asks for much and reads nothing, with TLS and without."""
    with tempfile.TemporaryDirectory() as folder:
        cert, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-subj", "/CN=localhost", "-days", "2", "-keyout", key, "-out", cert], check=True,
                       stderr=subprocess.DEVNULL)
        for options in ({}, {"cert": cert, "key": key}):
            name = "over TLS, " if options else ""
            server = Echo(max_queue=4 << 20, **options)
            neighbour = Neighbour(server, 2.5)
            c = Client(server)
            before = memory(server)
            c.send(frame(TEXT, b"flood 1000 100000"))
            try:
                while True:
                    c.send(frame(PING, b""))
                    time.sleep(.05)
            except OSError:
                tap(True, name + "who does not read is ended when 4 MB wait")
            c.close()
            grown = memory(server, "VmHWM") - before
            tap(SAN or grown < 20000, name + "no more memory than that is taken (%d kB)" % grown)
            c = Client(server)
            c.send(frame(TEXT, b"flood 30 100000"))
            got = [c.message() for i in range(30)]
            tap(all(len(d) == 100000 for o, d in got), name + "who reads gets all")
            for i in range(20):  # gone in the middle of what is sent: SIGPIPE
                c = Client(server)
                c.send(frame(TEXT, b"flood 30 100000"))
                c.take(1000)
                (cut if i % 2 else Client.close)(c)
            time.sleep(.2)
            tap(server.alive(), name + "twenty that left in the middle: the server lives")
            neighbour.end(tap, name + "an unread connection")
            found = server.end()
            tap(found["status"] == 0 and found["opened"] == found["closed"] and found["too_slow"] == 1,
                name + "and has told every end", found)


def many():
    """1,000 connections that say nothing; the latency of one that does."""
    n = 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    n = min(n, min(hard, 4096) - 100)
    server = Echo(max_connections=2 * n)
    c = Client(server)
    alone = trips(c, 1000)
    crowd = [Client(server) for i in range(n)]
    among = trips(c, 1000)
    a, b = statistics.median(alone), statistics.median(among)
    tap(b < 3 * a + 1e-3, "round trip among %d idle connections: median %.0f us, alone %.0f us" % (n, b * 1e6, a * 1e6))
    each = []
    for x in crowd:
        each += trips(x, 1)
    tap(len(each) == n, "and each of them is served (median %.0f us)" % (statistics.median(each) * 1e6))
    per = memory(server) / n
    for x in crowd[:n // 2]:
        cut(x)
    tap(trips(c, 10) and server.alive(), "half of them gone at once; %.0f kB of memory each" % per)
    found = server.end()
    tap(found["opened"] == found["closed"] == n + 1, "each end is told", found)
    for x in crowd[n // 2:]:
        x.close()


def out_of_files():
    server = Echo(limit_files=64)
    first = Client(server)
    crowd = []
    for i in range(100):
        s = socket.create_connection(("127.0.0.1", server.port))
        s.settimeout(PATIENCE)
        crowd.append(s)
    time.sleep(.3)
    begun = cpu(server)
    time.sleep(1)
    used = cpu(server) - begun
    tap(used < .5, "out of file descriptors, it does not spin (%.2f s of a second)" % used)
    tap(len(trips(first, 20)) == 20, "who is in is served")
    for s in crowd:
        s.close()
    late = Client(server)
    tap(len(trips(late, 1)) == 1, "and who waited comes in when others have gone")
    tap(server.end()["status"] == 0, "it ends well")


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


for part in (unread, many, out_of_files, garbage):
    part()
tap.done()
