#!/usr/bin/python3
"""What make check-gpu and tests/gpu/run.sh are made of, as far as it runs without a GPU: the library that python drives, the
golden cases and the training steps on ref, the measurement at a tiny size, and the refusal where there is no device."""
import glob
import json
import os
import re
import subprocess
import sys
import tempfile

root, tests = os.environ["SGAPS_ROOT"], os.environ["SGAPS_TESTS"]
if os.environ.get("SAN"):
    print("1..0 # SKIP a sanitised library cannot be loaded into python")
    sys.exit(0)
here, programs = os.path.join(root, "tests", "gpu"), os.path.join(os.path.dirname(tests), "gpu")
env = dict(os.environ, SGAPS_NETWORK=os.path.join(programs, "libsgaps-network.so"), PYTHONDONTWRITEBYTECODE="1",
           PYTHON="/usr/bin/python3")
env.pop("SGAPS_CUDA_LIBRARY", None)
os.environ["SGAPS_NETWORK"] = env["SGAPS_NETWORK"]
sys.path.insert(0, here)
sys.dont_write_bytecode = True
from network import PRESETS, Tap, preset  # noqa: E402

tap = Tap()


def run(*command, **more):
    done = subprocess.run(command, env=dict(env, **more), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def python(name, *arguments, **more):
    return run("/usr/bin/python3", os.path.join(here, name), *arguments, **more)


def passes(what, code, text, least):
    """A TAP program's lines: all good, and not fewer than that."""
    lines = re.findall(r"^(not ok|ok)", text, re.M)
    if not tap.ok(code == 0 and "not ok" not in lines and len(lines) >= least, f"{what}: {len(lines)} checks"):
        for line in text.splitlines()[-40:]:
            tap.note(line)


# --- presets are those of lib/conf ---
def presets_of_conf():
    import yaml
    with open(os.path.join(root, "lib/conf/conf_keys.c")) as f:
        source = f.read()
    keys = re.findall(r'\{"model\.([\w.]+)", KEY_\w+, [^,]+, [^,]+, [^,]+, (?:NULL|"[^"]*"), "([^"]*)"', source)
    flat = lambda tree, at="": {k: v for key, value in tree.items() for k, v in (
        flat(value, at + key + ".") if isinstance(value, dict) else {at + key: value}).items()}
    changes = {}
    for name, base, body in re.findall(r'\{"model", "([\w-]+)", (NULL|"[\w-]+"), ((?:"[^"]*"\s*)+)\}', source):
        changes[name] = dict(changes.get(base.strip('"'), {}), **flat(yaml.safe_load("".join(re.findall(r'"([^"]*)"', body)))))
    defaults = {key: yaml.safe_load(value) for key, value in keys}
    return {name: dict(defaults, **change) for name, change in changes.items()}


wrong, theirs = [], presets_of_conf()
for name in PRESETS:
    c, t = preset(name), theirs[name]
    size = t["resolution"] if isinstance(t["resolution"], list) else [t["resolution"]] * 2
    ours = {"embed_dim": c.embed_dim, "num_heads": c.num_heads, "num_encoder_layers": c.num_encoder_layers,
            "num_decoder_layers": c.num_decoder_layers, "max_state_dim": c.max_state_dim, "sentinel_value": c.sentinel_value,
            "coordinates": ("centres", "seed")[c.coordinates], "positional.max_freq": c.max_freq,
            "prefill": ("none", "linear")[c.prefill], "decoder.self_attention": ("none", "full")[c.self_attention],
            "decoder.query_patch": c.query_patch, "decoder.head_width": c.head_width,
            "architecture.feedforward_dim": c.feedforward_dim, "architecture.dropout": c.dropout,
            "architecture.skip.enabled": bool(c.skip), "architecture.skip.weight": c.skip_weight,
            "architecture.skip.dropout": c.skip_dropout}
    wrong += [f"{name}: {k} is {v} here and {t[k]} in conf_keys.c" for k, v in ours.items() if v != t[k]]
    wrong += [f"{name}: resolution"] if list(c.resolution) != size else []
for line in wrong:
    tap.note(line)
tap.ok(sorted(PRESETS) == sorted(theirs) and not wrong, f"the presets are lib/conf's: {', '.join(PRESETS)}")

# --- built without any library, and what it computes ---
needed = subprocess.run(["ldd", env["SGAPS_NETWORK"]], stdout=subprocess.PIPE, text=True, check=True).stdout
foreign = [line.split()[0] for line in needed.splitlines()
           if not re.match(r"\s*(linux-vdso|libm\.|libgomp|libomp|libc\.|libpthread|libdl|/lib)", line)]
tap.ok(not foreign, f"the library needs the C library and OpenMP alone {foreign}")
cases = [os.path.join(root, "tests/golden", name) for name in ("cross", "patch-prefill", "ragged")]
passes("golden cases on ref", *python("golden.py", "--device", "ref", "--precision", "fp32", *cases), 40)
passes("ten training steps on ref", *python("steps.py", "--device", "ref", "--precision", "fp32"), 9)
emulated = os.path.join(tests, "cuda", "libsgaps-cuda-emulated.so")
passes("golden cases on the emulated device", *python("golden.py", "--precision", "bf16", cases[0],
                                                      SGAPS_CUDA_LIBRARY=emulated), 3)
with tempfile.TemporaryDirectory() as tmp:
    code, text = python("golden.py", "--device", "cuda", *cases)
    tap.ok(code != 0 and "cuda" in text, "a device that is not there fails")
    out = os.path.join(tmp, "bench.json")
    code, text = python("bench.py", "--device", "cpu", "--model", "spt-fast", "--size", "16x24", "-n", "12", "--batch", "2",
                        "--runs", "1", "--rounds", "2", "--out", out)
    rows = json.load(open(out))["rows"] if os.path.exists(out) else []
    good = code == 0 and [r["kind"] for r in rows] == ["infer", "entropy", "live", "train"]
    good = good and all(r["ours"]["ms"] > 0 and r["ours"]["flops"] > 0 for r in rows)
    good = good and all(abs(r["ratio"] - r["torch"]["ms"] / r["ours"]["ms"]) < 1e-9 for r in rows if r["kind"] in ("infer", "train"))
    if not tap.ok(good and rows[0].get("distance", {}).get("distance", 1) < 1e-5, "bench.py times both sides, whose pictures agree"):
        tap.note(text.replace("\n", "\n# "))
    code, text = python("bench.py", "--device", "cpu", "--model", "spt-tiny", "--size", "16x16", "-n", "12", "--kind", "infer",
                        "--runs", "1", "--seconds", "12", "--rounds", "1000000", "--out", out)
    row = json.load(open(out))["rows"][0]
    if not tap.ok(code == 0 and row["ours"]["ms"] > 0 and "| spt-tiny | 1 | infer |" in text, "when its time is over, its table is what it has"):
        tap.note(text.replace("\n", "\n# "))
    profile = os.path.join(tmp, "profile.csv")
    with open(profile, "w") as f:
        f.write("==PROF== Connected\n" + '"ID","Kernel Name","Metric Name","Metric Unit","Metric Value"\n')
        for i in range(2):
            f.write(f'"{i}","void attend<float, 32>(unsigned long)","dram__bytes.sum","Mbyte","1,500"\n'
                    f'"{i}","void attend<float, 32>(unsigned long)","gpu__time_duration.sum","us","1,000.00"\n')
        f.write('"2","scale(float *)","gpu__time_duration.sum","ns","500000"\n'
                '"2","scale(float *)","dram__bytes.sum","byte","0"\n')
    code, text = python("kernels.py", profile)
    tap.ok(code == 0 and re.search(r"2000.0 us +80.0% +2 launches +1.50 TB/s +attend<float, 32>$", text, re.M) and
           "2500.0 us in all, 3.000 GB, 1.20 TB/s" in text, "kernels.py sums a profile by kernel")
    trace = os.path.join(tmp, "trace.json")
    with open(trace, "w") as f:
        json.dump({"traceEvents": [{"ph": "M", "name": "process_name"}, {"ph": "X", "cat": "cpu_op", "name": "x", "dur": 9},
                                   *[{"ph": "X", "cat": "kernel", "name": "void norm<32>(float*)", "dur": 2.5}] * 2]}, f)
    code, text = python("kernels.py", trace)
    tap.ok(code == 0 and re.search(r"5.0 us 100.0% +2 launches .* norm<32>$", text, re.M), "and a trace")
    code, text = python("kernels.py", os.devnull)
    tap.ok(code != 0 and "no kernel" in text, "and says when there is nothing in it")

# --- where there is no GPU ---
if subprocess.run(["sh", "-c", "ls /dev/nvidia0 2>/dev/null"], stdout=subprocess.DEVNULL).returncode == 0:
    print("# there is a GPU: make check-gpu is the test of its presence")
else:
    code, text = run(os.path.join(programs, "gpu_device"))
    tap.ok(code == 1 and text.startswith("make check-gpu: no GPU to check: ") and "no CUDA driver" in text, "make check-gpu fails with its reason")
    code, text = run("sh", os.path.join(here, "check.sh"), programs, SGAPS_ROOT=root)
    tap.ok(code == 1 and "no GPU to check" in text and "passed" not in text, "and runs nothing")
with tempfile.TemporaryDirectory() as tmp:
    stub = ["cc", "-shared", "-x", "c", "/dev/null", "-o"]
    subprocess.run([*stub, os.path.join(tmp, "libcublasLt.so.99")], check=True)
    library = os.path.join(tmp, "libsgaps-cuda.so")
    subprocess.run([*stub, library, "-Wl,--no-as-needed", "-L" + tmp, "-l:libcublasLt.so.99"], check=True)
    code, text = run(os.path.join(programs, "gpu_device"), SGAPS_CUDA_LIBRARY=library)
    tap.ok(code == 1 and "libcublasLt.so.99: cannot open" in text and "LD_LIBRARY_PATH" in text,
           "a missing cuBLASLt: where to get it")
scripts = [os.path.join(here, name) for name in ("check.sh", "run.sh", "carry.sh")]
tap.ok(all(run("sh", "-n", s)[0] == 0 for s in scripts), "the scripts parse")
code, text = run("sh", scripts[1])
tap.ok(code != 0 and "FOLDER" in text, "run.sh without a folder says what it wants")
sys.exit(tap.done())
