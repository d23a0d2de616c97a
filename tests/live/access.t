#!/usr/bin/python3
"""Who may connect: token, Origin, TLS; and what a wrong command line is told."""
import asyncio
import os
import signal
import socket
import ssl
import subprocess
import sys
import urllib.error

import websockets

sys.path.insert(0, os.path.join(os.environ.get("SGAPS_ROOT", "."), "tests/support"))
from live import Client, Server, Tap, folder, run

tap = Tap()
TOKEN = "correct-horse.battery_staple"


async def refused(url, **options):
    """The HTTP status that the handshake gets, or 101."""
    try:
        async with Client(url, **options):
            return 101
    except websockets.InvalidStatusCode as e:
        return e.status_code


async def token(server):
    def bearer(word):
        return {"extra_headers": {"Authorization": "Bearer " + word}}
    tap.same(await refused(server.url, **bearer("wrong")), 401, "a wrong token in the handshake: 401")
    async with Client(server.url, **bearer(TOKEN)) as c:
        tap.ok(await c.start(), "the right one opens the door")
    async with Client(server.url) as c:
        start = {"checkpoint_key": "default", "resolution": [64, 64]}
        tap.same([await c.error(kind="session_start", **start),
                  await c.error(kind="session_start", token=TOKEN[:-1], **start),
                  await c.error(kind="session_start", token=TOKEN + "x", **start)], ["UNAUTHORIZED"] * 3,
                 "without one, or with a wrong one in session_start: UNAUTHORIZED")
        tap.same(await c.error(kind="frame_data", frame_id=0, timestamp=0, resolution=[4, 4], num_pixels=1,
                               pixels=[{"u": .5, "v": .5, "value": 1}], state_vector=[]), "SESSION_NOT_STARTED",
                 "and no frame gets in")
        tap.ok(await c.start(token=TOKEN), "the right one in session_start begins the session")
        ack = await c.start()
        tap.ok(ack, "and is not asked for again")

    def status(path, word=None):
        try:
            server.get(path, word)
            return 200
        except urllib.error.HTTPError as e:
            return e.code
    tap.same([status("/api/sessions"), status("/api/sessions", "wrong"), status("/api/sessions", TOKEN), status("/metrics"),
              status("/api/health")], [401, 401, 200, 401, 200], "the HTTP interface asks for it too, but for health")


async def origins(server):
    own = server.url.replace("ws://", "http://").replace("/ws/stream", "")
    got = [await refused(server.url), await refused(server.url, origin=own), await refused(server.url, origin="http://evil.example"),
           await refused(server.url, origin="null"), await refused(server.url, origin=own + ".evil.example"),
           await refused(server.url, origin="https://lab.example")]
    tap.same(got, [101, 101, 403, 403, 403, 403], "Origin: none and the server's own pass, others do not")


async def tls(server, cert):
    context = ssl.create_default_context(cafile=cert)
    tap.ok(server.url.startswith("wss://"), "the startup line says wss", server.url)
    async with Client(server.url.replace("127.0.0.1", "localhost"), ssl=context) as c:
        ack = await c.start()
        for k in range(5):
            await c.send_frame(k)
        tap.ok(ack and await c.wait("uv_coordinates", 2), "a session over wss")
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 10)
    except (OSError, asyncio.TimeoutError):
        answer = b""
    tap.ok(b"healthy" not in answer, "plain text gets nothing", answer)
    for k in range(20):  # clients that are gone in the middle must not end the process (SIGPIPE)
        async with Client(server.url, ssl=ssl._create_unverified_context()) as c:
            await c.start()
            c.ws.transport.abort()
    async with Client(server.url, ssl=ssl._create_unverified_context()) as c:
        tap.ok(await c.start(), "twenty that were cut off have not hurt")


home = folder()
with open(home + "/token", "w") as f:
    f.write(TOKEN + "\n")
server = Server("--token-file", home + "/token", "--bind", "0.0.0.0")
tap.ok(not server.find("asks for no token"), "--bind 0.0.0.0 with a token: no warning")
server.url = server.url.replace("0.0.0.0", "127.0.0.1")
asyncio.run(token(server))
tap.same(server.stop(), 0, "ends with 0")

server = Server("--bind", "0.0.0.0")
tap.ok(server.find("0.0.0.0.*asks for no token.*--token-file"), "--bind 0.0.0.0 without a token is warned of", server.lines)
server.stop()

server = Server("--bind", "localhost")
asyncio.run(origins(server))
server.stop()
server = Server("--origin", "https://lab.example", "--origin", "http://127.0.0.1:1")


async def listed():
    got = [await refused(server.url), await refused(server.url, origin="https://lab.example"),
           await refused(server.url, origin="http://evil.example")]
    tap.same(got, [101, 101, 403], "--origin lets a page of another origin in, and no other")
asyncio.run(listed())
server.stop()

made = subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                       "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", home + "/key.pem", "-out", home + "/cert.pem"],
                      stderr=subprocess.DEVNULL)
if made.returncode:
    tap.skip("TLS", "openssl cannot make a certificate here")
else:
    server = Server("--cert", home + "/cert.pem", "--key", home + "/key.pem")
    asyncio.run(tls(server, home + "/cert.pem"))
    tap.same(server.stop(), 0, "ends with 0")

# --- what is wrong is said in one line, with the exit code of its kind ---
taken = socket.socket()
taken.bind(("127.0.0.1", 0))
taken.listen()
open(home + "/empty", "w").close()
for name, args, code, want in [
        ("a port that is taken", ["-p", taken.getsockname()[1]], 75, "in use"),
        ("an address that is not here", ["-p", 0, "--bind", "192.0.2.1"], 69, "192.0.2.1"),
        ("a name that is none", ["-p", 0, "--bind", "no.such.host.invalid"], 78, "no.such.host.invalid"),
        ("no such checkpoints", ["--checkpoints", home + "/nowhere"], 66, "nowhere"),
        ("checkpoints that are a file", ["--checkpoints", home + "/token"], 66, "token"),
        ("a recording folder that is a file", ["--record", home + "/token"], 73, "token"),
        ("a recording folder below a file", ["--record", home + "/token/x"], 73, "token/x"),
        ("no token in the file", ["--token-file", home + "/empty"], 65, "empty"),
        ("no token file", ["--token-file", home + "/nowhere"], 66, "nowhere"),
        ("a certificate without its key", ["--cert", home + "/token"], 64, "--key"),
        ("no such certificate", ["--cert", home + "/nowhere", "--key", home + "/token"], 66, "nowhere"),
        ("no such configuration", ["-c", home + "/nowhere"], 66, "nowhere"),
        ("an unknown key", ["--set", "server.prot=1"], 78, "server.port"),
        ("more samples than are allowed", ["--set", "sampling.default_sample_count=5001"], 78, "server.max_samples"),
        ("more samples than pixels", ["--set", "server.resolution=[8,8]"], 78, "64 pixels"),
        ("strict without a recording", ["--record-mode", "strict"], 64, "--record"),
        ("an operand", ["runs"], 64, "runs"),
        ("a mode that is none", ["--record", home + "/d", "--record-mode", "fast"], 64, "best-effort"),
        ("a port that is none", ["-p", 65536], 64, "65535"),
        ("a device that is not here", ["--device", "cuda:77"], 69, "cuda:77")]:
    got, out, said = run("serve", *args)
    tap.ok(got == code and said.count("\n") == 1 and want in said, "%s: %s, one line" % (name, code), got, said)
taken.close()
tap.done()
