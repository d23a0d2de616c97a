"""What the tests of the live loop share: a server of their own at a free port, a client that speaks the protocol as Unity's
does, TAP. Uses Debian's python3-websockets, h5py and numpy."""
import asyncio
import base64
import glob
import json
import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib

import h5py
import numpy as np
import websockets

ROOT = os.environ.get("SGAPS_ROOT") or os.getcwd()
BIN = os.environ.get("SGAPS_BIN") or os.path.join(ROOT, "bin")
SLOW = 10.0 if os.environ.get("SAN") else 1.0  # sanitised programs take their time
PATIENCE = 30 * SLOW


class Tap:
    def __init__(self):
        self.n = self.failed = 0

    def ok(self, good, name, *why):
        self.n += 1
        self.failed += not good
        print("ok" if good else "not ok", self.n, "-", name, flush=True)
        for line in why if not good else ():
            print("#", str(line).replace("\n", "\n# "), flush=True)
        return good

    def same(self, got, want, name):
        return self.ok(got == want, name, "got  %r" % (got,), "want %r" % (want,))

    def skip(self, name, reason):
        self.n += 1
        print("ok", self.n, "-", name, "# SKIP", reason)

    def done(self):
        print("1..%d" % self.n)
        sys.exit(bool(self.failed))


def tool(name):
    return os.path.join(BIN, "sgaps-" + name)


def run(*args, **more):
    """(exit code, stdout, stderr) of a tool."""
    p = subprocess.run([tool(args[0]), *map(str, args[1:])], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       timeout=4 * PATIENCE, **more)
    return p.returncode, p.stdout.decode(), p.stderr.decode()


def folder():
    """A folder that goes with the test."""
    keep = tempfile.TemporaryDirectory(prefix="sgaps-live-")
    folder.kept.append(keep)
    return keep.name


folder.kept = []


def checkpoint(path, seed=1, steps=1, size=32, more=()):
    """A small trained model at path (DIR/KEY)."""
    code, _, said = run("train", "-q", "-o", path, "--seed", seed, "--force", "--set", "model=spt-tiny", "--set",
                        "model.resolution=[%d,%d]" % (size, size), "--set", "training.batch_size=2", "--set",
                        "training.max_steps=%d" % steps, *more, os.path.join(ROOT, "examples/data/doom.h5"))
    assert code == 0, said


def eventually(test, seconds=PATIENCE):
    """Waits until test() gives something true, and gives that."""
    end = time.monotonic() + seconds
    while True:
        got = test()
        if got or time.monotonic() > end:
            return got
        time.sleep(0.02)


