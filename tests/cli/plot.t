#!/usr/bin/python3
"""--plot of the four tools: files, the terminal, names that would do harm, a missing gnuplot."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, os.path.join(os.environ["SGAPS_ROOT"], "tests/support"))
from screens import Terminal, sixels

bin_folder = os.path.abspath(os.environ["SGAPS_BIN"])
os.environ["PATH"] = bin_folder + ":" + os.environ["PATH"]
os.environ["OMP_NUM_THREADS"] = "1"
if not shutil.which("gnuplot"):
    print("1..0 # SKIP gnuplot is not installed")
    sys.exit(0)
tests = failed = 0


def ok(good, name, *why):
    global tests, failed
    tests += 1
    failed += not good
    print("ok" if good else "not ok", tests, "-", name)
    for line in why if not good else ():
        print("#", repr(line)[:300])


def run(*argv, **more):
    return subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, **more)


work = tempfile.TemporaryDirectory()
os.chdir(work.name)
make = os.environ["SGAPS_ROOT"] + "/tests/support/make_recording.py"
run("/usr/bin/python3", make, "rec.h5", "samples=30", "size=24x16", "frames=40", "sessions=one", check=True)
os.mkdir("run")
with open("run/metrics.jsonl", "w") as f:
    for step in range(1, 901):
        f.write('{"step": %d, "epoch": 0, "Train/loss_step": %g, "Train/lr": 0.001}\n' % (step, 5 / step))
        if step % 100 == 0:
            f.write('{"step": %d, "epoch": 1, "Val/loss": 0.1, "Val/PSNR": %g, "Val/SSIM": null, "Val/linear_PSNR": 20}\n'
                    % (step, 20 + step / 200))
    f.write('{"step": 901, "epoch": 0, "Train/lo')  # still being written
plots = {
    "sgaps-eval": ["--method", "linear", "--method", "nearest", "-n", "10,20,40", "rec.h5"],
    "sgaps-clean": ["-q", "--clusters", "5", "rec.h5"],
    "sgaps-train": ["-o", "run"],
    "sgaps-bench": ["infer", "-r", "1", "-j", "1", "--model", "spt-tiny", "--size", "16x16", "-n", "20"],
}
words = {
    "sgaps-eval": ["mean PSNR, dB", "samples a frame", "linear", "nearest"],
    "sgaps-clean": ["Velocity of the state", "frames", "threshold", "cluster, the largest first", "kept"],
    "sgaps-train": ["Loss", "Validation: PSNR", "linear interpolation", "Learning rate", "step"],
    "sgaps-bench": ["median, ms", "samples a frame", "infer: spt-tiny 16x16"],
}
for tool, arguments in plots.items():
    r = run(tool, *arguments, "--plot", "p.svg")
    text = open("p.svg").read() if os.path.exists("p.svg") else ""
    missing = [w for w in words[tool] if w not in text]
    ok(r.returncode == 0 and text.startswith("<?xml") and not missing, tool + ": an SVG with its labels", r.stderr, missing)
    if os.path.exists("p.svg"):
        os.remove("p.svg")
ok("SSIM" not in text, "no panel for what was not measured")

# --- in the terminal ---
for tool in ("sgaps-eval", "sgaps-train", "sgaps-clean"):
    r = run(tool, *plots[tool], "--plot", "-")
    lines = r.stdout.split("\n")
    ok(r.returncode == 0 and "+----" in r.stdout and "\x1b" not in r.stdout and "\f" not in r.stdout and
       all(w.split(",")[0] in r.stdout for w in words[tool]) and max(map(len, lines[-20:])) < 80, tool + ": to a pipe, characters",
       r.stderr, r.stdout)
try:
    t = Terminal(["sgaps-train"] + plots["sgaps-train"] + ["--plot", "-"])
    code = t.wait()
    drawn = sixels(t.output)
    ok(code == 0 and len(drawn) == 1 and drawn[0].shape[1] <= 800 and drawn[0].shape[0] <= 480 and
       (drawn[0] > 250).mean() > 0.6 and len(np.unique(drawn[0].reshape(-1, 3), axis=0)) > 20 and t.as_found(),
       "to a terminal with sixels, a picture that fits", code, [d.shape for d in drawn])
    t = Terminal(["sgaps-train"] + plots["sgaps-train"] + ["--plot", "-"], replies=((b"\x1b[c", b"\x1b[?6c"),))
    code = t.wait()
    ok(code == 0 and b"\x1b[38;5;" in t.output and b"Validation" in t.output, "to one with colours, coloured characters", code)
    t = Terminal(["sgaps-train"] + plots["sgaps-train"] + ["--plot", "-"], env={"TERM": "dumb"})
    code = t.wait()
    ok(code == 0 and b"\x1b" not in t.output and b"Validation" in t.output, "to a dumb one, plain ones", code)
    t = Terminal(["sgaps-train", "rec.h5", "-o", "short", "--set", "model=spt-tiny", "--set", "training.max_steps=2"])
    code = t.wait()
    end = t.output.decode().split("\r")[-2].strip()
    ok(code == 0 and re.search(r"sgaps-train: step 2, 0:\d\d; validation \d+\.\d\d dB at step \d \(linear \d+\.\d\d\): short/best.h5$", end),
       "a training ends with a line that says how far it got, and where", end)
except OSError:
    print("ok", tests + 1, "- terminals # SKIP no pseudo-terminal to be had")
    tests += 1

# --- names ---
bad = "a'b\"c`touch bad`$(touch bad)\n!touch bad\nend"
shutil.copy("rec.h5", bad + ".h5")
r = run("sgaps-eval", "--method", "linear", "-n", "20", "rec.h5", "--plot", bad + ".svg")
ok(r.returncode == 0 and os.path.exists(bad + ".svg"), "a plot of that name", r.stderr)
run("sgaps-sample", "-n", "30", "rec.h5", "-o", "s.h5", check=True)
run("sgaps-reconstruct", "--method", "linear", "s.h5", "-o", bad + ".h5", "--force", check=True)
for plot in ("names.svg", "-"):
    r = run("sgaps-eval", "rec.h5", bad + ".h5", "--plot", plot)
    ok(r.returncode == 0 and not os.path.exists("bad"), "a legend of that name: " + plot, r.stderr)
ok("touch bad" in open("names.svg").read(), "which is drawn as it is")

# --- what is not there ---
os.mkdir("bare")
os.mkdir("none")
for tool in plots:
    os.symlink(os.path.join(bin_folder, tool), "bare/" + tool)
for tool in ("sgaps-eval", "sgaps-bench", "sgaps-train"):
    r = run("bare/" + tool, *plots[tool], "--plot", "p.svg", env={"PATH": os.path.abspath("bare")})
    ok(r.returncode == (69 if tool == "sgaps-train" else 0) and "gnuplot" in r.stderr and "p.svg.tsv" in r.stderr and
       open("p.svg.tsv").read().startswith("panel\tseries\tx\ty\n") and not os.path.exists("p.svg"),
       tool + ": without gnuplot the table is left", r.returncode, r.stderr)
    os.remove("p.svg.tsv")
r = run("bare/sgaps-train", "-o", "run", "--plot", "-", env={"PATH": os.path.abspath("bare")})
ok(r.returncode == 69 and "gnuplot" in r.stderr and r.stdout.startswith("panel\tseries\tx\ty\nLoss\t"), "on standard output too", r.stderr)
for name, code, word, argv in (
        ("a run that is not there", 66, "none/metrics.jsonl", ["sgaps-train", "-o", "none", "--plot", "x.svg"]),
        ("another ending", 64, "x.pdf", ["sgaps-train", "-o", "run", "--plot", "x.pdf"]),
        ("two things on standard output", 64, "--plot", ["sgaps-train", "-o", "run", "--json", "--plot", "-"]),
        ("the same", 64, "--plot", ["sgaps-eval", "--json", "--plot", "-"] + plots["sgaps-eval"]),
        ("the same", 64, "plot", ["sgaps-clean", "--plot", "-", "-o", "-", "rec.h5"]),
        ("the same", 64, "--plot", ["sgaps-bench", "io", "--tsv", "--plot", "-"]),
        ("nothing that grows", 64, "infer", ["sgaps-bench", "ops", "--plot", "x.svg"])):
    r = run(*argv)
    ok(r.returncode == code and word in r.stderr and r.stderr.count("\n") == 1, "%s: %s" % (name, argv[0]), r.returncode, r.stderr)
open("none/metrics.jsonl", "w").write("nothing of ours\n{}\n")
r = run("sgaps-train", "-o", "none", "--plot", "x.svg")
ok(r.returncode == 65 and "nothing to plot" in r.stderr, "a log without anything", r.returncode, r.stderr)
print("1..%d" % tests)
sys.exit(failed > 0)
