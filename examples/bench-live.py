#!/usr/bin/python3
"""How many sessions sgaps-serve holds: starts a server for each row, plays a recording against it with sgaps-replay in an open
loop, and prints a table. Latency is that of the frames that are answered, which is every fifth by default
(--set mask_update.fixed_interval=1: all). Left out: frames that were not rebuilt because a newer one of the session came, or
that were too old. The server's processor time is read from /proc: on a machine that others use too it says more than latency.

    examples/bench-live.py --fps 10 --sessions 1,8,32 examples/data/doom.h5
    examples/bench-live.py --checkpoints runs --set 'server.resolution=[64,64]' --fps 30 --sessions 1,4 test.h5
    examples/bench-live.py --null --binary --fps 30 --sessions 100 test.h5"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BIN = os.environ.get("SGAPS_BIN") or os.path.join(ROOT, "bin")
TICKS = os.sysconf("SC_CLK_TCK")


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("recording")
    p.add_argument("--checkpoints", metavar="DIR", help="DIR/default/best.h5 is served; default: linear interpolation")
    p.add_argument("--null", action="store_true", help="rebuild nothing")
    p.add_argument("--binary", action="store_true", help="the binary subprotocol")
    p.add_argument("--record", action="store_true", help="record to a folder that goes afterwards")
    p.add_argument("--fps", type=float, default=10)
    p.add_argument("--sessions", default="1,4,16", help="a list")
    p.add_argument("--seconds", type=float, default=10, help="of each row")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="for the server")
    return p.parse_args()


def processor_seconds(pid):
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def start(o, folder):
    command = [os.path.join(BIN, "sgaps-serve"), "-p", "0", "-j", str(o.threads), "--set", "server.max_per_address=5000", "--set", "server.max_connections=5000", "--set", "server.max_sessions=5000"]
    for s in o.set:
        command += ["--set", s]
    command += ["--checkpoints", o.checkpoints] if o.checkpoints else []
    command += ["--null-model"] if o.null else []
    command += ["--record", folder] if o.record else []
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    for line in server.stderr:
        found = re.search(r"ws://[^/]*/ws/stream", line)
        if found:
            return server, found.group(0)
    sys.exit("the server did not start: %s" % " ".join(command))


def counters(url):
    """frames by what became of them, and the batches."""
    page = urllib.request.urlopen(url.replace("ws:", "http:").replace("/ws/stream", "/metrics")).read().decode()
    out = {}
    for line in page.splitlines():
        if line and line[0] != "#":
            name, value = line.rsplit(" ", 1)
            out[name] = float(value)
    return out


def row(o, sessions):
    with tempfile.TemporaryDirectory() as folder:
        server, url = start(o, folder)
        before = processor_seconds(server.pid)
        replay = subprocess.Popen([os.path.join(BIN, "sgaps-replay"), o.recording, url, "--json", "--checkpoint-key", "default",
                                   "--sessions", str(sessions), "--fps", str(o.fps), "--duration", str(o.seconds)] +
                                  (["--binary"] if o.binary else []), stdout=subprocess.PIPE)
        said = json.loads(replay.stdout.read())
        spent = processor_seconds(server.pid) - before
        seen = counters(url)
        replay.wait()
        server.terminate()
        server.stderr.read()
        server.wait()
    return said, spent, seen


def main():
    o = arguments()
    print("| sessions | fps | frames | left out | answered | p50 ms | p95 ms | p99 ms | in time % | server cpu ms/frame | sent late p99 ms "
          "| bytes up | bytes down | load |")
    print("|---" * 14 + "|")
    for n in map(int, o.sessions.split(",")):
        r, spent, seen = row(o, n)
        lost = sum(v for k, v in seen.items() if k.startswith("sgaps_frames_dropped_total"))
        t = r["latency_ms"]
        print("| %d | %g | %d | %d | %d | %.1f | %.1f | %.1f | %.1f | %.2f | %.1f | %.0f | %.0f | %.0f |" % (
            n, o.fps, r["frames_sent"], lost, r["coordinates_received"], t["p50"] or -1, t["p95"] or -1, t["p99"] or -1,
            100 * (r["within_frame_time"] or 0), 1e3 * spent / max(1, r["frames_sent"]), r["sent_late_ms"]["p99"],
            r["bytes_up_per_frame"], r["bytes_down_per_set"], os.getloadavg()[0]), flush=True)
        if r["sessions_failed"]:
            print("%d sessions failed: %s %s" % (r["sessions_failed"], r["errors"], r["closed"]))
        time.sleep(1)


main()
