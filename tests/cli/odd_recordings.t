#!/usr/bin/python3
"""Recordings that are unlike those of the game at hand, written by h5py from the page on files alone: sessions in which
nothing came, frames of one pixel and of long thin shapes, films that do not say how fast they are."""
import json
import os
import shutil
import subprocess
import tempfile

import h5py
import numpy as np

BIN = os.environ["SGAPS_BIN"]
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)
count = 0


def ok(good, text, more=""):
    global count
    count += 1
    print("ok" if good else "not ok", count, "-", text)
    if not good and more:
        print("\n".join("# " + line for line in str(more).splitlines()))


def tool(name, *arguments, data=None):
    return subprocess.run([os.path.join(BIN, "sgaps-" + name), *arguments], input=data, capture_output=True)


def discs(T, H, W):
    t, y, x = np.mgrid[0:T, 0:H, 0:W]
    return np.where((x - W * (t + 1) / (T + 1)) ** 2 + (y - H / 2) ** 2 < (H / 3) ** 2, 230,
                    20 + 60 * y // H).astype(np.uint8)


def session(f, name, T, H, W, n=20):
    g = f.create_group("sessions/" + name)
    g.attrs.update(session_id=name, checkpoint_key="default", target_fps=np.float32(10), sentinel=np.float32(-999),
                   resolution=np.array([W, H], np.uint32), closed=np.uint8(1))
    images, rng = discs(T, H, W), np.random.default_rng(T)
    at = np.array([rng.permutation(H * W)[:n] for _ in range(T)], int).reshape(T, n)
    y, x = at // W, at % W
    g["frame_id"] = np.arange(T, dtype=np.int64)
    g["timestamp"] = np.arange(T) / 10.0
    g["samples/offset"] = n * np.arange(T + 1, dtype=np.uint64)
    g["samples/uv"] = np.stack([(x + 0.5) / W, (y + 0.5) / H], 2).astype(np.float32).reshape(-1, 2)
    g["samples/value"] = images[np.arange(T)[:, None], y, x].reshape(-1)
    g.create_dataset("frames", data=images, chunks=(1, H, W), maxshape=(None, H, W))


def recording(path, **sessions):
    with h5py.File(path, "w", libver="earliest") as f:
        f.attrs.update(format="sgaps-recording", format_version=np.int32(1), default="sessions/" + next(iter(sessions)))
        for name, shape in sessions.items():
            session(f, name, *shape)


def older(path, **frames):
    with h5py.File(path, "w") as f:
        for name, T in frames.items():
            f.create_group(name + "/frames")
            f.create_group(name + "/metadata").attrs["frame_count"] = T
            for t, image in enumerate(discs(T, 24, 32) if T else []):
                g = f.create_group(f"{name}/frames/{t}")
                g.attrs.update(resolution=[32, 24], timestamp=t / 10)
                g["pixels"] = np.random.default_rng(t).uniform(0, 1, (12, 3)).astype(np.float32) * np.float32([1, 1, 255])
                g["image"] = image


recording("gone.h5", a=(6, 24, 32), gone=(0, 24, 32), z=(6, 24, 32))
older("gone-older.h5", a=6, gone=0, z=6)
for path in "gone.h5", "gone-older.h5":
    for name, *arguments in (
            ["import", path, "-o", "out.h5"], ["clean", "-q", path, "-o", "out.h5"],
            ["sample", "-n", "9", path, "-o", "out.h5"], ["reconstruct", "--method", "linear", path, "-o", "out.h5"],
            ["eval", "-q", path, "out.h5"], ["eval", "-q", "--method", "linear", path], ["info", "--check", path]):
        r = tool(name, *arguments)
        ok(r.returncode == 0, f"sgaps-{name} {' '.join(arguments)}: a session without frames stops nothing", r.stderr.decode())
    r = tool("train", "--dry-run", "--json", "--set", "model=spt-tiny", "-o", "run", path)
    said = json.loads(r.stdout or "{}")
    ok(r.returncode == 0 and "ssim" in said.get("loss", "") and not r.stderr and
       said["train_sessions"] + said["validation_sessions"] == 2,
       f"{path}: training takes the loss for full frames, whatever an empty session lacks", r.stdout + r.stderr)
older("none.h5", a=0)
for name, *arguments in ["clean", "none.h5", "-o", "out.h5"], ["eval", "--method", "linear", "none.h5"], ["info", "none.h5"]:
    r = tool(name, *arguments)
    ok(r.returncode == 65 and b"no frames" in r.stderr, f"sgaps-{name}: only empty sessions are no recording", r.stderr.decode())

for shape in (1, 1), (7, 320), (320, 7), (37, 53):
    path, n = "%dx%d.h5" % shape, min(9, shape[0] * shape[1])
    recording(path, s=(3, *shape, n))
    r = [tool("sample", "-n", str(n), path, "-o", "sparse.h5"), tool("reconstruct", "--method", "natural", "sparse.h5", "-o", "back.h5"),
         tool("eval", "-q", "--json", path, "back.h5")]
    said = json.loads(r[2].stdout or "{}")
    ok(not any(x.returncode for x in r) and said.get("frames") == 3, f"{path}: sampled, rebuilt, compared", r)

film = b"".join(b"P5\n5 4\n255\n" + bytes([t] * 20) for t in range(3))
r = tool("import", "-o", "film.h5", data=film)
with h5py.File("film.h5") as f:
    s = f[f.attrs["default"]]
    ok(s.attrs["target_fps"] == 10 and np.allclose(s["timestamp"][:], [0, 0.1, 0.2]),
       "a film that does not say has ten frames a second", dict(s.attrs))
recording("sound.h5", s=(2, 9, 12, 5))
for where, name, value, word in (
        ("/", "default", "sessions/other", "no group"), ("sessions/s", "resolution", "wide", "[W,H]"), ("sessions/s", "resolution", [-1, -1], "[W,H]"),
        ("sessions/s", "screen", np.uint32(640), "[W,H]"), ("sessions/s", "target_fps", "ten", "finite"),
        ("sessions/s", "target_fps", np.nan, "finite"), ("sessions/s", "sentinel", np.float32(np.inf), "finite")):
    shutil.copy("sound.h5", "wrong.h5")
    with h5py.File("wrong.h5", "a") as f:
        f[where].attrs[name] = value
    r = tool("info", "--check", "wrong.h5")
    ok(r.returncode == 1 and name.encode() in r.stdout and word.encode() in r.stdout, f"--check: {name} {value!r} is a fault", r)

message = lambda kind, **payload: json.dumps({"type": kind, "payload": payload}) + "\n"
frame = message("frame_data", frame_id=4, timestamp=0.4, resolution=[640, 360], num_pixels=1, pixels=[{"u": 0.5, "v": 0.5, "value": 9}],
                state_vector=[1])
both = message("session_start", checkpoint_key="k", resolution=[640, 360]) + message(
    "session_start_ack", checkpoint_key="k", target_fps=15, resolution=[48, 32], session_id="x") + message(
    "uv_coordinates", target_frame_id=0, set_id=0, coordinates=[{"u": 0.5, "v": 0.5}]) + frame
for text, size, fps in (both, [48, 32], 15), (frame, [640, 360], 10):
    r = tool("import", "-o", "said.h5", data=text.encode())
    with h5py.File("said.h5") as f:
        a = f[f.attrs["default"]].attrs
        ok(list(a["resolution"]) == size and a["target_fps"] == fps and ("screen" in a) == (size[0] == 48),
           "messages: the server's answer tells the size of the frames, else the client's screen does", dict(a))
print(f"1..{count}")
