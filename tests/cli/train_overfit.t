#!/usr/bin/python3
"""The shipped game recording: --overfit learns a few frames by heart, far above linear interpolation."""
import json
import os
import subprocess
import sys
import tempfile

TRAIN, ROOT = os.environ["SGAPS_BIN"] + "/sgaps-train", os.environ["SGAPS_ROOT"]
SETTINGS = ["model.embed_dim=32", "model.num_heads=2", "model.num_encoder_layers=1", "model.num_decoder_layers=1",
            "model.architecture.feedforward_dim=64", "model.decoder.head_width=32", "model.decoder.query_patch=4",
            "model.resolution=[32,32]", "training.samples=[0.04,0.04]", "training.lr=4e-3", "training.warmup_steps=10",
            "training.max_steps=150", "training.epochs=1000"]

with tempfile.TemporaryDirectory() as top:
    p = subprocess.run([TRAIN, "-q", "--json", "--overfit", "4", "-o", f"{top}/run"] +
                       [x for s in SETTINGS for x in ("--set", s)] + [f"{ROOT}/examples/data/doom.h5"],
                       capture_output=True, text=True)
    if p.returncode:
        print("# " + p.stderr.strip())
        print("not ok 1 - the run ends well\n1..1")
        sys.exit(1)
    r = json.loads(p.stdout)
    print("ok 1 - the run ends well")
    print(f"# {r['psnr']:.2f} dB, linear {r['linear_psnr']:.2f} dB; SSIM {r['ssim']:.3f}, linear {r['linear_ssim']:.3f}")
    good = r["psnr"] > r["linear_psnr"] + 6 and r["ssim"] > r["linear_ssim"] + 0.1
    print(f"{'ok' if good else 'not ok'} 2 - four frames are known by heart: 6 dB and .1 above linear")
    names = sorted(os.listdir(f"{top}/run"))
    whole = {"best.h5", "last.h5", "metrics.jsonl", "examples"} <= set(names) and not [n for n in names if ".part" in n]
    print(f"{'ok' if whole else 'not ok'} 3 - the directory holds {' '.join(names)}")
    with open(f"{top}/run/metrics.jsonl") as f:
        keys = set().union(*map(dict.keys, map(json.loads, f)))
    want = {"Train/loss_step", "Train/lr", "Train/loss_epoch", "Val/loss", "Val/PSNR", "Val/SSIM"}
    print(f"{'ok' if want <= keys else 'not ok'} 4 - metrics.jsonl has the names that were logged before")
    print("1..4")
    sys.exit(not (good and whole and want <= keys))
