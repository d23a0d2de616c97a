#!/usr/bin/python3
"""contrib/sgaps-track: help; what it says without an SDK, without a log and for a file that is none; a log through an SDK of our
own in the place of each, so that what would be sent is seen; TensorBoard's own event files read back where it is installed.
SGAPS_TRACK_PYTHON names an interpreter that has it (a virtual environment's)."""
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ.get("SGAPS_ROOT", "."), "tests/support"))
from live import ROOT, Tap, picture, png

tap = Tap()
PYTHON = os.environ.get("SGAPS_TRACK_PYTHON") or sys.executable
TRACK = os.path.join(ROOT, "contrib/sgaps-track")
LIVE = [{"Session/Global_Step": 5, "time": 1700000000.5, "Session/Client_ID": "abc", "Session/Frame_ID": 9, "Metrics/Live PSNR": 25.5,
         "Metrics/Live SSIM": None, "Metrics/Held-out": True, "Live/Reconstruction": "live.pictures/5.png",
         "Live/Samples": "live.pictures/missing.png"},
        {"Session/Global_Step": 6, "time": 1700000000.6, "Session/Client_ID": "abc", "Session/Frame_ID": 10, "Metrics/Live PSNR": 26}]
TRAIN = [{"step": 1, "epoch": 0, "Train/loss_step": 0.5}, {"step": 2, "epoch": 0, "Val/PSNR": 20.25, "Val/SSIM": None}]

# Stands in for an SDK and writes down what it is told.
DOUBLE = """
import json, os
class Image:
    def __init__(self, path): self.path = path
def write(*x):
    with open(os.environ["TOLD"], "a") as f:
        f.write(json.dumps(x, default=lambda i: "image " + os.path.basename(i.path)) + "\\n")
def log(x, step): write("log", step, x)
def finish(): write("finish")
class Run:
    log, finish = staticmethod(log), staticmethod(finish)
def init(**x):
    write("init", x.get("project"), x.get("name"), x.get("mode"))
    return Run
"""


def track(*args, **env):
    bare = ["-S"] if env.pop("BARE", None) else []  # without site-packages
    p = subprocess.run([PYTHON, *bare, TRACK, *args],
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, env={**os.environ, **env})
    return p.returncode, p.stdout.decode(), p.stderr.decode()


def write(path, rows):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.writelines(json.dumps(x) + "\n" for x in rows)


def through_double(folder, name, *args):
    os.makedirs(os.path.join(folder, "sdk"), exist_ok=True)
    told = os.path.join(folder, "told")
    with open(os.path.join(folder, "sdk", name + ".py"), "w") as f:
        f.write(DOUBLE)
    if os.path.exists(told):
        os.unlink(told)
    code, _, said = track("--to", name, *args, PYTHONPATH=os.path.join(folder, "sdk"), TOLD=told)
    return code, [json.loads(x) for x in open(told)] if os.path.exists(told) else said


READ = """
import sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
e = EventAccumulator(sys.argv[1])
e.Reload()
i = e.Images("Live/Reconstruction")[0]
same = i.encoded_image_string == open(sys.argv[2], "rb").read()
print([(x.step, x.value, x.wall_time) for x in e.Scalars("Metrics/Live PSNR")], (i.step, i.width, i.height, same))
"""


def tensorboard(folder, log):
    code, _, said = track("--to", "tensorboard", "--dir", folder + "/tb", "--name", "run", log)
    if code == 69:
        tap.skip("TensorBoard's event files", "tensorboard is not installed")
        return
    tap.same((code, said), (0, "sgaps-track: 2 lines to tensorboard\n"), "TensorBoard's event files are written")
    p = subprocess.run([PYTHON, "-c", READ, folder + "/tb/run", folder + "/live.pictures/5.png"], stdout=subprocess.PIPE, timeout=120)
    tap.same(p.stdout.decode().strip(), "[(5, 25.5, 1700000000.5), (6, 26.0, 1700000000.6)] (5, 32, 32, True)",
             "its own reader finds the curve, and the picture byte for byte")


def main(folder):
    code, out, _ = track("--help")
    tap.ok(code == 0 and "wandb" in out and "--follow" in out, "--help")
    live, train = folder + "/live.jsonl", folder + "/run/metrics.jsonl"
    write(live, LIVE)
    write(train, TRAIN)
    for name in ("live.pictures", "run/examples"):
        os.makedirs(os.path.join(folder, name))
    for name in ("live.pictures/5.png", "run/examples/000002.png"):
        with open(os.path.join(folder, name), "wb") as f:
            f.write(png(picture(0)))
    for name in ("wandb", "trackio", "tensorboard"):
        code, _, said = track("--to", name, live, BARE="1")
        tap.ok(code == 69 and "pip install " + name in said and "Traceback" not in said,
               "%s is not installed: the error says what to install" % name, code, said)
    code, _, said = track("--to", "wandb", folder + "/none.jsonl")
    tap.ok(code == 66 and "none.jsonl" in said, "no log", said)

    for name, mode in (("wandb", "offline"), ("trackio", None)):
        code, told = through_double(folder, name, "--name", "n", live)
        want = [["init", "sgaps", "n", mode],
                ["log", 5, {"Session/Global_Step": 5, "Session/Frame_ID": 9, "Metrics/Live PSNR": 25.5, "Metrics/Held-out": 1,
                            "Session/Client_ID": "abc", "Live/Reconstruction": "image 5.png"}],
                ["log", 6, {"Session/Global_Step": 6, "Session/Frame_ID": 10, "Metrics/Live PSNR": 26, "Session/Client_ID": "abc"}],
                ["finish"]]
        tap.same((code, told), (0, want), "a server's log to %s: steps, numbers, texts, pictures; no nulls" % name)
    code, told = through_double(folder, "wandb", train)
    tap.same(told, [["init", "sgaps", "run-metrics", "offline"], ["log", 1, {"epoch": 0, "Train/loss_step": 0.5}],
                    ["log", 2, {"epoch": 0, "Val/PSNR": 20.25, "Val/Examples": "image 000002.png"}], ["finish"]],
             "a training's log, with its example pictures")
    with open(live, "a") as f:
        f.write('[1]\n{"Session/Global_Step": 7, "x": 1}')
    code, told = through_double(folder, "wandb", live)
    tap.same((code, [x[1] for x in told if x[0] == "log"]), (0, [5, 6, 7]), "a line that is none is left out, a last one without its end is not")
    code, told = through_double(folder, "wandb", "--follow", "--idle", "0.7", live)
    tap.same((code, len(told)), (0, 5), "--follow ends when nothing came for --idle seconds")
    write(folder + "/other.txt", ["no", "log"])
    code, _ = through_double(folder, "wandb", folder + "/other.txt")
    tap.same(code, 65, "a file that is no log")
    write(live, LIVE)
    tensorboard(folder, live)


with tempfile.TemporaryDirectory(prefix="sgaps-track-") as place:
    main(place)
tap.done()
