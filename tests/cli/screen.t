#!/usr/bin/python3
"""sgaps-reconstruct -f sixel: what is drawn is what the frames are, on a terminal that can and on those that cannot."""
import json
import os
import random
import re
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, os.path.join(os.environ["SGAPS_ROOT"], "tests/support"))
import screens
from screens import Terminal, grey_of, pgms, sixels

os.environ["PATH"] = os.environ["SGAPS_BIN"] + ":" + os.environ["PATH"]
os.environ["OMP_NUM_THREADS"] = "1"
tests = 0
failed = 0


def ok(good, name, *why):
    global tests, failed
    tests += 1
    failed += not good
    print("ok" if good else "not ok", tests, "-", name)
    for line in why if not good else ():
        print("#", repr(line)[:300])


def run(*argv, **more):
    return subprocess.run(argv, capture_output=True, **more)


def message(kind, **payload):
    return (json.dumps({"type": kind, "payload": payload}) + "\n").encode()


def frame(i, n=30):
    px = [{"u": random.random(), "v": random.random(), "value": random.randrange(256)} for _ in range(n)]
    return message("frame_data", frame_id=i, timestamp=i / 10, resolution=[64, 48], num_pixels=n, pixels=px,
                   state_vector=[1.0])


def halves(text, colours):
    """The pixels of half blocks, row by row; the nearest grey of 256 colours."""
    def value(m):
        if colours == 24:
            return int(m[0])
        i = int(m[0])
        return 0 if i == 16 else 255 if i == 231 else 8 + 10 * (i - 232)
    rows = []
    for line in text.split("\n"):
        fore = back = None
        pair = ([], [])
        for m in re.finditer("\x1b\\[(38|48);(?:2;(\\d+);\\d+;\\d+|5;(\\d+))m|(\u2580)", line):
            if m.group(4):
                pair[0].append(fore)
                pair[1].append(back)
            elif m.group(1) == "38":
                fore = value([m.group(2) or m.group(3)])
            else:
                back = value([m.group(2) or m.group(3)])
        if pair[0]:
            rows += [r for r in pair if r[0] is not None]
    return np.array(rows)


random.seed(3)
work = tempfile.TemporaryDirectory()
os.chdir(work.name)
make = os.environ["SGAPS_ROOT"] + "/tests/support/make_recording.py"
run("/usr/bin/python3", make, "rec.h5", "images=0", "samples=60", "size=50x37", "sessions=one", "frames=3", check=True)
run("/usr/bin/python3", make, "two.h5", "images=0", "samples=60", "size=30x16", "sessions=two", "frames=2", check=True)
base = ["sgaps-reconstruct", "--method", "linear"]
show = base + ["rec.h5", "-f", "sixel"]
truth = pgms(run(*base, "rec.h5", "-f", "pgm").stdout)

# --- to a pipe and to a file: nobody is asked ---
r = run(*show)
drawn = [grey_of(p) for p in sixels(r.stdout)]
ok(r.returncode == 0 and not r.stderr and len(drawn) == 3, "a pipe gets a picture for each frame", r.stderr)
ok(all(a.shape == b.shape and abs(a - b).max() <= 4 for a, b in zip(drawn, truth)),
   "their pixels are those of -f pgm, within what 64 greys can tell")
ok(len(np.unique(np.stack(truth))) > 60 and len(np.unique(np.stack(drawn))) > 30, "and there was something to see")
ok(b"\x1b[" not in r.stdout, "no cursor is moved in a pipe")
r = run(*base, "rec.h5", "two.h5", "-o", "both.sixel")
ok(r.returncode == 0 and [p.shape[:2] for p in sixels(open("both.sixel", "rb").read())] == [(37, 50)] * 3 + [(16, 30)] * 2,
   "a file by its name, of pictures of two sizes")
r = run("sh", "-c", "%s | head -c 20" % " ".join(show))
ok(len(r.stdout) == 20 and not r.stderr, "whoever leaves early is not told off", r.stderr)
r = run("sh", "-c", "%s >/dev/full" % " ".join(show))
ok(r.returncode == 74 and r.stderr.count(b"\n") == 1, "a full disk is told in one line, exit 74", r.stderr, r.returncode)
r = run(*show, "--importance")
panels = sixels(r.stdout)
run(*base, "rec.h5", "--importance", "-o", "maps/%d.png", check=True)
same = []
for i, drawn_sheet in enumerate(panels):
    raw = run("ffmpeg", "-loglevel", "error", "-i", "maps/%d.png" % i, "-f", "rawvideo", "-pix_fmt", "rgb24", "-").stdout
    wanted = np.frombuffer(raw, np.uint8).reshape(drawn_sheet.shape).astype(int)
    same.append(abs(drawn_sheet - wanted).max() <= 6)
    same.append(len(np.unique(wanted.reshape(-1, 3), axis=0)) > 80)
ok(len(panels) == 3 and all(same), "with --importance the panels of -f png, in colour", r.stderr, same)
r = run(*base, "rec.h5", "--importance", "-f", "y4m")
ok(r.returncode == 64 and b"png" in r.stderr, "a film holds no map", r.stderr)
r = run(*show, "--dtype", "f32")
ok(r.returncode == 64 and b"h5" in r.stderr, "floats cannot be shown", r.stderr)

try:
    t = Terminal(["true"])
    t.wait()
except OSError:
    print("ok", tests + 1, "- terminals # SKIP no pseudo-terminal to be had")
    print("1..%d" % (tests + 1))
    sys.exit(failed > 0)

