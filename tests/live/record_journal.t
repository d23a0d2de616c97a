#!/usr/bin/python3
"""Journals and their conversion: one made by the manual page alone, a damaged one, names that are taken, two servers with
one directory, a queue that is full."""
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

import h5py
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import make_journal  # noqa: E402
import record_case as case  # noqa: E402
from record_case import BIN, IMPORT, Account, check, kill, ok, told  # noqa: E402

INFO = os.path.join(BIN, "sgaps-info")


def run(*command):
    return subprocess.run(command, capture_output=True, text=True)


def put(folder, name, content):
    os.makedirs(os.path.join(folder, "journal"), exist_ok=True)
    with open(os.path.join(folder, "journal", name + "-000001.sgj"), "wb") as f:
        f.write(content)


def recordings(folder):
    return sorted(os.path.relpath(p, folder) for p in glob.glob(folder + "/*/*.h5"))


def is_first(s, missing):
    """Is it the session "first" of make_journal, without these frames?"""
    faults = []
    rows = [k for k in range(12) if k not in missing]
    if list(s["frame_id"][:]) != rows:
        return [f"frames {list(s['frame_id'][:])}"]
    offset = s["samples/offset"][:]
    for t, k in enumerate(rows):
        f, a, b = make_journal.frame(1, k), offset[t], offset[t + 1]
        if not (np.array_equal(s["samples/uv"][a:b], f["uv"]) and np.array_equal(s["samples/value"][a:b], f["value"]) and
                s["state_len"][t] == len(f["state"]) and np.array_equal(s["state"][t, :len(f["state"])], f["state"]) and
                s["samples/set"][t] == k // 2 and s["timestamp"][t] == k / 32):
            faults.append(f"row {t}")
    for i, t in enumerate(s["frames_t"][:]):
        if not np.array_equal(s["frames"][i], make_journal.frame(1, rows[t])["image"]):
            faults.append(f"full frame of row {t}")
    named = [k for g in json.loads(s.attrs["gaps"]) for k in range(g["after"], g["after"] + g["count"])]
    if named != sorted(missing) or s.attrs["frames_received"] != 12:
        faults.append(f"gaps {s.attrs['gaps']}")
    return faults


def by_the_page(folder):
    put(folder, make_journal.NAME, make_journal.journal())
    file = glob.glob(folder + "/journal/*.sgj")[0]
    ok(run(INFO, "--check", file).returncode == 0, "a journal made by the page is sound")
    out = os.path.join(folder, "all.h5")
    done = run(IMPORT, "-o", out, file)
    with h5py.File(out) as f:
        ok(done.returncode == 0 and list(f["sessions"]) == ["first", "second"], "its sessions are imported", done.stderr)
        faults = is_first(f["sessions/first"], [5, 6, 7])
        ok(not faults, "with all they have", *faults)
        s = f["sessions/first"]
        ok(s["reconstruction_of"][5:].tolist() == [-1, 9, 9, 9] and
           np.array_equal(s["reconstruction"][6].ravel(), np.arange(192) % 251) and
           np.array_equal(s["importance"][6].ravel(), (np.arange(12, dtype="f4") / 12)), "and what the server saw")
        ok(s.attrs["closed"] == 1 and f["sessions/second"].attrs["closed"] == 0, "one ended, one did not")
    os.remove(out)
    done = run(IMPORT, "--convert", folder)
    made = ["default/20260101T000000Z-second.h5", "demo/20260101T000000Z-first.h5"]
    ok(recordings(folder) == made and not os.listdir(folder + "/journal") and
       sorted(os.path.relpath(p, folder) for p in done.stdout.split()) == made, "--convert names what it makes", done.stderr)


def names_taken(folder):
    """The same ids at the same second in three journals; then one of them once more, as after a kill."""
    for name in ("20260101T000000Z-00000001", "20260101T000000Z-00000002", "20260101T000000Z-00000003"):
        put(folder, name, make_journal.journal())
    done = run(IMPORT, "-q", "--convert", folder)
    want = [f"{key}/20260101T000000Z-{i}{n}.h5" for key, i in (("default", "second"), ("demo", "first"))
            for n in ("-2", "-3", "")]
    ok(done.returncode == 0 and recordings(folder) == want, "-2 and -3 where a name is taken", str(recordings(folder)))
    put(folder, "20260101T000000Z-00000002", make_journal.journal())
    stamp = os.stat(os.path.join(folder, want[3])).st_mtime_ns
    done = run(IMPORT, "-q", "--convert", folder)
    ok(done.returncode == 0 and recordings(folder) == want and os.stat(os.path.join(folder, want[3])).st_mtime_ns == stamp,
       "what an earlier run finished is known again and not made twice", str(recordings(folder)), done.stderr)


def damaged(folder):
    content = bytearray(make_journal.journal())
    at = content.find(make_journal.frame(1, 9)["uv"].tobytes())
    content[at + 5] ^= 16
    put(folder, make_journal.NAME, content)
    file = glob.glob(folder + "/journal/*.sgj")[0]
    said = run(INFO, "--check", file)
    ok(said.returncode == 1 and f"{file}: offset " in said.stdout and "checksum is wrong" in said.stdout,
       "sgaps-info --check names file, offset and reason", said.stdout)
    done = run(IMPORT, "--convert", folder)
    ok(done.returncode == 0 and "checksum is wrong" in done.stderr, "the conversion tells it", done.stderr)
    with h5py.File(folder + "/demo/20260101T000000Z-first.h5") as f:
        faults = is_first(f["sessions/first"], [5, 6, 7, 9])
        ok(not faults and "lost from the journal" in f["sessions/first"].attrs["gaps"],
           "the rest is recorded, the frame named as missing", *faults)
    told_by_info = json.loads(run(INFO, "--json", folder + "/demo/20260101T000000Z-first.h5").stdout)
    ok([g["count"] for g in told_by_info["sessions"][0]["not_recorded"]] == [3, 1], "sgaps-info --json has the gaps")
    ok(os.listdir(folder + "/journal") == [os.path.basename(file) + ".damaged"], "the damaged segment is kept",
       *os.listdir(folder + "/journal"))


def locked(folder):
    p, log = case.start(folder, "k", 30, "pause=3000", frames=10 ** 6)
    case.wait_for(log, "wrote")
    done = run(IMPORT, "--convert", folder)
    name = os.path.basename(glob.glob(folder + "/journal/*.lock")[0])[:-5]
    one = run(IMPORT, "--convert", folder, "--journal", name)
    ok(done.returncode == 0 and not done.stdout and one.returncode == 75 and glob.glob(folder + "/journal/*.sgj"),
       "a journal that is being written is left alone", done.stdout, one.stderr)
    kill(p.pid)
    p.wait()
    done = run(IMPORT, "--convert", folder)
    ok(done.returncode == 0 and len(done.stdout.split()) == 8, "and converted when its writer is gone", done.stderr)


def two_servers(folder):
    """One is killed; the other converts what it left while it goes on itself."""
    a, log_a = case.start(folder, "a", 7, "pause=5000", frames=200)
    b, log_b = case.start(folder, "b", 60, "pause=5000", frames=200)
    case.wait_for(log_b, "wrote")
    time.sleep(1)
    kill(b.pid)
    b.wait()
    account = Account()
    account.read(told(log_b))
    a.wait()
    account.read(told(log_a))
    check(folder, account, "two servers record to one directory, one is killed")


def full_queue(folder):
    for mode in ("strict", "best-effort"):
        below = os.path.join(folder, mode)
        p, log = case.start(below, mode[0], 1, "pause=0", "queue=6000", mode, frames=2000, samples=100)
        p.wait()
        account = Account()
        account.read(told(log))
        s = account.stats
        ok(s["received"] == s["frames"] + s["gaps"] and (s["gaps"] == 0) == (mode == "strict"),
           f"{mode}: {int(s['received'])} received, {int(s['gaps'])} missing", str(s))
        check(below, account, mode, gaps=True, samples=100)


def usage():
    for arguments, want in ((["--convert", "a", "b.h5"], "takes no inputs"), (["--convert", "a", "--numbers", "3"], "--journal"),
                            (["--convert", "a", "-o", "x"], "--output"),
                            (["--convert", "a", "--journal", "b", "--numbers", "1,x"], "no list of numbers")):
        done = run(IMPORT, *arguments)
        ok(done.returncode == 64 and want in done.stderr, " ".join(arguments), done.stderr)
    ok(run(IMPORT, "--convert", "/nowhere").returncode == 66, "no such directory")


def main():
    with tempfile.TemporaryDirectory(prefix="sgaps-journal-") as scratch:
        for test in (by_the_page, names_taken, damaged, locked, two_servers, full_queue):
            test(os.path.join(scratch, test.__name__))
            shutil.rmtree(os.path.join(scratch, test.__name__))
        usage()
    return case.done()


sys.exit(main())
