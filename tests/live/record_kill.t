#!/usr/bin/python3
"""kill -9 at random moments while eight sessions record, and in the middle of the conversions: every frame whose write
returned is in one recording, once, in order, bit-equal; nothing else is; no journal is left. SGAPS_KILLS=200 for the
full number of rounds."""
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

BIN, TESTS = os.environ["SGAPS_BIN"], os.environ["SGAPS_TESTS"]
KILLS = int(os.environ.get("SGAPS_KILLS", "6"))
LOAD = os.path.join(TESTS, "live", "record_load")
IMPORT = os.path.join(BIN, "sgaps-import")
STATE, W, H, MAP, SAMPLES = 8, 16, 12, 4, 20

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


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def wait_for_orphans(folder):
    """A conversion whose parent was killed holds the journal's lock until it is done."""
    for _ in range(3000):
        busy = subprocess.run(["pgrep", "-f", f"sgaps-import --convert {folder}"], capture_output=True).returncode == 0
        if not busy:
            return
        time.sleep(0.02)


class Account:
    """What the killed processes said: who wrote which frames, and how far a session can have come."""

    def __init__(self):
        self.written, self.ended = {}, {}

    def read(self, text):
        names = {}
        for line in text.split("\n")[:-1]:  # the last one may be cut
            word = line.split(" ")
            if word[0] == "open":
                names[word[1]] = word[2]
                self.written.setdefault(word[2], 0)
            elif word[0] == "wrote":
                name = names[word[1]]
                assert int(word[2]) == self.written[name] + 1, f"{line}: out of order"
                self.written[name] = int(word[2])
            elif word[0] == "end":
                self.ended[word[1]] = int(word[2])


def expect(salt, k):
    n = 1 + (k + salt) % SAMPLES
    j = np.arange(n)
    uv = np.stack([((k * 7 + j * 13 + salt) % 1024) / 1024, ((k * 3 + j * 29 + salt) % 1024) / 1024], 1).astype("f4")
    value = ((k + 5 * j + 11 * salt) & 255).astype("u1")
    state = np.full(STATE, -999, "f4")
    m = k % (STATE + 1)
    state[:m] = k * 10 + np.arange(m) + salt
    return uv, value, state, m


def picture(salt, k):
    return ((k + np.arange(W * H) + salt) & 255).astype("u1").reshape(H, W)


def faults_of(s, salt, written, ended):
    """Everything in a session's group that is not as it was sent."""
    T = s["frame_id"].shape[0]
    faults = []
    if T < written:
        faults.append(f"{T} frames, {written} were written")
    if ended is not None and s.attrs["closed"] == 1 and T != ended:
        faults.append(f"{T} frames, it was closed after {ended}")
    if s.attrs["gaps"] != "[]" or s.attrs["frames_received"] != T:
        faults.append(f"gaps {s.attrs['gaps']}, received {s.attrs['frames_received']}, {T} frames")
    if s.attrs["client_name"] != "load \x1b[31m\xe9" or list(s.attrs["screen"]) != [640, 480]:
        faults.append("attributes")
    if not np.array_equal(s["frame_id"][:], np.arange(T)):
        faults.append("frame_id is not 0, 1, 2 ...")
    if not np.array_equal(s["samples/set"][:], np.arange(T) // 3):
        faults.append("samples/set")
    if not np.array_equal(s["timestamp"][:], np.arange(T) / 32):
        faults.append("timestamp")
    if T and (np.diff(s["recv_time"][:]) < 0).any():
        faults.append("recv_time runs backwards")
    offset, uv, value = s["samples/offset"][:], s["samples/uv"][:], s["samples/value"][:]
    state, length = s["state"][:], s["state_len"][:]
    for k in range(T):
        a, b = offset[k], offset[k + 1]
        want = expect(salt, k)
        if not (np.array_equal(uv[a:b], want[0]) and np.array_equal(value[a:b], want[1]) and
                np.array_equal(state[k], want[2]) and length[k] == want[3]):
            faults.append(f"row {k} is not what was sent")
    rows = s["frames_t"][:] if "frames_t" in s else np.arange(T if "frames" in s else 0)
    if list(rows) != list(range(0, T, 4)):
        faults.append("full frames are not those of every fourth row")
    for i, k in enumerate(rows):
        if not np.array_equal(s["frames"][i], picture(salt, int(k))):
            faults.append(f"full frame of row {k}")
    if "reconstruction" in s:
        of = s["reconstruction_of"][:]
        for t in range(T):
            if of[t] < 0 or of[t] > t or (t % 5 < 3 and of[t] != t and t < T - 1):
                faults.append(f"row {t} shows the reconstruction of {of[t]}")
            if not np.array_equal(s["reconstruction"][t], picture(salt, int(of[t]))):
                faults.append(f"reconstruction of row {t}")
    return faults


def check(folder, account, name):
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
                       faults_of(s, salt, account.written.get(name_of, 0), account.ended.get(name_of))]
    missing = [n for n, w in account.written.items() if w and n not in seen]
    faults += [f"{n}: is missing" for n in missing]
    faults += [f"{p} is left" for p in Path(folder, "journal").iterdir()]
    ok(not faults, f"{name}: {len(seen)} sessions with {frames} frames, {sum(account.written.values())} of them known "
       "to be written", *faults)
    return seen