# --- a terminal with sixel ---
t = Terminal(show)
code = t.wait()
drawn = [grey_of(p) for p in sixels(t.output)]
ok(code == 0 and len(drawn) == 3 and t.output.startswith(b"\x1b[c"), "a terminal is asked, and shown every frame", code, t.output[:80])
zoom = drawn[0].shape[0] // 37 if drawn else 0
ok(zoom > 1 and all(d.shape == (37 * zoom, 50 * zoom) for d in drawn) and
   all(abs(d[::zoom, ::zoom] - g).max() <= 4 and (d[::zoom] == d[zoom - 1::zoom]).all() for d, g in zip(drawn, truth)),
   "enlarged by a whole number, the same pixels", zoom)
ok(t.output.count(b"\n") < 30 and t.output.count(b"\x1b7") == 1, "at one place")
ok(t.as_found() and t.output.rstrip().endswith(b"\x1b[?25h"), "the terminal is as it was, with its cursor", t.output[-60:])
t = Terminal(show, size=(20, 6), pixels=(120, 60))
code = t.wait()
shapes = {p.shape[:2] for p in sixels(t.output)}
ok(code == 0 and len(shapes) == 1 and all(h <= 50 and w <= 120 for h, w in shapes), "a small window: it fits", shapes)
t = Terminal(show, replies=((b"\x1b[16t\x1b[c", b"\x1b[6;30;15t\x1b[?64;1;4c"),), pixels=(0, 0))
code = t.wait()
ok(code == 0 and len(sixels(t.output)) == 3, "the size of a character is asked for where nobody knows it")

# --- live ---
for end in ("end", "interrupt"):
    ours, theirs = os.pipe()
    os.set_inheritable(ours, True)
    t = Terminal(base + ["-", "--size", "50x37", "-f", "sixel"], stdin=ours)
    os.close(ours)
    os.write(theirs, message("session_start", checkpoint_key="k", resolution=[64, 48]))
    seen = []
    for i in range(3):
        os.write(theirs, frame(i))
        seen.append(t.until(lambda data: len(sixels(data)) == i + 1))
    ok(all(seen), "each message is on the screen before the next one is sent", seen)
    if end == "end":
        os.close(theirs)
        ok(t.wait() == 0 and t.as_found(), "and it ends with the messages")
        continue
    before = len(t.output)
    os.write(t.master, b"\x03")
    code = t.wait()
    ok(code == 130 and t.as_found() and b"\x1b[?25h" in t.output[before:] and b"\x1b\\" in t.output[before:],
       "Ctrl-C: the cursor is back, below the picture", code, t.output[before:])
    os.close(theirs)
t = Terminal(show, replies=())
t.until(lambda data: b"\x1b[c" in data)
os.write(t.master, b"\x03")
code = t.wait()
ok(code == 130 and t.as_found(), "Ctrl-C while the question is open: the terminal is as it was", code)

# --- terminals without ---
plain = ((b"\x1b[c", b"\x1b[?6c"),)
for name, replies, env, colours in (("24-bit", plain, {"COLORTERM": "truecolor"}, 24), ("256 colours", plain, {}, 256),
                                    ("no answer", (), {"COLORTERM": "truecolor"}, 24)):
    t = Terminal(show, replies=replies, env=env)
    code = t.wait()
    text = t.output.decode().replace("\r", "")
    got = halves(text.split("\x1b8")[1] if "\x1b8" in text else "", colours)
    near = got.shape == (37, 50) and abs(got - truth[0]).max() <= (0 if colours == 24 else 6)
    ok(code == 0 and near and t.as_found() and not sixels(t.output), "half blocks: %s" % name, code, got.shape)
t = Terminal(show, replies=plain, size=(25, 10))
t.wait()
lines = [l for l in t.output.decode().split("\r\n") if "\u2580" in l]
ok(lines and {l.count("\u2580") for l in lines} <= set(range(20, 26)) and len(lines) == 3 * 9, "half blocks fit the window", len(lines))
for name, env in (("NO_COLOR", {"NO_COLOR": "1", "COLORTERM": "truecolor"}), ("no UTF-8", {"LC_ALL": "C"}), ("vt100", {"TERM": "vt100"})):
    t = Terminal(show, replies=plain, env=env)
    code = t.wait()
    ok(code == 0 and b"\xe2" not in t.output and not re.search(rb"\x1b\[[34]8", t.output) and b"##" in t.output,
       "letters: %s" % name, code, t.output[:200])
for name, env in (("TERM=dumb", {"TERM": "dumb"}), ("no TERM", {"TERM": None})):
    t = Terminal(show, env=env)
    code = t.wait()
    lines = t.output.decode("ascii").split("\r\n")
    ok(code == 0 and b"\x1b" not in t.output and len(lines) == 3 * 19 + 1 and {len(l) for l in lines[:-1]} == {50},
       "letters and nothing else: %s" % name, code, len(lines))
t = Terminal(show, env={"NO_COLOR": "1"})
t.wait()
ok(len(sixels(t.output)) == 3, "NO_COLOR does not hide sixels: they are a picture, not coloured text")
t = Terminal(base + ["rec.h5", "-f", "sixel", "-o", "x.sixel"])
ok(t.wait() == 0 and b"\x1b" not in t.output and len(sixels(open("x.sixel", "rb").read())) == 3, "-o FILE asks nobody")
print("1..%d" % tests)
sys.exit(failed > 0)
