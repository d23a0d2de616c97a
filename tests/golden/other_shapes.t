#!/usr/bin/python3
"""Golden cases of other shapes, made on the spot by tests/reference/make_golden.py and held by the same program."""
import os
import subprocess
import sys
import tempfile

root = os.environ["SGAPS_ROOT"]
program = os.path.join(os.environ["SGAPS_TESTS"], "golden", "golden")
cases = {
    "odd": "--dim 20 --heads 5 --enc 1 --dec 1 --ff 33 --height 7 --width 19 --samples 11 --batch 3 --ragged --skip "
           "--seed 11 --max-freq 3",
    "one-sample": "--dim 8 --heads 1 --enc 1 --dec 2 --ff 12 --height 9 --width 5 --samples 1 --seed 12 --state 3",
    "wide-patch": "--dim 24 --heads 2 --enc 2 --dec 1 --ff 40 --height 24 --width 40 --samples 33 --patch 8 "
                  "--head-width 10 --prefill --skip --ragged --seed 13 --max-freq 9",
    "self-ragged": "--dim 16 --heads 4 --enc 1 --dec 2 --ff 24 --height 10 --width 9 --samples 14 --batch 3 --ragged "
                   "--self-attn full --seed 14",
    "error": "--dim 20 --heads 2 --enc 1 --dec 2 --ff 24 --height 9 --width 14 --samples 12 --batch 3 --ragged --seed 15 "
             "--error-head",
    "error-wide-patch": "--dim 24 --heads 2 --enc 1 --dec 1 --ff 40 --height 24 --width 40 --samples 33 --patch 8 --prefill "
                        "--head-width 10 --seed 16 --error-head",
}
with tempfile.TemporaryDirectory() as tmp:
    env = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
    for name, arguments in cases.items():
        subprocess.run(["/usr/bin/python3", os.path.join(root, "tests/reference/make_golden.py"),
                        os.path.join(tmp, name), *arguments.split()], check=True, stdout=subprocess.DEVNULL, env=env)
    sys.exit(subprocess.run([program, *(os.path.join(tmp, name) for name in cases)], env=env).returncode)
