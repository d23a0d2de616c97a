#!/usr/bin/python3
"""net_client.h, through tests/live/swarm.c: many connections, TLS, and what it says when there is none."""
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ["SGAPS_ROOT"], "tests", "support"))
from raw_websocket import *  # noqa: E402,F403

tap = Tap()


def swarm(url, n, size, seconds, *more):
    command = [os.path.join(os.environ["SGAPS_TESTS"], "live", "swarm"), url, str(n), str(size), str(seconds)] + list(more)
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return json.loads(done.stdout) if done.stdout else {"status": done.returncode, "stderr": done.stderr}


def good(found, n):
    return found.get("stood") == found.get("closed") == n and found["code"] == 1000 and not found["bad"] and \
        found["messages"] >= n


def talk(server, scheme):
    url = "%s://127.0.0.1:%d/ws/echo" % (scheme, server.port)
    for n, size in ((1, 0), (1, 125), (1, 65536), (2, 5 << 20), (100, 3000)):
        found = swarm(url, n, size, .3, "echo.v1", "let-me-in")
        tap(good(found, n), "%s: %d connections, messages of %d bytes: %s of them" % (scheme, n, size, found.get("messages")),
            found)
    return url


server = Echo(token="let-me-in")
url = talk(server, "ws")
tap(good(swarm(url, 1, 10, .1), 1), "no subprotocol, no token")
for name, arguments, reason in (("a wrong path", (url + "s", 1, 1, .1), "101"),
                                ("a wrong token", (url, 1, 1, .1, "echo.v1", "let-me"), "unauthorized"),
                                ("a subprotocol that the server does not know", (url, 1, 1, .1, "other"), "101"),
                                ("nobody there", ("ws://127.0.0.1:1/", 3, 1, .1), "connect")):
    found = swarm(*arguments)
    tap(found.get("stood") == 0 and found["closed"] == arguments[1] and found["code"] == 0 and reason in found["reason"],
        "%s: '%s'" % (name, found.get("reason")), found)
for bad in ("http://127.0.0.1/", "ws://", "ws://127.0.0.1:99999/", "wss"):
    found = swarm(bad, 1, 1, .1)
    tap(found.get("status") == 64 and "ws://HOST" in found["stderr"], "%s is no URL for it" % bad, found)
found = server.end()
tap(found["status"] == 0 and found["opened"] == found["closed"], "the server has told every end", found)

with tempfile.TemporaryDirectory() as folder:
    cert, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
                    "/CN=localhost", "-days", "2", "-keyout", key, "-out", cert], check=True, stderr=subprocess.DEVNULL)
    server = Echo(cert=cert, key=key, token="let-me-in")
    talk(server, "wss")
    found = swarm("wss://127.0.0.1:%d/ws/echo" % server.port, 1, 1, .1, "echo.v1", "let-me-in", "verify")
    tap(found.get("stood") == 0 and found["code"] == 0 and "certificate" in found["reason"], "a certificate nobody vouches for: '%s'" % found.get("reason"), found)
    server.end()
tap.done()
