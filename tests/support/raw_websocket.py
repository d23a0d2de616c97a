"""A WebSocket client that can do wrong: every bit of a frame and every byte of a handshake is the caller's. And the echo
server (tests/live/echo.c) for the tests of lib/live/net, and TAP."""
import base64
import hashlib
import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import time

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
# The sanitizers slow everything down; a wait ends as soon as what it waits for is there.
SAN = bool(os.environ.get("SAN"))
PATIENCE = 60 if SAN else 15


class Echo:
    """The server, with options as in tests/live/echo.c."""

    def __init__(self, limit_files=None, **options):
        command = [os.path.join(os.environ["SGAPS_TESTS"], "live", "echo")]
        command += ["%s=%s" % pair for pair in options.items()]
        if limit_files:
            command = ["prlimit", "--nofile=%d" % limit_files] + command
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().split()[1])
        self.tls = "cert" in options

    def alive(self):
        return self.process.poll() is None

    def end(self):
        """Stops it; its statistics with exit status and seconds it took."""
        begun = time.monotonic()
        self.process.stdin.close()
        text = self.process.stdout.read()
        status = self.process.wait()
        found = json.loads(text) if text else {}
        found.update(status=status, end_seconds=time.monotonic() - begun)
        return found


def mask(data, key):
    n = len(data)
    long = (key * (n // 4 + 1))[:n]
    return (int.from_bytes(data, "little") ^ int.from_bytes(long, "little")).to_bytes(n, "little")


def frame(opcode, payload=b"", fin=1, rsv=0, masked=True, length=None):
    """length: what the header says, when it is not the truth."""
    n = len(payload) if length is None else length
    head = bytes([fin << 7 | rsv << 4 | opcode])
    bit = 128 if masked else 0
    if n < 126:
        head += bytes([bit | n])
    elif n < 65536:
        head += bytes([bit | 126]) + n.to_bytes(2, "big")
    else:
        head += bytes([bit | 127]) + n.to_bytes(8, "big")
    if not masked:
        return head + payload
    key = os.urandom(4)
    return head + key + mask(payload, key)


def close_body(code, reason=b""):
    return code.to_bytes(2, "big") + reason


class Ended(Exception):
    """The server's side of the TCP connection is at its end."""


class Client:
    """connect, send, and read frames one by one."""

    def __init__(self, server, upgrade=True, timeout=None, **handshake):
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout or PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if server.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            self.socket = context.wrap_socket(self.socket)
        self.buffer = b""
        self.reset = False
        if upgrade:
            self.status, self.headers = self.handshake(**handshake)

    def send(self, data, chop=0):
        """chop: bytes of one TCP send."""
        if not chop:
            self.socket.sendall(data)
            return
        for i in range(0, len(data), chop):
            self.socket.sendall(data[i:i + chop])

    def more(self):
        try:
            data = self.socket.recv(1 << 16)
        except ConnectionError:
            self.reset = True
            raise Ended from None
        if not data:
            raise Ended
        self.buffer += data

    def head(self):
        """The head of an HTTP answer: status and headers in lower case."""
        while b"\r\n\r\n" not in self.buffer:
            self.more()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        return int(lines[0].split()[1]), {k.lower(): v.strip() for k, v in (x.split(":", 1) for x in lines[1:])}

    def body(self, headers):
        n = int(headers.get("content-length", 0))
        while len(self.buffer) < n:
            self.more()
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def handshake(self, path="/ws/echo", method="GET", version="HTTP/1.1", extra=(), then=b"", **change):
        """change: headers by name with _ for -; None leaves one out."""
        key = base64.b64encode(os.urandom(16)).decode()
        headers = {"Host": "127.0.0.1", "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": key,
                   "Sec-WebSocket-Version": "13"}
        headers.update({k.replace("_", "-"): v for k, v in change.items()})
        lines = ["%s %s %s" % (method, path, version)]
        lines += ["%s: %s" % pair for pair in headers.items() if pair[1] is not None] + list(extra)
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + then)
        status, found = self.head()
        if status == 101:
            right = hashlib.sha1(headers["Sec-WebSocket-Key"].encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
            assert found["sec-websocket-accept"] == base64.b64encode(right).decode(), "Sec-WebSocket-Accept is wrong"
        return status, found

    def take(self, n):
        while len(self.buffer) < n:
            self.more()
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def frame(self):
        """The next frame: (opcode, fin, rsv, payload)."""
        a, b = self.take(2)
        n = b & 127
        if n > 125:
            n = int.from_bytes(self.take(2 if n == 126 else 8), "big")
        assert not b & 128, "the server masks"
        return a & 15, a >> 7, a >> 4 & 7, self.take(n)

    def message(self):
        """The next whole message, which must be all that comes: (opcode, payload)."""
        kind, payload = None, b""
        while True:
            opcode, fin, rsv, data = self.frame()
            assert rsv == 0, "reserved bits are set"
            if opcode >= 8:
                return opcode, data
            kind = opcode if kind is None else kind
            payload += data
            if fin:
                return kind, payload

    def farewell(self):
        """All that still comes until the server closes TCP, the close frame acknowledged as it should be: messages, code
        (None: no close frame)."""
        got, code = [], None
        try:
            while True:
                opcode, data = self.message()
                if opcode != CLOSE:
                    got.append((opcode, data))
                    continue
                code = int.from_bytes(data[:2], "big") if len(data) >= 2 else 1005
                try:
                    self.send(frame(CLOSE, data[:2]))
                except OSError:
                    pass
        except Ended:
            return got, code

    def close(self):
        self.socket.close()


class Neighbour:
    """A client that behaves, in a process of its own (tests/live/swarm.c): its round trips while others do not."""

    def __init__(self, server, seconds):
        url = "%s://127.0.0.1:%d/ws/echo" % ("wss" if server.tls else "ws", server.port)
        command = [os.path.join(os.environ["SGAPS_TESTS"], "live", "swarm"), url, "size=200", "seconds=%s" % seconds]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def end(self, tap, name):
        found = json.loads(self.process.communicate()[0])
        bound = 1 if SAN else .1
        tap(found["p99"] < bound and not found["bad"] and found["code"] == 1000,
            "%s: its neighbour's round trips: median %.0f us, 99 %% %.0f us, worst %.1f ms of %d" %
            (name, found["p50"] * 1e6, found["p99"] * 1e6, found["max"] * 1e3, found["messages"]), found)


def memory(server, what="VmRSS"):
    """kB, of the process or of the one that prlimit became."""
    with open("/proc/%d/status" % server.process.pid) as f:
        return next(int(line.split()[1]) for line in f if line.startswith(what))


def cpu(server):
    with open("/proc/%d/stat" % server.process.pid) as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cut(c):
    """RST instead of FIN."""
    c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    c.close()


def trips(c, n=200):
    """Seconds of n round trips, one after the other."""
    found = []
    for i in range(n):
        at = time.perf_counter()
        c.send(frame(TEXT, b"0123456789" * 20))
        c.message()
        found.append(time.perf_counter() - at)
    return found


def closes(tap, c, code, name, within=PATIENCE):
    """The server closes with this code, in this time."""
    begun = time.monotonic()
    try:
        got, found = c.farewell()
    except (socket.timeout, TimeoutError):
        got, found = [], "nothing"
    seconds = time.monotonic() - begun
    c.close()
    tap(found == code and seconds < within, "%s: %s after %.1f s" % (name, code, seconds), "%s %s" % (got[:2], found))


class Tap:
    """One line a case; `known` is why a case is expected to fail."""

    def __init__(self):
        self.count = self.failed = 0

    def __call__(self, good, name, why="", known=None):
        self.count += 1
        self.failed += not good and not known
        note = " # TODO " + known if known else ""
        print("%s %d - %s%s" % ("ok" if good else "not ok", self.count, name.replace("#", ""), note))
        if not good and why:
            for line in str(why).splitlines():
                print("# " + line)
        sys.stdout.flush()
        return good

    def done(self):
        print("1..%d" % self.count)
        sys.exit(1 if self.failed else 0)
