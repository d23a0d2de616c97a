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


def swarm(url, **options):
    command = [os.path.join(os.environ["SGAPS_TESTS"], "live", "swarm"), url] + ["%s=%s" % o for o in options.items()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return json.loads(done.stdout) if done.stdout else {"status": done.returncode, "stderr": done.stderr}


def good(found, n):
    return found.get("stood") == found.get("closed") == n and found["code"] == 1000 and not found["bad"] and \
        found["messages"] >= n


def talk(server, scheme):
    url = "%s://127.0.0.1:%d/ws/echo" % (scheme, server.port)
    for n, size in ((1, 0), (1, 125), (1, 65536), (2, 5 << 20), (100, 3000)):
        found = swarm(url, n=n, size=size, seconds=.3, protocol="echo.v1", token="let-me-in")
        tap(good(found, n), "%s: %d connections, messages of %d bytes: %s of them" % (scheme, n, size, found.get("messages")),
            found)
    return url


server = Echo(token="let-me-in")
url = talk(server, "ws")
tap(good(swarm(url, seconds=.1), 1), "no subprotocol, no token")
for name, at, options, reason in (("a wrong path", url + "s", {}, "101"),
                                  ("a wrong token", url, {"token": "let-me"}, "unauthorized"),
                                  ("a subprotocol that the server does not know", url, {"protocol": "other"}, "101"),
                                  ("nobody there", "ws://127.0.0.1:1/", {"n": 3}, "connect")):
    found = swarm(at, **options)
    tap(found.get("stood") == 0 and found["closed"] == options.get("n", 1) and found["code"] == 0 and reason in found["reason"],
        "%s: '%s'" % (name, found.get("reason")), found)
found = swarm(url, n=20, rate=50, seconds=.5)
tap(good(found, 20) and found["messages"] < 20 * 50 * 2, "20 connections at 50 messages a second: %s" % found.get("messages"), found)
for bad in ("http://127.0.0.1/", "ws://", "ws://127.0.0.1:99999/", "wss"):
    found = swarm(bad)
    tap(found.get("status") == 64 and "ws://HOST" in found["stderr"], "%s is no URL for it" % bad, found)
found = server.end()
tap(found["status"] == 0 and found["opened"] == found["closed"], "the server has told every end", found)

with tempfile.TemporaryDirectory() as folder:
    cert, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
                    "/CN=localhost", "-days", "2", "-keyout", key, "-out", cert], check=True, stderr=subprocess.DEVNULL)
    server = Echo(cert=cert, key=key, token="let-me-in")
    talk(server, "wss")
    found = swarm("wss://127.0.0.1:%d/ws/echo" % server.port, verify=1)
    tap(found.get("stood") == 0 and found["code"] == 0 and "certificate" in found["reason"], "a certificate nobody vouches for: '%s'" % found.get("reason"), found)
    server.end()
tap.done()
