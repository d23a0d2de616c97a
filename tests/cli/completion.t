#!/usr/bin/python3
"""Completions in real shells: bash and zsh on a terminal, with TAB pressed; fish as it answers `complete -C`. What the
shell has made of a line is read back by putting printf in front of it."""
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time

root, tools = os.environ["SGAPS_ROOT"], os.environ["SGAPS_BIN"]
names = sorted(n[6:] for n in os.listdir(tools) if n.startswith("sgaps-"))
number = failed = 0


def ok(good, text, *why):
    global number, failed
    number += 1
    failed += not good
    print("ok" if good else "not ok", number, "-", text, flush=True)
    if not good:
        for line in why:
            print("#", line)


class Shell:
    """A shell on a terminal of its own."""

    def __init__(self, argv, env, start):
        self.pid, self.fd = pty.fork()
        if not self.pid:
            os.execvpe(argv[0], argv, env)
        self.count = 0
        self.ask(start)

    def read_until(self, pattern, seconds=60):
        seen, end = "", time.monotonic() + seconds
        while not (found := re.search(pattern, seen)):
            if time.monotonic() > end:
                raise TimeoutError(seen)
            if select.select([self.fd], [], [], 0.2)[0]:
                seen += os.read(self.fd, 65536).decode(errors="replace")
        return found

    def ask(self, command):
        """Runs a command and returns when it is done."""
        self.count += 1
        os.write(self.fd, f"{command}; echo do'ne'-{self.count}-\n".encode())
        self.read_until(f"done-{self.count}-")

    def complete(self, line):
        """What TAB makes of a line."""
        self.count += 1
        os.write(self.fd, line.encode() + b"\t")
        time.sleep(0.1)  # a shell may drop what is typed while it completes
        os.write(self.fd, b"\x01printf '%s' 'got-'; printf '<%s>' \x05; echo -e''nd\n")
        return re.findall("<(.*?)>", self.read_until(r"got-((?:<[^<>]*>)*)-end").group(1))[1:]

    def close(self):
        os.write(self.fd, b"\x03\nexit\n")
        os.close(self.fd)
        os.waitpid(self.pid, 0)


CASES = [
    # typed, the words after it
    ("sgaps-train --val", ["--validation="]),
    ("sgaps-clean --raw", ["--raw-velocity"]),
    ("sgaps-clean --stationarity s", ["--stationarity", "session"]),
    ("sgaps-clean --stationarity=fr", ["--stationarity=frame"]),
    ("sgaps-eval --method th", ["--method", "thumbnail"]),
    ("sgaps-eval -m mo", ["-m", "model.h5"]),
    ("sgaps-train -c set", ["-c", "settings.yaml"]),
    ("sgaps-train -o fol", ["-o", "folder/"]),
    ("sgaps-train --set training.sch", ["--set", "training.scheduler=co"]),
    ("sgaps-train --set training.scheduler=cos", ["--set", "training.scheduler=cosine"]),
    ("sgaps-train --set training=phase1 --set model.embed", ["--set", "training=phase1", "--set", "model.embed_dim="]),
    ("sgaps-bench inf", ["infer"]),
    ("sgaps-bench --model spt-b", ["--model", "spt-base"]),
    ("sgaps-reconstruct --importance=en", ["--importance=entropy"]),
    ("sgaps-info other.t", ["other.txt"]),
]


def on_terminal(name, argv, env, start):
    try:
        shell = Shell(argv, env, start)
        for typed, wanted in CASES:
            got = shell.complete(typed)
            # zsh takes the = or / that it has put there away when a blank follows.
            ok(got == wanted or name == "zsh" and got == [w.rstrip("=/") for w in wanted], f"{name}: {typed}<TAB>", f"made {got} of it, wanted {wanted}")
        shell.close()
    except (TimeoutError, OSError) as e:
        ok(False, f"{name}: answers", repr(e))


def table(tool):
    said = subprocess.run([os.path.join(tools, "sgaps-" + tool), "--list-options"], check=True, capture_output=True, text=True)
    return {"--" + line.split("\t")[1] for line in said.stdout.splitlines()}


def equal(shell, asked):
    """Every tool's options, asked for with `--`, are those of its table."""
    wrong = [f"{t}: {asked(t) ^ table(t)}" for t in names if asked(t) != table(t)]
    ok(not wrong, f"{shell}: the options of all {len(names)} tools are those of the tables", *wrong)


with tempfile.TemporaryDirectory() as tmp:
    made = os.path.join(tmp, "made")
    subprocess.run(["perl", "mk/completions.pl", tools, made, *names], check=True, cwd=root)
    share = os.path.join(tmp, "share")
    shutil.copytree(made + "/bash", share + "/bash-completion/completions")
    shutil.copytree(made + "/fish", share + "/fish/vendor_completions.d")
    work = os.path.join(tmp, "work")
    os.makedirs(work + "/folder")
    for name in ("model.h5", "settings.yaml", "other.txt"):
        open(os.path.join(work, name), "w").close()
    os.chdir(work)
    env = {"PATH": tools + ":/usr/bin:/bin", "HOME": tmp, "TERM": "dumb", "LC_ALL": "C.UTF-8", "COLUMNS": "500", "LINES": "50",
           "XDG_DATA_DIRS": share + ":/usr/share", "HISTFILE": "/dev/null"}
    asking = dict(capture_output=True, text=True, env=env)

    if shutil.which("bash") and os.path.exists("/usr/share/bash-completion/bash_completion"):
        on_terminal("bash", ["bash", "--norc", "--noprofile", "-i"], env,
                    "stty cols 500; PS1='$ '; bind 'set enable-bracketed-paste off'; . /usr/share/bash-completion/bash_completion")

        def bash(tool):
            script = f". {made}/bash/sgaps-{tool}; COMP_LINE='sgaps-{tool} --' COMP_POINT=100; _sgaps_{tool}; printf '%s\\n' ${{COMPREPLY[@]}}"
            said = subprocess.run(["bash", "-c", script], **asking).stdout
            return {w.rstrip("=") for w in said.split()}
        equal("bash", bash)
    else:
        ok(True, "bash # SKIP bash-completion is not installed")

    if shutil.which("zsh"):
        on_terminal("zsh", ["zsh", "-f", "-i"], env,
                    f"stty cols 500; PS1='$ '; unsetopt zle_bracketed_paste; unset zle_bracketed_paste; fpath=({made}/zsh $fpath); "
                    "autoload -U compinit; compinit -u -D; setopt no_always_last_prompt no_beep")
    else:
        ok(True, "zsh # SKIP it is not installed")

    if shutil.which("fish"):
        with_path = f"set -p fish_complete_path {share}/fish/vendor_completions.d; "

        def fish(line):
            said = subprocess.run(["fish", "--no-config", "-c", with_path + f"complete -C '{line}'"], **asking).stdout
            return [w.split("\t")[0] for w in said.splitlines()]
        for typed, wanted in CASES:
            got, last = fish(typed), wanted[-1]
            good = os.path.commonprefix(got).rstrip("=") == last.rstrip("=")
            ok(good, f"fish: {typed}<TAB>", f"offers {got[:20]}, wanted {last}")
        equal("fish", lambda tool: {w.rstrip("=") for w in fish(f"sgaps-{tool} --")})
    else:
        ok(True, "fish # SKIP it is not installed")

print(f"1..{number}")
sys.exit(failed > 0)
