"""bad_recordings.py DIR: recordings and checkpoints, sound ones of every age and broken ones, written by h5py alone."""
import hashlib
import os
import sys

import h5py
import numpy as np

os.chdir(sys.argv[1])
TEXT8 = h5py.string_dtype("utf-8")


def recording(name, T=6, S=3, W=8, H=6, N=5, **attrs):
    f = h5py.File(name, "w", libver="earliest")
    f.attrs.update(dict(format="sgaps-recording", format_version=np.int32(1), uuid="u", config="{}") | attrs)
    s = f.create_group("sessions/a")
    s.attrs.update(resolution=np.array([W, H], np.uint32), target_fps=np.float32(10), closed=np.uint8(1))
    s["frame_id"] = np.arange(T, dtype=np.int64)
    s["timestamp"] = np.arange(T) / 10.0
    s["state"] = np.ones((T, S), np.float32)
    s["state_len"] = np.full(T, S, np.uint16)
    s["samples/offset"] = N * np.arange(T + 1, dtype=np.uint64)
    s["samples/uv"] = np.full((T * N, 2), 0.5, np.float32)
    s["samples/value"] = np.full(T * N, 7, np.uint8)
    s.create_dataset("frames", data=np.arange(T * H * W).astype(np.uint8).reshape(T, H, W), chunks=(1, H, W), maxshape=(None, H, W),
                     compression=1)
    return f, s


def replace(s, name, data, **kw):
    del s[name]
    return s.create_dataset(name, data=data, **kw)


# --- sound ---
f, s = recording("sound.h5")
f, s = recording("types.h5")  # other types than the format's own, fixed-length text
f.attrs["format"] = np.bytes_("sgaps-recording")
s.attrs["checkpoint_key"] = np.bytes_("fixed")
s.attrs["closed"] = True
s.attrs["something"] = "unknown"
s["unknown"] = np.zeros(3)
replace(s, "frame_id", np.arange(100, 106, dtype=np.int32))
replace(s, "timestamp", np.arange(6, dtype=np.float32))
replace(s, "samples/uv", np.full((30, 2), 0.25, np.float64))
replace(s, "samples/offset", np.arange(0, 31, 5, dtype=np.int16))
replace(s, "state", np.ones((6, 3), np.float64))
replace(s, "frames", np.full((6, 6, 8), 9, np.int32))
s["state"].attrs["state_names"] = np.array([b"x", b"yy"])
f, s = recording("short.h5")  # a writer that was killed: the shortest column counts
replace(s, "timestamp", np.arange(4) / 10.0)
f, s = recording("some.h5")  # full frames on some rows
replace(s, "frames", np.full((2, 6, 8), 5, np.uint8))
s["frames_t"] = np.array([1, 4], np.uint64)
f, s = recording("film.h5")  # no state, no samples, no columns at all
for name in "frame_id timestamp state state_len samples".split():
    del s[name]
f, s = recording("empty-session.h5", T=0)

with h5py.File("older.h5", "w") as f:
    for n in [0, 1, 2, 10, 9, 100]:
        g = f.create_group(f"s1/frames/{n}")
        g.attrs["resolution"] = [640, 480]
        g.attrs["timestamp"] = n / 10
        if n != 9:
            g["pixels"] = np.array([[0.25, 0.75, n], [0.5, 0.5, 254.6]], np.float32)
        if n != 1:
            g["state_vector"] = np.arange(4 if n else 3, dtype=np.float32)
        if n % 10 == 0:
            g["image"] = np.full((6, 8), n, np.uint8)
    f["s1"].create_group("metadata").attrs["frame_count"] = 6
    g = f.create_group("s2/frames/frame_0003")
    g["pixels"] = np.array([[0, 1, 255]], np.float32)
    g["timestamp"] = 1.5
    g["ground_truth"] = np.full((6, 8), 77, np.uint8)
    f.create_group("s2/frames/notes")

# --- broken ---


def broken(name, change, **kw):
    f, s = recording(name + ".h5", **kw)
    change(f, s)
    f.close()


def attr(name, value):
    def change(f, s):
        f.attrs[name] = value
    return change


