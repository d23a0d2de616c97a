"""What the tests of the recorder share: tests/live/record_load as a process, what it said, what a recording ought to hold."""
import json
import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

BIN, TESTS = os.environ["SGAPS_BIN"], os.environ["SGAPS_TESTS"]
LOAD = os.path.join(TESTS, "live", "record_load")
IMPORT = os.path.join(BIN, "sgaps-import")
STATE, W, H = 8, 16, 12
SAMPLES = 20  # of a frame, at most; record_load is told

count = failed = 0


def ok(good, name, *why):
    global count, failed
    count += 1
    failed += not good
    print(("ok" if good else "not ok"), count, "-", name, flush=True)
    for line in why[:20] if not good else ():
        print("#", line, flush=True)


def children(pid):
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as f:
                    parent = int(f.read().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):
                continue
            if parent == pid:
                found.append(int(entry))
    return found


def done():
    print(f"1..{count}")
    return failed > 0


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def convert(folder, seconds=120):
    """What is left becomes recordings. A conversion whose parent was killed may still be at it: its journal is passed over
    until it is done. The last run's exit status and messages."""
    end = time.monotonic() + seconds
    while True:
        run = subprocess.run([IMPORT, "-q", "--convert", folder], capture_output=True, text=True)
        if run.returncode or not os.listdir(os.path.join(folder, "journal")) or time.monotonic() > end:
            return run
        time.sleep(0.1)


class Account:
    """What the processes said: how many frames of a session are written, after how many it was closed."""

    def __init__(self):
        self.written, self.ended, self.events, self.stats = {}, {}, [], {}

    def read(self, text):
        names = {}
        for line in text.split("\n")[:-1]:  # the last one may be cut
            word = line.split(" ")
            if word[0] == "open":
                names[word[1]] = word[2]
                self.written.setdefault(word[2], 0)
            elif word[0] == "wrote":
                name = names[word[1]]
                self.written[name] += 1
            elif word[0] == "end":
                self.ended[word[1]] = int(word[2])
            elif word[0] == "event":
                self.events.append(line[6:])
            elif word[0] == "stats":
                self.stats = {word[i]: float(word[i + 1]) for i in range(1, len(word) - 1, 2)}


def expect(salt, k, samples):
    n = 1 + (k + salt) % samples
    j = np.arange(n)
    uv = np.stack([((k * 7 + j * 13 + salt) % 1024) / 1024, ((k * 3 + j * 29 + salt) % 1024) / 1024], 1).astype("f4")
    value = ((k + 5 * j + 11 * salt) & 255).astype("u1")
    state = np.full(STATE, -999, "f4")
    m = k % (STATE + 1)
    state[:m] = k * 10 + np.arange(m) + salt
    return uv, value, state, m


def picture(salt, k):
    return ((k + np.arange(W * H) + salt) & 255).astype("u1").reshape(H, W)


def missing_of(s):
    """The ordinals that the gaps name."""
    return [i for g in json.loads(s.attrs["gaps"]) for i in range(g["after"] + 1, g["after"] + 1 + g["count"])]


