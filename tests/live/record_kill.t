#!/usr/bin/python3
"""kill -9 at random moments while eight sessions record, and in the middle of the conversions: every frame whose write
returned is in one recording, once, in order, bit-equal; nothing else is; no journal is left. SGAPS_KILLS=200 for the
full number of rounds."""
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import record_case as case  # noqa: E402
from record_case import BIN, IMPORT, Account, check, children, convert, kill, ok, told  # noqa: E402

KILLS = int(os.environ.get("SGAPS_KILLS", "6"))


def start(folder, tag, seconds, *options):
    return case.start(folder, tag, seconds, "pause=3000", *options)


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
    done = convert(folder)
    ok(done.returncode == 0, "what the last one left is converted", done.stderr)
    check(folder, account, f"{KILLS} kills while eight sessions record")


def leave_journal(folder, tag, account):
    """A server is killed with its conversion, if one is under way."""
    p, log = start(folder, tag, 60, "debug", "reconstruct")
    case.wait_for(log, "wrote")
    time.sleep(0.3)
    below = children(p.pid)
    kill(p.pid)
    p.wait()
    for child in below:
        kill(child)
    account.read(told(log))


def kills_inside_the_conversion(folder):
    """A journal that a killed process left; its conversion is killed again and again, ever later."""
    account = Account()
    leave_journal(folder, "c", account)
    begun = time.monotonic()
    whole = shutil.copytree(folder, folder + "-whole")
    subprocess.run([IMPORT, "-q", "--convert", whole], check=True, capture_output=True)
    lasts = time.monotonic() - begun
    for i in range(KILLS):
        if not os.listdir(os.path.join(folder, "journal")):  # it came through: once more from the beginning
            check(folder, account, f"a conversion killed {i} times")
            shutil.rmtree(folder)
            account = Account()
            leave_journal(folder, f"c{i}", account)
        p = subprocess.Popen([IMPORT, "-q", "--convert", folder], stdout=subprocess.DEVNULL)
        time.sleep(random.uniform(0, lasts))
        kill(p.pid)
        p.wait()
    done = convert(folder)
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
    return case.done()


sys.exit(main())