broken("version", attr("format_version", np.int32(2)))
broken("no-version", lambda f, s: f.attrs.pop("format_version"))
broken("other-format", attr("format", "something"))
broken("no-sessions", lambda f, s: f.pop("sessions"))
broken("session-is-dataset", lambda f, s: f.__setitem__("sessions/b", np.zeros(3)))
broken("resolution", lambda f, s: s.attrs.update(resolution=np.array([9, 6], np.uint32)))
broken("no-resolution", lambda f, s: (s.attrs.pop("resolution"), s.pop("frames")))
broken("float-frames", lambda f, s: replace(s, "frames", np.zeros((6, 6, 8), np.float32)))
broken("tall-frames", lambda f, s: replace(s, "frames", np.zeros((6, 600, 800), np.uint8)))
broken("tall-result", lambda f, s: s.__setitem__("reconstruction", np.zeros((6, 600, 800), np.float32)))
broken("no-size", lambda f, s: (s.pop("frames"), s.attrs.update(resolution=np.array([1 << 31, 1 << 31], np.uint32))))
broken("flat-frames", lambda f, s: replace(s, "frames", np.zeros((6, 48), np.uint8)))
broken("text-state", lambda f, s: replace(s, "state", np.array([b"a"] * 6)))
broken("group-state", lambda f, s: (s.pop("state"), s.create_group("state")))
broken("uv-three", lambda f, s: replace(s, "samples/uv", np.zeros((30, 3), np.float32)))
broken("no-value", lambda f, s: s["samples"].pop("value"))
broken("nothing", lambda f, s: (s.pop("samples"), s.pop("frames")))
broken("compound", lambda f, s: replace(s, "timestamp", np.zeros(6, [("a", "f4")])))
broken("rows-backwards", lambda f, s: (replace(s, "frames", np.zeros((2, 6, 8), np.uint8)),
                                       s.__setitem__("frames_t", np.array([4, 1], np.uint64))))


def huge(f, s):
    del s["state"]
    s.create_dataset("state", shape=(1 << 40, 3), dtype="f4", chunks=(1024, 3), compression=1)


broken("huge", huge)


def huge_chunk(f, s):
    del s["frames"]
    s.create_dataset("frames", shape=(6, 6, 8), maxshape=(None, None, None), dtype="u1", chunks=(60, 6000, 8000))


broken("huge-chunk", huge_chunk)


def external(f, s):
    del s["timestamp"]
    s.create_dataset("timestamp", shape=(6,), dtype="f8", external=[("/etc/passwd", 0, 48)])


broken("external", external)

# faults in the numbers: it opens, --check lists them all
f, s = recording("faults.h5")
s["samples/uv"][7, 0] = 1.7
s["samples/uv"][8, 1] = np.nan
s["state"][2, 1] = np.inf
s["timestamp"][3] = -5
s["state_len"][4] = 9
f.close()
f, s = recording("clock.h5")
s["timestamp"][3] = -5
f.close()
f, s = recording("offsets.h5")
s["samples/offset"][3] = 29
f.close()
with h5py.File("older-bad.h5", "w") as f:
    f["s/frames/0/pixels"] = np.zeros((4, 2), np.float32)
with h5py.File("older-value.h5", "w") as f:
    f["s/frames/0/pixels"] = np.array([[0.5, 0.5, 300]], np.float32)
    f["s/frames/0"].attrs["resolution"] = [64, 48]
with h5py.File("plain.h5", "w") as f:
    f["x"] = np.zeros(3)
    f["y/frames"] = np.zeros((3, 6, 8), np.uint8)
open("empty.h5", "w").close()
open("text.h5", "w").write("no recording\n")
h5py.File("sound.h5").close()
data = open("sound.h5", "rb").read()
open("cut.h5", "wb").write(data[: len(data) // 2])
# a gzip stream in the middle of the frames is damaged
with h5py.File("sound.h5") as f:
    info = f["sessions/a/frames"].id.get_chunk_info(2)
open("damaged.h5", "wb").write(data[: info.byte_offset] + b"\x55" * info.size + data[info.byte_offset + info.size:])

# --- checkpoints ---


def checkpoint(name, tensors, sha=True, **attrs):
    with h5py.File(name, "w", libver="earliest") as f:
        f.attrs.update(dict(format="sgaps-checkpoint", format_version=np.int32(1), model="spt", config="{}") | attrs)
        g = f.create_group("model_state_dict", track_order=True)
        h = hashlib.sha256()
        for k, v in tensors.items():
            g[k] = v
            h.update(v.tobytes())
        if sha:
            g.attrs["sha256"] = h.hexdigest() if sha is True else sha


w = {"_orig_mod.b.weight": np.ones((2, 3), np.float32), "a.bias": np.zeros(3, np.float32),
     "query_grid": np.zeros(1, np.float32)}
checkpoint("ck.h5", w, sha=False)
checkpoint("ck-sha.h5", w, sha="0" * 64)
checkpoint("ck-nan.h5", {"a": np.full(3, np.nan, np.float32)})
checkpoint("ck-version.h5", w, format_version=np.int32(3))
checkpoint("ck-model.h5", w, model="unet")
checkpoint("ck-none.h5", {})
