#!/usr/bin/python3
"""A disk that becomes full and gets room again, in a small file system of our own: recording stops at a known frame, says
so, refuses new sessions, and goes on with a gap; received = recorded + missing for every session. A limit on the size of
files; a floor."""
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import record_case as case  # noqa: E402
from record_case import Account, check, convert, ok, told, wait_for  # noqa: E402

SAMPLES = 200


def mount(folder, size, *how):
    return subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join([f"size={size}", *how]), "none", folder],
                          capture_output=True, text=True)


def account_of(log):
    a = Account()
    a.read(told(log))
    return a


def full_disk(folder):
    ballast = os.path.join(folder, "ballast")
    with open(ballast, "wb") as f:
        f.write(bytes(3 << 20))
    p, log = case.start(folder, "d", 600, "pause=2000", frames=60, samples=SAMPLES, segment=300000)
    ok(wait_for(log, "recording stopped"), "the disk becomes full: an event says so")
    ok(wait_for(log, "refused:"), "new sessions are refused then")
    time.sleep(1)
    ok(p.poll() is None, "the process lives on")
    os.remove(ballast)
    ok(wait_for(log, "recording goes on"), "there is room again: recording goes on")
    time.sleep(1.5)
    mount(folder, "400m", "remount")
    time.sleep(2.5)
    p.terminate()
    p.wait()
    # it was ended in the middle, as by any signal: what it knew is in the journal
    done = convert(folder)
    ok(done.returncode == 0, "the rest is converted", done.stderr)
    check(folder, account_of(log), "every frame is recorded or named as missing", gaps=True, samples=SAMPLES)


def full_disk_and_a_clean_end(folder):
    """The figures of the process itself."""
    ballast = os.path.join(folder, "ballast")
    with open(ballast, "wb") as f:
        f.write(bytes(5 << 20))
    p, log = case.start(folder, "e", 6, "pause=2000", frames=10 ** 6, samples=SAMPLES)
    stopped = wait_for(log, "recording stopped")
    os.remove(ballast)
    mount(folder, "400m", "remount")
    p.wait()
    a = account_of(log)
    s = a.stats
    ok(stopped and s["gaps"] > 0 and s["errors"] > 0 and not s["stopped"], "it stopped and went on", str(s), *a.events)
    ok(s["received"] == s["frames"] + s["gaps"], "received = recorded + gaps", str(s))
    seen, frames = check(folder, a, "eight long sessions with a gap", gaps=True, samples=SAMPLES)
    ok(frames == s["frames"], f"as many frames in the recordings as the recorder counted: {frames}", str(s))


def floor(folder):
    mount(folder, "16m", "remount")
    p, log = case.start(folder, "f", 0.3, "floor=17000000")
    p.wait()
    ok("refused:" in told(log) and "\nopen" not in told(log), "below the floor no session is taken")
    p, log = case.start(folder, "g", 0.3, "floor=4000000", "pause=3000")
    p.wait()
    ok("refused:" not in told(log), "above it they are")
    check(folder, account_of(log), "those")


def file_size_limit(folder):
    """Every segment fails at 64 KiB: on in the next one, and nothing is lost."""
    before = ["prlimit", "--fsize=65536"]
    p, log = case.start(folder, "l", 1.5, "pause=3000", frames=20, segment=10 ** 6, before=before)
    p.wait()
    a = account_of(log)
    ok(p.returncode == 0 and a.stats["errors"] > 0 and a.stats["gaps"] == 0,
       f"{int(a.stats['errors'])} writes over the limit on files, no frame lost", str(a.stats), *a.events)
    done = convert(folder)
    ok(done.returncode == 0, "under the limit no recording could be made, without it they are", done.stderr)
    check(folder, a, "all of it")


def inside(folder):
    with tempfile.TemporaryDirectory(dir=folder) as other:
        file_size_limit(other)
    small = os.path.join(folder, "small")
    os.mkdir(small)
    mounted = mount(small, "6m")
    ok(mounted.returncode == 0, "a file system of 6 MB", mounted.stderr)
    full_disk(small)
    subprocess.run(["umount", "-l", small])
    mount(small, "8m")
    full_disk_and_a_clean_end(small)
    subprocess.run(["umount", "-l", small])
    mount(small, "16m")
    floor(small)
    return case.done()


def main():
    if len(sys.argv) > 1:
        return inside(sys.argv[1])
    own = ["unshare", "--user", "--map-root-user", "--mount"]
    with tempfile.TemporaryDirectory(prefix="sgaps-disk-") as folder:
        can = subprocess.run([*own, "mount", "-t", "tmpfs", "none", folder], capture_output=True).returncode == 0
        if can:
            return subprocess.run([*own, sys.executable, os.path.abspath(sys.argv[0]), folder]).returncode
        file_size_limit(folder)
        print(f"ok {case.count + 1} - a full disk # SKIP no mount in a user namespace here")
        print(f"1..{case.count + 1}")
        return case.failed > 0


sys.exit(main())
