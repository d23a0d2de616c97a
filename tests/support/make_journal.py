#!/usr/bin/python3
"""make_journal.py DIR...: a small journal as sgaps-recording(5) describes it, made by that page alone: two sessions, the
first with a gap, a full frame and a reconstruction, the second not closed. session(s) below says what is in them."""
import os
import struct
import sys

import numpy as np

NAME = "20260101T000000Z-00000001"
START = 1767225600.0

TABLE = []
for byte in range(256):
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    TABLE.append(byte)


def crc32c(data):
    c = 0xFFFFFFFF
    for b in data:
        c = c >> 8 ^ TABLE[(c ^ b) & 255]
    return c ^ 0xFFFFFFFF


class Journal:
    def __init__(self):
        self.bytes, self.sequence = b"", 1
        self.put(0, 0, 0, struct.pack("<IIQQQ64s", 1, 0, 1, 0, 0, NAME.encode()))

    def put(self, kind, session, ordinal, content):
        padded = content + bytes(-len(content) % 8)
        head = struct.pack("<4sHHQQQddIII", b"SGJR", kind, 1, self.sequence, session, ordinal, float(self.sequence),
                           START + self.sequence / 64, len(content), crc32c(padded), 0)
        self.bytes += head + struct.pack("<I", crc32c(head)) + padded
        self.sequence += kind != 0

    def open(self, session, name, key):
        texts = [t.encode() + b"\0" for t in (name, key, "a client", '{"made": "by hand"}')]
        self.put(1, session, 0, struct.pack("<10Iddd", 16, 12, 640, 480, 4, *map(len, texts), 0, 30.0, -999.0, 255.0) +
                 b"".join(texts))

    def frame(self, session, k):
        f = frame(session, k)
        image = f["image"]
        w, h = (image.shape[1], image.shape[0]) if image is not None else (0, 0)
        self.put(2, session, k + 1, struct.pack("<qqdIIII", k, k // 2, k / 32, len(f["value"]), len(f["state"]), w, h) +
                 f["uv"].tobytes() + f["state"].tobytes() + f["value"].tobytes() +
                 (image.tobytes() if image is not None else b""))


def frame(session, k):
    """What frame k of a session holds."""
    n, j = 3 + k, np.arange(3 + k)
    uv = np.stack([(j * 13 + k) % 64 / 64, (j * 29 + session) % 64 / 64], 1).astype("<f4")
    image = (np.arange(12 * 16).reshape(12, 16) + k).astype("u1") if k % 4 == 0 and session == 1 else None
    return {"uv": uv, "value": (k + 5 * j).astype("u1"), "state": np.arange(k % 5, dtype="<f4") + k, "image": image}


def journal():
    j = Journal()
    j.open(1, "first", "demo")
    j.open(2, "second", "default")
    for k in range(12):
        if not 5 <= k < 8:
            j.frame(1, k)
        if k == 8:
            j.put(6, 1, 6, struct.pack("<qQII", 5, 3, 5, 0) + b"full\0")
        j.frame(2, k)
        uv = frame(1, k)["uv"]
        j.put(3, 1, 0, struct.pack("<qqII", k + 1, k // 2, len(uv), 0) + uv.tobytes())
        if k == 9:
            seen = (np.arange(12 * 16) % 251).astype("u1")
            j.put(4, 1, 0, struct.pack("<qIIII", 9, 16, 12, 4, 3) + (np.arange(12, dtype="<f4") / 12).tobytes() +
                  seen.tobytes())
    j.put(5, 1, 12, struct.pack("<iI", 1000, 9) + b"the end.\0")
    return j.bytes


if __name__ == "__main__":
    for folder in sys.argv[1:]:
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, NAME + "-000001.sgj"), "wb") as f:
            f.write(journal())
