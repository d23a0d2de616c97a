#!/usr/bin/python3
"""Who may come in, and who is told why not: handshakes right and wrong, plain HTTP on the same port, TLS, limits."""
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.environ["SGAPS_ROOT"], "tests", "support"))
from raw_websocket import *  # noqa: E402,F403

tap = Tap()


def status_of(server, **handshake):
    """The status of the answer, its headers; 0 when the server hangs up without one."""
    try:
        c = Client(server, **handshake)
    except Ended:
        return 0, {}
    c.close()
    return c.status, c.headers


def refused(server, status, name, **handshake):
    got, headers = status_of(server, **handshake)
    tap(got in (status if isinstance(status, tuple) else (status,)), "%s: %s" % (name, got or "hung up"),
        "answered %d %s" % (got, headers))
    return headers


def echoes(c, data=b"hello"):
    c.send(frame(TEXT, data))
    return c.message() == (TEXT, data)


def accepted(server, name, **handshake):
    try:
        c = Client(server, **handshake)
        good = c.status == 101 and echoes(c)
        tap(good, name + ": 101", c.status)
        c.close()
        return c.headers
    except Ended:
        tap(False, name + ": 101", "hung up")
        return {}


def raw(server, data, wait=True):
    """What comes back until the end."""
    c = Client(server, upgrade=False)
    try:
        c.send(data)
        while wait:
            c.more()
    except (Ended, ConnectionError):
        pass
    except (socket.timeout, TimeoutError):
        return None
    finally:
        c.close()
    return c.buffer


def subprotocols(server):
    name = "Sec-WebSocket-Protocol"
    tap("sec-websocket-protocol" not in accepted(server, "no subprotocol offered"), "and none is chosen")
    for offer, chosen in (("echo.v2", "echo.v2"), ("other, echo.v2,echo.v1", "echo.v2"), ("echo.v1 , echo.v2", "echo.v1")):
        headers = accepted(server, "offered '%s'" % offer, **{name: offer})
        tap(headers.get(name.lower()) == chosen, "the first known is chosen: " + chosen, headers)
    refused(server, 400, "only unknown subprotocols", **{name: "other, chat"})
    refused(server, 400, "a name that is nearly one", **{name: "echo.v"})
    refused(server, 400, "our own word for none", **{name: "none offered"})
    refused(server, 400, "a list of 4 kB", **{name: "a" * 4000})


def compression(server):
    for offer in ("permessage-deflate", "permessage-deflate; client_max_window_bits; server_no_context_takeover",
                  "permessage-deflate; server_max_window_bits=8, permessage-deflate", "x-webkit-deflate-frame"):
        headers = accepted(server, "an extension offered: " + offer[:40], Sec_WebSocket_Extensions=offer)
        tap("sec-websocket-extensions" not in headers, "and none is chosen", headers)
    refused(server, 0, "an extension offer of 300 characters", Sec_WebSocket_Extensions="a" * 300)
    # 14 bytes that end a libwebsockets with permessage-deflate at an assertion, and other compressed frames
    for payload in (b"\xf2\x48\xcd\xc9\xc9\x07\x00", b"\x00" * 8, b"", b"\xff" * 100):
        c = Client(server, Sec_WebSocket_Extensions="permessage-deflate")
        c.send(frame(TEXT, payload, rsv=4))
        tap(c.farewell() == ([], 1002), "a compressed frame of %d bytes is a fault: 1002" % len(payload))
        c.close()