def faults_of(s, salt, written, ended, gaps=False, samples=SAMPLES):
    """Everything in a session's group that is not as it was sent. gaps: frames may be missing, if they are named."""
    T = s["frame_id"].shape[0]
    id_of = s["frame_id"][:]
    missing, received = missing_of(s), int(s.attrs["frames_received"])
    faults = []
    if T < written:
        faults.append(f"{T} frames, {written} were written")
    if ended is not None and s.attrs["closed"] == 1 and received != ended:
        faults.append(f"{received} frames received, it was closed after {ended}")
    if missing and not gaps:
        faults.append(f"gaps {s.attrs['gaps']}")
    # frame k was the one received as number k + 1: those that are there and those that are missing are all of them, once
    if sorted([*(id_of + 1), *missing]) != list(range(1, received + 1)) or (np.diff(id_of) <= 0).any():
        faults.append(f"{T} frames and {len(missing)} missing are not the {received} received")
    if s.attrs["client_name"] != "load \x1b[31m\xe9" or list(s.attrs["screen"]) != [640, 480]:
        faults.append("attributes")
    if not np.array_equal(s["samples/set"][:], id_of // 3):
        faults.append("samples/set")
    if not np.array_equal(s["timestamp"][:], id_of / 32):
        faults.append("timestamp")
    if T and (np.diff(s["recv_time"][:]) < 0).any():
        faults.append("recv_time runs backwards")
    offset, uv, value = s["samples/offset"][:], s["samples/uv"][:], s["samples/value"][:]
    state, length = s["state"][:], s["state_len"][:]
    for t, k in enumerate(map(int, id_of)):
        a, b = offset[t], offset[t + 1]
        want = expect(salt, k, samples)
        if not (np.array_equal(uv[a:b], want[0]) and np.array_equal(value[a:b], want[1]) and
                np.array_equal(state[t], want[2]) and length[t] == want[3]):
            faults.append(f"row {t} is not what was sent")
    return faults + picture_faults(s, salt, id_of)


def picture_faults(s, salt, id_of):
    T, faults = len(id_of), []
    if "frames" in s:
        rows = s["frames_t"][:] if "frames_t" in s else np.arange(T)
        if list(id_of[rows]) != [k for k in id_of if k % 4 == 0]:
            faults.append("full frames are not those of every fourth row")
        for i, t in enumerate(rows):
            if not np.array_equal(s["frames"][i], picture(salt, int(id_of[t]))):
                faults.append(f"full frame of row {t}")
    if "reconstruction" in s:
        of = s["reconstruction_of"][:]
        for t, k in enumerate(map(int, id_of)):
            if of[t] > k or (k % 5 < 3 and of[t] != k and t < T - 1):
                faults.append(f"row {t} shows the reconstruction of {of[t]}")
            if of[t] >= 0 and not np.array_equal(s["reconstruction"][t], picture(salt, int(of[t]))):
                faults.append(f"reconstruction of row {t}")
    return faults


def check(folder, account, name, gaps=False, samples=SAMPLES):
    faults, seen, frames = [], set(), 0
    for path in sorted(Path(folder).rglob("*")):
        if path.is_dir() or path.parent.name == "journal":
            continue
        if not re.fullmatch(r"\d{8}T\d{6}Z-\S+\.h5", path.name):
            faults.append(f"{path} is left")
            continue
        with h5py.File(path) as f:
            (name_of,) = f["sessions"]
            s = f["sessions"][name_of]
            if name_of in seen:
                faults.append(f"{name_of}: is there twice")
            seen.add(name_of)
            frames += s["frame_id"].shape[0]
            salt = int(name_of.rsplit("-", 1)[1])
            faults += [f"{path.name}: {x}" for x in
                       faults_of(s, salt, account.written.get(name_of, 0), account.ended.get(name_of), gaps,
                                 samples)]
    faults += [f"{n}: is missing" for n, w in account.written.items() if w and n not in seen]
    faults += [f"{p} is left" for p in Path(folder, "journal").iterdir()]
    ok(not faults, f"{name}: {len(seen)} sessions with {frames} frames, {sum(account.written.values())} of them known "
       "to be written", *faults)
    return seen, frames


def start(folder, tag, seconds, *options, frames=30, samples=SAMPLES, segment=60000, before=()):
    """record_load, and the file with what it says."""
    log = tempfile.TemporaryFile()
    p = subprocess.Popen([*before, LOAD, folder, tag, str(seconds), str(frames), str(samples), str(segment), *options],
                         stdout=log)
    return p, log


def told(log):
    """Without moving the place where the process writes: it is the same file description."""
    return os.pread(log.fileno(), os.fstat(log.fileno()).st_size, 0).decode()


def wait_for(log, word, seconds=60):
    """Until it said so."""
    end = time.monotonic() + seconds
    while word not in told(log):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
