#!/usr/bin/python3
"""contrib: the unit is what systemd accepts; the image holds the libraries that the tools need; options that the unit and the
image use are the server's; compose's files say what the Dockerfile needs."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ.get("SGAPS_ROOT", "."), "tests/support"))
from live import BIN, ROOT, Tap

tap = Tap()


def read(name):
    with open(os.path.join(ROOT, "contrib", name)) as f:
        return f.read()


def said(*command):
    p = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
    return p.returncode, p.stdout.decode()


def unit():
    text = read("systemd/sgaps-serve.service")
    known = set(re.findall(r"--[a-z-]+", said(BIN + "/sgaps-serve", "--help")[1]))
    used = set(re.findall(r" (--[a-z-]+)", text[text.index("ExecStart="):text.index("ExecReload")]))
    tap.ok(used and used <= known, "the unit's options are the server's", used - known)
    tap.ok(all(x in text for x in ("DynamicUser=yes", "ProtectSystem=strict", "StateDirectory=sgaps", "ExecReload=kill -HUP $MAINPID")),
           "it is shut in, and reload is SIGHUP")
    if not shutil.which("systemd-analyze"):
        tap.skip("systemd-analyze verify", "systemd-analyze is not installed")
        return
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "sgaps-serve.service")
        with open(path, "w") as f:
            f.write(text.replace("/usr/local/bin/sgaps-serve", BIN + "/sgaps-serve"))
        code, out = said("systemd-analyze", "verify", "--man=no", path)
        tap.ok(code == 0 and not out.strip(), "systemd-analyze verify", out)


def dockerfile():
    text = re.sub(r"\\\n", " ", read("docker/Dockerfile"))
    last = text[text.rindex("\nFROM "):]
    packages = set(re.findall(r"[a-z0-9.+-]+", last[last.index("--no-install-recommends"):last.index("&& if")]))
    need = {}
    for tool in sorted(os.listdir(BIN)):
        if tool.startswith("sgaps-"):
            for name in re.findall(r"NEEDED.*\[(.*)\]", said("readelf", "-d", os.path.join(BIN, tool))[1]):
                need[name] = tool
    owners = {}
    for line in said("dpkg", "-S", *["*/" + name for name in need])[1].splitlines():
        names, _, path = line.partition(": ")
        owners.setdefault(os.path.basename(path), set()).update(x.split(":")[0] for x in names.split(", "))
    missing = ["%s: %s of %s" % (need[x], x, owners.get(x)) for x in need if not owners.get(x, set()) & (packages | {"libc6"})]
    if "libwebsockets-evlib-ev" not in packages:
        missing.append("libwebsockets-evlib-ev, which libwebsockets loads when it runs")
    if os.environ.get("SAN"):
        tap.skip("the image has every library that the tools need", "sanitised tools need more")
    else:
        tap.ok(not missing, "the image has every library that the tools need", *missing)
    entry = json.loads(re.search(r"^ENTRYPOINT (.*)", text, re.M).group(1)) + json.loads(re.search(r"^CMD (.*)", text, re.M).group(1))
    known = set(re.findall(r"--[a-z-]+", said(BIN + "/sgaps-serve", "--help")[1]))
    used = {x for x in entry if x.startswith("--")}
    tap.ok(used <= known and "--token-file" in used, "its entry point's options are the server's, a token among them", used - known)


def compose():
    try:
        import yaml
    except ImportError:
        tap.skip("compose's files", "python3-yaml is not installed")
        return
    c = yaml.safe_load(read("docker/compose.yaml"))
    s = c["services"]["sgaps-serve"]
    context = os.path.normpath(os.path.join(ROOT, "contrib/docker", s["build"]["context"]))
    tap.ok(os.path.samefile(context, ROOT) and os.path.exists(os.path.join(context, s["build"]["dockerfile"])) and
           s["secrets"] == ["sgaps_token"] and c["secrets"]["sgaps_token"]["file"] == "./token" and s["ports"] == ["8080:8080"],
           "compose.yaml: context, secret and port", s)
    g = yaml.safe_load(read("docker/compose.cuda.yaml"))["services"]["sgaps-serve"]
    device = g["deploy"]["resources"]["reservations"]["devices"][0]
    tap.ok(g["build"]["args"]["CUDA"] == "1" and device["driver"] == "nvidia" and device["capabilities"] == ["gpu"],
           "compose.cuda.yaml: the argument and the GPU", g)


unit()
dockerfile()
compose()
tap.done()