def wrong_heads(server):
    accepted(server, "a right one")
    accepted(server, "a path with a query", path="/ws/echo?a=b")
    accepted(server, "Connection: keep-alive, Upgrade (Firefox)", Connection="keep-alive, Upgrade")
    accepted(server, "Upgrade: WebSocket, in other letters", Upgrade="WebSocket")
    for path in ("/", "/ws", "/ws/echo/", "/ws/echoes", "/ws/ECHO", "/ws/echo%00"):
        refused(server, (404, 0) if "%00" in path else 404, "path " + path, path=path)
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "HEAD"):
        refused(server, 405, method, method=method)
    refused(server, (403, 405, 0), "an unknown method", method="BREW")
    refused(server, 505, "HTTP/1.0", version="HTTP/1.0")
    for version in (None, "8", "12", "14", "130", "13x"):
        headers = refused(server, 426, "version %s" % version, Sec_WebSocket_Version=version)
        tap(headers.get("sec-websocket-version") == "13", "and it is said which")
    for key in (None, "AAAA", "A" * 24, "A" * 23 + "=", "A" * 21 + "===", "A" * 26 + "==", "A" * 1000, "%%%%%%%%%%%%%%%%%%%%%%=="):
        refused(server, 400, "key %s" % (key and key[:30]), Sec_WebSocket_Key=key)
    refused(server, 400, "no Host", Host=None)
    for connection in (None, "keep-alive", "u", "upgrades"):
        refused(server, 400, "Connection: %s" % connection, Connection=connection)
    refused(server, (200, 426), "no Upgrade: a plain request", Upgrade=None)
    refused(server, (400, 403, 0), "an unknown upgrade", Upgrade="quic")


def http2(server):
    settings = ("HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA",)
    refused(server, 400, "an upgrade to h2c", Upgrade="h2c", Connection="Upgrade, HTTP2-Settings", extra=settings, path="/x")
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    answer = raw(server, preface)
    tap(answer is not None and not answer.startswith(b"\x00"), "HTTP/2 without asking: no HTTP/2 comes back", answer)
    tap(server.alive(), "and the server lives")