class Server:
    """sgaps-serve at a free port; what it says on stderr is in .lines."""

    def __init__(self, *args, small=True):
        # stale_ms 0: on a machine that is busy with other tests a frame is no failure because it waits
        size = ["--set", "server.resolution=[32,32]", "--set", "sampling.default_sample_count=40", "--set",
                "server.stale_ms=0"] if small else []
        self.lines = []
        self.process = subprocess.Popen([tool("serve"), "-p", "0", "-j", "1", *size, *map(str, args)],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        self.url = eventually(lambda: self.find(r"(wss?://\S+/ws/stream)") or self.process.poll() is not None)
        assert isinstance(self.url, str), "\n".join(self.lines)
        self.port = int(re.search(r":(\d+)/", self.url).group(1))

    def read(self):
        for line in self.process.stderr:
            self.lines.append(line.decode(errors="replace").rstrip("\n"))

    def find(self, pattern):
        for line in list(self.lines):
            found = re.search(pattern, line)
            if found:
                return found.group(1) if found.groups() else found.group(0)
        return None

    def tell(self, number):
        self.process.send_signal(number)

    def stop(self, number=signal.SIGTERM):
        """Ends it and gives its exit code; None: it did not end."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            code = None
        self.reader.join(5)
        return code

    def memory(self):
        """Resident bytes."""
        with open("/proc/%d/statm" % self.process.pid) as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def get(self, path, token=None):
        import urllib.request
        request = urllib.request.Request("http://127.0.0.1:%d%s" % (self.port, path))
        if token:
            request.add_header("Authorization", "Bearer " + token)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.read().decode()

    def metric(self, name):
        """The sum over all labels of a metric of /metrics."""
        total = None
        for line in self.get("/metrics").splitlines():
            if re.match(re.escape(name) + r"[ {]", line):
                total = (total or 0) + float(line.split()[-1])
        return total


def png(image):
    """An 8-bit grey PNG of (H,W)."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    h, w = image.shape
    rows = b"".join(b"\0" + image[y].tobytes() for y in range(h))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 0, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def picture(t, size=32):
    """A frame of a small moving game."""
    y, x = np.mgrid[0:size, 0:size] / size
    return (127.5 + 90 * np.sin(9 * x + 0.2 * t) * np.cos(7 * y) + 30 * (x > 0.5)).clip(0, 255).astype(np.uint8)


def values(image, uv):
    h, w = image.shape
    uv = np.asarray(uv, np.float64)
    x, y = (uv[:, 0] * w).astype(int).clip(0, w - 1), (uv[:, 1] * h).astype(int).clip(0, h - 1)
    return image[y, x]


class Client:
    """One connection. Messages that arrive are kept in .got by type, in order."""

    def __init__(self, url, **options):
        self.url, self.options = url, dict(max_size=None, ping_interval=None, open_timeout=PATIENCE,
                                           close_timeout=5, **options)
        self.got, self.sent = [], []
        self.uv = self.set_id = None
        self.arrived = None

    async def __aenter__(self):
        self.ws = await websockets.connect(self.url, **self.options)
        self.arrived = asyncio.Condition()
        self.task = asyncio.ensure_future(self.listen())
        return self

    async def __aexit__(self, *_):
        try:
            await self.ws.close()
        except websockets.ConnectionClosed:
            pass
        await asyncio.wait([self.task], timeout=PATIENCE)

    async def listen(self):
        try:
            async for text in self.ws:
                m = {"type": "binary", "payload": text} if isinstance(text, bytes) else json.loads(text)
                m["at"] = time.monotonic()
                if m["type"] == "uv_coordinates":
                    c = m["payload"]["coordinates"]
                    self.uv = [(p["u"], p["v"]) if isinstance(p, dict) else tuple(p) for p in c]
                    self.set_id = m["payload"]["set_id"]
                async with self.arrived:
                    self.got.append(m)
                    self.arrived.notify_all()
        except websockets.ConnectionClosed:
            pass
        async with self.arrived:
            self.got.append({"type": "closed", "payload": self.ws.close_code})
            self.arrived.notify_all()

    async def wait(self, kind, count=1, seconds=PATIENCE):
        """The payload of the count-th message of this kind, once it is there; None: it does not come."""
        def found():
            all_of_it = [m for m in self.got if m["type"] == kind]
            return all_of_it[count - 1] if len(all_of_it) >= count else None
        try:
            async with self.arrived:
                await asyncio.wait_for(self.arrived.wait_for(found), seconds)
        except asyncio.TimeoutError:
            return None
        return found()["payload"]

    def all(self, kind):
        return [m["payload"] for m in self.got if m["type"] == kind]

    async def say(self, kind, **payload):
        await self.ws.send(json.dumps({"type": kind, "payload": payload}))

    async def raw(self, data):
        await self.ws.send(data)

    async def start(self, key="default", **more):
        """session_start; waits for the ack and the first coordinates and gives the ack."""
        kind = "binary" if self.ws.subprotocol == "sgaps.v1.bin" else "uv_coordinates"
        acks, sets = len(self.all("session_start_ack")), len(self.all(kind))
        await self.say("session_start", **{"checkpoint_key": key, "resolution": [640, 480], "client_name": "test", **more})
        self.ack = await self.wait("session_start_ack", acks + 1)
        await self.wait(kind, sets + 1)
        return self.ack

    def frame(self, k, state=(1.5, -2.25), image=None, **more):
        """A frame_data of the set in force; what was sent is kept in .sent."""
        value = values(picture(k) if image is None else image, self.uv)
        pixels = [{"u": u, "v": v, "value": int(x)} for (u, v), x in zip(self.uv, value)]
        payload = {"frame_id": k, "timestamp": k / 10, "resolution": [640, 480], "num_pixels": len(pixels),
                   "pixels": pixels, "state_vector": list(state), **more}
        self.sent.append(payload)
        return payload

    async def send_frame(self, k, **more):
        await self.say("frame_data", **self.frame(k, **more))

    async def error(self, data=None, kind=None, count=1, **payload):
        """Sends something wrong and gives the error's code."""
        before = len(self.all("error"))
        if kind:
            await self.say(kind, **payload)
        else:
            await self.ws.send(data)
        e = await self.wait("error", before + count)
        return e["code"] if e else None


def recordings(data, key="*", session="*"):
    return sorted(glob.glob(os.path.join(data, key, "*-%s.h5" % session)))


def recording(data, session, seconds=PATIENCE):
    """The file of a session once it is there, as a dictionary of arrays and attributes."""
    found = eventually(lambda: recordings(data, session=session), seconds)
    if not found:
        return None
    with h5py.File(found[0]) as f:
        s = f[f.attrs["default"]]
        out = {name: s[name][()] for name in ("frame_id", "timestamp", "state", "state_len", "frames",
                                              "reconstruction", "importance", "frames_t") if name in s}
        out.update({name: s["samples"][name][()] for name in s["samples"]})
        out["attrs"] = dict(s.attrs)
        out["path"] = found[0]
    return out


def rows(rec):
    """(frame_id, uv bytes, values, state) of every recorded frame."""
    o = rec["offset"]
    return [(int(rec["frame_id"][t]), rec["uv"][o[t]:o[t + 1]].tobytes(), rec["value"][o[t]:o[t + 1]].tobytes(),
             rec["state"][t][:rec["state_len"][t]].tobytes()) for t in range(len(rec["frame_id"]))]


def sent_rows(sent):
    """The same of what a client sent."""
    out = []
    for p in sent:
        uv = np.array([(q["u"], q["v"]) for q in p["pixels"]], np.float64).astype(np.float32)
        value = np.array([q["value"] for q in p["pixels"]], np.uint8)
        out.append((p["frame_id"], uv.tobytes(), value.tobytes(), np.array(p["state_vector"], np.float32).tobytes()))
    return out


def base64_png(image):
    """As Unity sends it: the bottom row first."""
    return base64.b64encode(png(image[::-1])).decode()
