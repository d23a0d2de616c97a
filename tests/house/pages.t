#!/usr/bin/python3
"""The pages of the file formats, held against files that the tools write: what is in a file is on its page, and the
page names nothing that no file has. Older files and what a live session adds are named in the lists below."""
import glob
import os
import re
import subprocess
import sys
import tempfile

import h5py

root, tools = os.environ["SGAPS_ROOT"], os.environ["SGAPS_BIN"]
number = failed = 0


def ok(good, text, *why):
    global number, failed
    number += 1
    failed += not good
    print("ok" if good else "not ok", number, "-", text)
    for line in why:
        print("#", line)


def run(tool, *arguments):
    subprocess.run([os.path.join(tools, tool), "-q", *arguments], check=True)


def names(path):
    """Attributes and members of a file; sessions, tensors and other free names left out."""
    out = set()

    def visit(name, item):
        if re.match(r"(sessions|clean)/[^/]+$", name) or "/exp_avg" in name or re.match(r"\w+/exp_avg", name):
            parts = []
        elif name.startswith("model_state_dict/"):
            parts = []
        else:
            parts = name.split("/")[-1:]
        out.update(parts)
        out.update(item.attrs)

    with h5py.File(path) as f:
        out.update(f.attrs)
        f.visititems(visit)
    return out


def page(name):
    """The page's words, and those that it introduces in a list (.It Va, .It Pa)."""
    text = open(os.path.join(root, "man", name)).read().split("\n.Sh JOURNAL\n")[0]  # a journal is no HDF5 file
    items = set()
    for line in re.findall(r"^\.It (?:Va|Pa) (.*)", text, re.M):
        items.update(re.findall(r"[A-Za-z][A-Za-z0-9_]+", re.split(r" No | Ns | Ta ", line)[0].replace(", Pa ", ", ")))
    return set(re.findall(r"[A-Za-z][A-Za-z0-9_]*", text)), items


def hold(title, files, allowed):
    there = set().union(*(names(f) for f in files))
    words, items = page(title)
    # The HDF5 Image specification's names are its own.
    missing = sorted(n for n in there - words if not n.startswith("IMAGE_") and n not in ("CLASS", "DISPLAY_ORIGIN"))
    ok(len(there) > 20 and not missing, f"{title}: names all that {len(files)} files hold", *missing)
    unknown = sorted(items - there - allowed)
    ok(len(items) > 10 and not unknown, f"{title}: introduces nothing that no file holds", *unknown)


with tempfile.TemporaryDirectory() as tmp:
    subprocess.run(["sh", os.path.join(root, "tests/support/fixture.sh"), tmp], check=True)
    os.chdir(tmp)
    run("sgaps-clean", "rec.h5", "-o", "clean.h5")
    run("sgaps-clean", "rec.h5", "--selection-only", "-o", "selection.h5")
    run("sgaps-reconstruct", "-m", "runs/demo/best.h5", "--importance", "-o", "rebuilt.h5", "sparse.h5")
    run("sgaps-import", "-o", "live.h5", "session.ndjson")
    hold("sgaps-recording.5", ["rec.h5", "sparse.h5", "clean.h5", "selection.h5", "rebuilt.h5", "live.h5"],
         {"recv_time", "screen", "frames_t",                              # a live session's
          "pixels", "state_vector", "image", "ground_truth", "session"})  # an older file's
    hold("sgaps-checkpoint.5", glob.glob("runs/demo/*.h5"), {"name"})

    # The tensors: every name of every kind of network is on the page.
    words = page("sgaps-checkpoint.5")[0]
    tensors = set()
    for path in glob.glob(os.path.join(root, "tests/golden/*/checkpoint.h5")):
        with h5py.File(path) as f:
            tensors.update(f["model_state_dict"])
    missing = sorted({part for t in tensors for part in t.split(".") if not part.isdigit()} - words)
    ok(len(tensors) > 60 and not missing, f"sgaps-checkpoint.5: the parts of {len(tensors)} tensors' names", *missing)

print(f"1..{number}")
sys.exit(failed > 0)