def odd_heads(server):
    tap(raw(server, b"\x00\xff" * 200) is not None, "binary garbage: hung up")
    tap(raw(server, b"GET /ws/echo HTTP/1.1\r\nHost: x\r\n" + b"X-Long: " + b"a" * 20000 + b"\r\n\r\n") is not None,
        "a header of 20 kB: an end")
    tap(raw(server, b"GET /x HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(2000)) + b"\r\n") is not None,
        "2,000 headers: an end")
    tap(raw(server, b"GET " + b"/a" * 20000 + b" HTTP/1.1\r\n\r\n") is not None, "a path of 40 kB: an end")
    c = Client(server, upgrade=False)
    key = "dGhlIHNhbXBsZSBub25jZQ=="
    head = ("GET /ws/echo HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: %s\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n" % key).encode()
    c.send(head, chop=1)
    tap(c.head()[0] == 101 and echoes(c), "a handshake byte by byte: 101")
    c.close()
    c = Client(server, then=frame(TEXT, b"early") + frame(TEXT, b"bird"))
    tap(c.message() == (TEXT, b"early") and c.message() == (TEXT, b"bird"), "frames in one piece with the handshake are served")
    c.close()
    # Known to libwebsockets 4.1.6: a header whose name is the beginning of one it knows stops its parser.
    begun = time.monotonic()
    answer = raw(server, head[:-2] + b"X-Auth: 1\r\n\r\n")
    tap(answer is not None and time.monotonic() - begun < 5, "a header named X-Auth: served, or hung up in time (%.1f s)" %
        (time.monotonic() - begun), answer)


def origins():
    server = Echo()
    accepted(server, "no Origin, as Unity's client")
    accepted(server, "the server's own Origin", Host="sgaps.example:8080", Origin="http://sgaps.example:8080")
    accepted(server, "the same over TLS in front", Host="sgaps.example", Origin="https://sgaps.example")
    for origin in ("http://evil.example", "null", "http://sgaps.example.evil", "sgaps.example", ""):
        if origin:
            refused(server, 403, "Origin " + origin, Host="sgaps.example", Origin=origin)
    server.end()
    server = Echo(origin="https://app.example")
    accepted(server, "the Origin that was allowed", Origin="https://app.example")
    refused(server, 403, "another one", Origin="http://127.0.0.1")
    server.end()
    server = Echo(origin="*")
    accepted(server, "any Origin", Origin="http://any.example")
    server.end()


def tokens():
    server = Echo(token="correct-horse")
    accepted(server, "the right token", Authorization="Bearer correct-horse")
    accepted(server, "no token: the server may ask later")
    for wrong in ("Bearer correct-hors", "Bearer correct-horse2", "Bearer ", "Bearer", "Basic Y29ycmVjdC1ob3JzZQ==", "correct-horse",
                  "Bearer " + "x" * 3000):
        headers = refused(server, 401, "Authorization: %s" % wrong[:30], Authorization=wrong)
        tap("bearer" in headers.get("www-authenticate", "").lower(), "and it is said what is asked for")
    for sent, expected in (("Bearer correct-horse", b" 1\n"), ("Bearer wrong", b" 0\n"), (None, b" 0\n")):
        c = Client(server, upgrade=False)
        c.send(b"GET /a HTTP/1.1\r\nHost: x\r\n" + (b"Authorization: %s\r\n" % sent.encode() if sent else b"") + b"\r\n")
        status, headers = c.head()
        tap(c.body(headers).endswith(expected), "a plain request knows whether %s is right" % sent)
        c.close()
    server.end()


def requests(server):
    c = Client(server, upgrade=False)

    def get(head, body=b""):
        c.send(head.encode() + b"\r\nHost: x\r\n\r\n" + body)
        status, headers = c.head()
        return status, headers, b"" if head.startswith("HEAD") else c.body(headers)

    tap(get("GET /a/b%20c?x=1&y=2 HTTP/1.1")[2] == b"GET /a/b c ?x=1&y=2 1\n", "GET: path and query")
    tap(get("DELETE /api/1 HTTP/1.1")[2] == b"DELETE /api/1 ? 1\n", "DELETE, on the same connection")
    status, headers, body = get("HEAD /big?1000 HTTP/1.1")
    tap(status == 200 and headers["content-length"] == "1000", "HEAD: the head only")
    tap(get("POST /a HTTP/1.1\r\nContent-Length: 200000", b"z" * 200000)[2] == b"POST /a ? 1\n", "POST: its body is dropped")
    tap(get("GET /none HTTP/1.1")[0] == 404, "and the next request is served")
    for n in (0, 1, 65535, 65536, 65537, 8 << 20):
        status, headers, body = get("GET /big?%d HTTP/1.1" % n)
        tap(len(body) == n and body == (b"0123456789abcdef" * (n // 16 + 1))[:n], "a body of %d bytes" % n)
    tap(get("GET /ws/echo HTTP/1.1")[0] == 426, "the WebSocket's path without an upgrade: 426")
    c.send(b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n")
    bodies = [c.body(c.head()[1]) for i in range(2)]
    tap(bodies == [b"GET /1 ? 1\n", b"GET /2 ? 1\n"], "two requests at once")
    c.send(b"DELETE /1 HTTP/1.1\r\nHost: x\r\nOrigin: http://evil.example\r\n\r\n")
    tap(c.head()[0] == 403, "what is more than GET, from a foreign page: 403")
    c.close()
    answer = raw(server, b"GET /old HTTP/1.0\r\n\r\n")
    tap(answer is not None and answer.endswith(b"GET /old ? 1\n"), "HTTP/1.0, closed after it", answer)
    c = Client(server, upgrade=False)
    c.send(b"GET /one HTTP/1.1\r\nHost: x\r\n\r\n")
    c.body(c.head()[1])
    status, headers = c.handshake()
    tap(status == 101 and echoes(c), "a WebSocket on a connection that was used for a request")
    c.close()


def slow_heads():
    """Ten clients whose heads never end: nobody else waits."""
    server = Echo(first_message_s=1)
    slow = [Client(server, upgrade=False) for i in range(10)]
    begun = time.monotonic()
    ends = {}

    def drip(i):
        c, head = slow[i], b"GET /ws/echo HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"y" * 1000
        try:
            for b in head:
                c.send(bytes([b]))
                time.sleep(.05)
        except OSError:
            pass
        ends[i] = time.monotonic() - begun

    threads = [threading.Thread(target=drip, args=(i,)) for i in range(10)]
    for t in threads:
        t.start()
    c = Client(server)
    worst = 0
    for i in range(50):
        at = time.monotonic()
        assert echoes(c)
        worst = max(worst, time.monotonic() - at)
        time.sleep(.01)
    for t in threads:
        t.join()
    tap(max(ends.values()) < 10, "slow heads are cut off (after %.1f s)" % max(ends.values()), ends)
    tap(worst < 1, "and nobody waited for them (%.1f ms)" % (worst * 1e3))
    c.close()
    silent = Client(server, upgrade=False)
    try:
        silent.more()
        tap(False, "a connection that says nothing is ended")
    except Ended:
        tap(True, "a connection that says nothing is ended")
    found = server.end()
    tap(found["too_slow"] >= 11, "and they are counted", found)


def limits():
    server = Echo(max_connections=5)
    some = [Client(server) for i in range(5)]
    refused(server, 503, "the sixth of five")
    some.pop().close()
    time.sleep(.3)
    accepted(server, "when one has gone")
    server.end()
    server = Echo(max_per_address=2)
    some = [Client(server) for i in range(2)]
    refused(server, 503, "the third from one address")
    server.end()


def fails(what, name, **options):
    command = [os.path.join(os.environ["SGAPS_TESTS"], "live", "echo")] + ["%s=%s" % o for o in options.items()]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    tap(done.returncode > 1 and what in done.stderr, name, "%d %s" % (done.returncode, done.stderr))


def tls():
    with tempfile.TemporaryDirectory() as folder:
        def pair(name):
            cert, key = os.path.join(folder, name + ".pem"), os.path.join(folder, name + ".key")
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                            "-subj", "/CN=localhost", "-days", "2", "-keyout", key, "-out", cert], check=True,
                           stderr=subprocess.DEVNULL)
            return cert, key
        cert, key = pair("one")
        other = pair("two")[1]
        server = Echo(cert=cert, key=key, first_message_s=1)
        accepted(server, "over TLS")
        c = Client(server)
        data = b"x" * (1 << 20)
        c.send(frame(BINARY, data))
        tap(c.message() == (BINARY, data), "1 MB over TLS")
        c.close()
        tap(c.socket.version() is None, "closed")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["h2", "http/1.1"])
        with context.wrap_socket(socket.create_connection(("127.0.0.1", server.port))) as s:
            tap(s.selected_alpn_protocol() == "http/1.1", "h2 offered: http/1.1", s.selected_alpn_protocol())
            tap(s.version() in ("TLSv1.2", "TLSv1.3"), "at " + s.version())
        plain = type("Plain", (), {"port": server.port, "tls": False})
        tap(raw(plain, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") is not None, "a plain request to a TLS port: hung up")
        tap(raw(plain, b"\x16\x03\x01") is not None, "a TLS greeting that stops: hung up")
        accepted(server, "and the next over TLS")
        tap(server.end()["status"] == 0, "and it ends well")
        fails("no.pem", "a certificate that is not there is an error by name", cert=os.path.join(folder, "no.pem"), key=key)
        fails("--key", "a certificate without a key", cert=cert)
        fails("fit together", "a key of another certificate", cert=cert, key=other)
        fails("numeric", "an address that is a name", bind="localhost.example")


server = Echo(first_message_s=2)
for part in (subprotocols, compression, wrong_heads, http2, odd_heads, requests):
    part(server)
found = server.end()
tap(found["status"] == 0 and found["open"] == 0, "the server ends well", found)
for part in (origins, tokens, slow_heads, limits, tls):
    part()
tap.done()
