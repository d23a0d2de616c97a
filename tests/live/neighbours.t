#!/usr/bin/python3
"""One bad client among good ones: one that is frozen, one that never reads, ones that are cut off in the middle of a message.
The others keep their latency, and of none of them a frame is lost."""
import asyncio
import json
import multiprocessing
import os
import socket
import statistics
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.environ.get("SGAPS_ROOT", "."), "tests/support"))
from live import SLOW, Client, Server, Tap, eventually, folder, recording, rows, sent_rows

tap = Tap()
FPS, SECONDS = 10, 4


class Raw:
    """A client by hand, which does what no library would."""

    def __init__(self, port, room=None):
        self.s = socket.socket()
        if room:
            self.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        self.s.settimeout(20 * SLOW)
        self.s.connect(("127.0.0.1", port))
        self.s.sendall(b"GET /ws/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
        head = b""
        while b"\r\n\r\n" not in head:
            head += self.s.recv(1)

    @staticmethod
    def message(kind, **payload):
        data = json.dumps({"type": kind, "payload": payload}).encode()
        return struct.pack(">BBH", 0x81, 0xfe, len(data)) + bytes(4) + data if len(data) > 125 else \
            struct.pack(">BB", 0x81, 0x80 | len(data)) + bytes(4) + data

    def say(self, kind, **payload):
        self.s.sendall(self.message(kind, **payload))

    def frame(self, k):
        return dict(frame_id=k, timestamp=k / 10, resolution=[64, 64], num_pixels=1,
                    pixels=[{"u": 0.5, "v": 0.5, "value": k % 256}], state_vector=[])

    def cut(self):
        self.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.s.close()


async def good(server, latencies, seconds, first):
    """Frames at a fixed rate whatever comes back; how long each answer takes."""
    async with Client(server.url) as c:
        await c.start()
        began, due = time.monotonic(), {}
        for k in range(first, first + int(FPS * seconds)):
            at = began + (k - first) / FPS
            await asyncio.sleep(max(0, at - time.monotonic()))
            due[k + 1] = time.monotonic()
            await c.send_frame(k)
        await c.wait("uv_coordinates", 1 + len(due), 5)
        for m in c.got:
            if m["type"] == "uv_coordinates" and m["payload"]["target_frame_id"] in due:
                latencies.append(m["at"] - due[m["payload"]["target_frame_id"]])
    return c


async def three(server, seconds=SECONDS):
    latencies = []
    clients = await asyncio.gather(*(good(server, latencies, seconds, 100 * k) for k in range(3)))
    return clients, latencies


def never_reads(port, stop, ended):
    """Asks for coordinates a hundred times a second, and takes none."""
    r = Raw(port, 4096)
    r.say("session_start", checkpoint_key="unread", resolution=[64, 64])
    frames = [r.message("frame_data", **r.frame(k)) for k in range(100)]
    for k in range(12000):
        try:
            r.s.sendall(frames[k % 100])
        except OSError:
            ended.value = 1
            break
        time.sleep(0.01)
        if stop.is_set():
            break
    r.s.close()


def cuts(port, stop, count):
    """Half a frame, and gone without a word; again and again."""
    while not stop.is_set():
        r = Raw(port)
        r.say("session_start", checkpoint_key="cut", resolution=[64, 64])
        for k in range(3):
            r.say("frame_data", **r.frame(k))
        whole = r.message("frame_data", **r.frame(3))
        r.s.sendall(whole[:len(whole) // 2])
        time.sleep(0.3)
        r.cut()
        count.value += 1


async def main(server, data):
    calm_clients, calm = await three(server)
    tap.same(sum(len(c.all("error")) for c in calm_clients), 0, "three good clients alone: no error")
    frozen = Raw(server.port, 4096)
    frozen.say("session_start", checkpoint_key="frozen", resolution=[64, 64])
    half = Raw(server.port)
    half.s.sendall(half.message("session_start", checkpoint_key="half", resolution=[64, 64])[:20])
    fork = multiprocessing.get_context("fork")  # in processes of their own: what is timed here is the server
    stop, ended, cut = fork.Event(), fork.Value("i", 0), fork.Value("i", 0)
    bad = [fork.Process(target=never_reads, args=(server.port, stop, ended)),
           fork.Process(target=cuts, args=(server.port, stop, cut))]
    for b in bad:
        b.start()
    clients, among = await three(server, SECONDS + 2)
    eventually(lambda: ended.value)
    stop.set()
    for b in bad:
        b.join()
    tap.ok(ended.value, "a client that never reads is closed in the end")
    tap.ok(cut.value > 3, "clients were cut off in the middle of a message", cut.value)
    tap.same(sum(len(c.all("error")) + len(c.all("closed")) - 1 for c in clients), 0, "the good ones saw no error")
    frames = [len(c.sent) for c in clients]
    answers = [len(c.all("uv_coordinates")) for c in clients]
    alone = sum(len(c.all("uv_coordinates")) for c in calm_clients) / sum(len(c.sent) for c in calm_clients)
    tap.ok(min(a / f for a, f in zip(answers, frames)) > 0.7 * alone, "and got their answers", alone, answers, frames)
    a, b = statistics.median(calm), statistics.median(among)
    # A bound that holds on a machine where other tests run; SPEED.md has the figure of a quiet one.
    tap.ok(b < 4 * a + 0.1, "in the time they got them alone", "median %.2f ms alone, %.2f ms among them" % (1e3 * a, 1e3 * b))
    print("# median of %d answers %.2f ms alone, of %d %.2f ms among bad ones" % (len(calm), 1e3 * a, len(among), 1e3 * b))
    whole = 0
    for c in calm_clients + clients:
        rec = recording(data, c.ack["session_id"])
        whole += rec is not None and rows(rec) == sent_rows(c.sent)
    tap.same(whole, 6, "every frame of every good one is recorded, bit for bit")
    frozen.s.close()
    half.s.close()

    def cut_files():
        return [f for f in os.listdir(data + "/cut") if f.endswith(".h5") and ".part" not in f] if os.path.isdir(data + "/cut") else []
    tap.ok(eventually(lambda: len(cut_files()) == cut.value), "and of those that were cut off a file each", cut.value, cut_files())
    import h5py
    got = set()
    for name in cut_files():
        with h5py.File(data + "/cut/" + name) as f:
            got.add(tuple(f[f.attrs["default"]]["frame_id"][()]))
    tap.same(got, {(0, 1, 2)}, "with the frames that were whole")


data = folder()
server = Server("--record", data, "--set", "server.resolution=[64,64]", "--set", "sampling.default_sample_count=300", "--set",
                "mask_update.fixed_interval=1", "--set", "server.resume_s=0.5", "--set", "server.max_frame_rate=0", "--set",
                "sampling.strategy=random", "--set", "sampling.initial=random", "--set", "server.max_unread_bytes=1048576", small=False)
asyncio.run(main(server, data))
tap.same(server.stop(), 0, "ends with 0")
tap.done()