def start(folder, tag, seconds, *options):
    log = tempfile.TemporaryFile()
    p = subprocess.Popen([LOAD, folder, tag, str(seconds), "30", str(SAMPLES), "60000", "pause=3000", *options], stdout=log)
    return p, log


def told(log):
    log.seek(0)
    return log.read().decode()


def kills_while_recording(folder):
    account = Account()
    for i in range(KILLS):
        p, log = start(folder, f"r{i}", 60, "debug", *(["reconstruct"] if i % 2 else []))
        time.sleep(random.uniform(0.02, 0.6))
        if i % 3 == 0:  # a conversion first, and the server a moment later
            for child in children(p.pid):
                kill(child)
            time.sleep(random.uniform(0, 0.1))
        kill(p.pid)
        p.wait()
        account.read(told(log))
    wait_for_orphans(folder)
    done = subprocess.run([IMPORT, "-q", "--convert", folder], capture_output=True, text=True)
    ok(done.returncode == 0, "what the last one left is converted", done.stderr)
    return check(folder, account, f"{KILLS} kills while eight sessions record")


def kills_inside_the_conversion(folder):
    """A journal that a killed process left; its conversion is killed again and again, ever later."""
    account = Account()
    p, log = start(folder, "c", 60, "debug", "reconstruct")
    time.sleep(0.5)
    kill(p.pid)
    p.wait()
    account.read(told(log))
    wait_for_orphans(folder)
    begun = time.monotonic()
    whole = shutil.copytree(folder, folder + "-whole")
    subprocess.run([IMPORT, "-q", "--convert", whole], check=True, capture_output=True)
    lasts = time.monotonic() - begun
    for i in range(KILLS):
        if not os.listdir(os.path.join(folder, "journal")):  # it came through: once more from the beginning
            check(folder, account, f"a conversion killed {i} times")
            shutil.rmtree(folder)
            p, log = start(folder, f"c{i}", 60, "debug", "reconstruct")
            time.sleep(0.3)
            kill(p.pid)
            p.wait()
            account = Account()
            account.read(told(log))
            wait_for_orphans(folder)
        p = subprocess.Popen([IMPORT, "-q", "--convert", folder], stdout=subprocess.DEVNULL)
        time.sleep(random.uniform(0, lasts))
        kill(p.pid)
        p.wait()
    done = subprocess.run([IMPORT, "-q", "--convert", folder], capture_output=True, text=True)
    ok(done.returncode == 0, "the conversion is run to its end", done.stderr)
    check(folder, account, f"{KILLS} kills inside conversions")
    again = subprocess.run([IMPORT, "-q", "--convert", folder], capture_output=True, text=True)
    ok(again.returncode == 0 and not again.stdout, "and once more: there is nothing left to do", again.stdout)


def clean_end(folder):
    p, log = start(folder, "e", 1, "debug")
    p.wait()
    account = Account()
    account.read(told(log))
    check(folder, account, "a recorder that is closed")
    h5 = [str(p) for p in Path(folder).rglob("*.h5")]
    done = subprocess.run([os.path.join(BIN, "sgaps-info"), "--check", *h5], capture_output=True, text=True)
    ok(done.returncode == 0, "sgaps-info --check finds them sound", done.stdout)
    return h5


def training(folder, h5):
    done = subprocess.run([os.path.join(BIN, "sgaps-train"), "-q", "-o", os.path.join(folder, "run"), "--set",
                           "model=spt-tiny", "--set", "model.resolution=[16,16]", "--set", "training.batch_size=2", "--set",
                           "training.max_steps=2", *h5[:4]], capture_output=True, text=True)
    ok(done.returncode == 0, "sgaps-train trains on them unchanged", done.stderr)


def main():
    seed = int(os.environ.get("SGAPS_SEED", random.randrange(1 << 30)))
    random.seed(seed)
    print(f"# SGAPS_SEED={seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="sgaps-kill-") as scratch:
        kills_while_recording(os.path.join(scratch, "a"))
        kills_inside_the_conversion(os.path.join(scratch, "b"))
        training(scratch, clean_end(os.path.join(scratch, "c")))
    print(f"1..{count}")
    return failed > 0


sys.exit(main())
