#!/usr/bin/python3
"""sgaps-clean against the rules computed again in numpy: made-up sessions, every frame's reason compared."""
import json
import os
import subprocess
import tempfile
import warnings

import h5py
import numpy as np

TOOL = os.path.join(os.environ["SGAPS_BIN"], "sgaps-clean")
MISSING = -999.0
count = failed = 0
folder = tempfile.TemporaryDirectory(prefix="sgaps-clean-")
os.chdir(folder.name)
warnings.simplefilter("ignore")  # nanmean of nothing


def ok(good, name):
    global count, failed
    count += 1
    failed += not good
    print(f"{'ok' if good else 'not ok'} {count} - {name}", flush=True)


# --- the random numbers: Philox4x32-10, after the paper ---

MASK = 0xFFFFFFFF


def philox_block(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & MASK, (a >> 32) ^ c[3] ^ k[1], a & MASK]
        k = [(k[0] + 0x9E3779B9) & MASK, (k[1] + 0xBB67AE85) & MASK]
    return c


def mix(x):
    x %= 2**64
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) % 2**64
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) % 2**64
    return x ^ x >> 31


class Philox:
    def __init__(self, seed, use, a, b):
        stream = mix(mix(mix(use + 0x9E3779B97F4A7C15) + a) + b)
        self.key = (seed & MASK, seed >> 32)
        self.stream = (stream & MASK, stream >> 32)
        self.block, self.words = 0, []

    def u32(self):
        if not self.words:
            self.words = philox_block((self.block & MASK, self.block >> 32) + self.stream, self.key)
            self.block += 1
        return self.words.pop(0)

    def below(self, n):
        while True:
            product = self.u32() * n
            if product & MASK >= (2**32 - n) % n:
                return product >> 32

    def shuffle(self, items):
        for i in range(len(items), 1, -1):
            j = self.below(i)
            items[i - 1], items[j] = items[j], items[i - 1]
        return items


STREAM_CLEAN = 6

# --- the rules ---

REASONS = ["kept", "not_selected", "not_finite", "out_of_range", "no_state", "few_samples", "stationary",
           "stationary_session", "balanced"]
KEPT, NOT_SELECTED, NOT_FINITE, OUT_OF_RANGE, NO_STATE, FEW, STATIONARY, STATIONARY_SESSION, BALANCED = range(9)


def prefilter(s, min_pixels):
    reason = []
    for t in range(len(s["time"])):
        state, uv = s["state"][t], s["uv"][t]
        if not np.isfinite(state).all() or not np.isfinite(uv).all() or not np.isfinite(s["time"][t]):
            reason.append(NOT_FINITE)
        elif (state == MISSING).all():
            reason.append(NO_STATE)
        elif (uv < 0).any() or (uv > 1).any():
            reason.append(OUT_OF_RANGE)
        elif len(uv) < min_pixels:
            reason.append(FEW)
        else:
            reason.append(KEPT)
    return np.array(reason)


def velocities(s, std, used, raw):
    x = s["state"].astype(float)
    x[~np.isfinite(x).all(axis=1)] = MISSING
    v = np.full(len(x), np.nan)
    for t in range(1, len(x)):
        both = (x[t] != MISSING) & (x[t - 1] != MISSING) & (used | raw)
        if not both.any():
            continue
        d = (x[t] - x[t - 1])[both]
        dt = s["time"][t] - s["time"][t - 1]
        v[t] = np.linalg.norm(d) if raw else np.linalg.norm(d / std[both]) / (dt if dt > 0 else 1 / s["fps"])
    first = np.flatnonzero(np.isnan(v[:-1]))
    v[first] = v[first + 1]
    return v.astype(np.float32)


def thin_runs(reason, v, threshold, keep_every):
    run = 0
    for t in np.flatnonzero(reason == KEPT):
        if not v[t] < threshold:
            run = 0
            continue
        if run and (keep_every == 0 or run % keep_every):
            reason[t] = STATIONARY
        run += 1


def cluster(x, K, seed):
    centre = x[Philox(seed, STREAM_CLEAN, 0, 0).shuffle(list(range(len(x))))[:K]].copy()
    for _ in range(100):
        d = ((x[:, None, :] - centre[None]) ** 2).sum(axis=2)
        label = d.argmin(axis=1)
        own = d[np.arange(len(x)), label].copy()
        for k in range(K):
            if (label == k).any():
                continue
            movable = np.bincount(label, minlength=K)[label] > 1
            far = np.where(movable, own, -1).argmax()
            label[far], own[far] = k, 0
        before = centre.copy()
        for k in range(K):
            centre[k] = x[label == k].mean(axis=0)
        if np.sqrt(((centre - before) ** 2).sum(axis=1)).max() < 1e-4:
            break
    return label


def expected(sessions, min_pixels=10, mode="frame", ratio=0.1, floor=0.01, keep_every=30, raw=False, K=100, cap="p80",
             seed=42):
    """Per session: reason, velocity, cluster; then threshold and median."""
    reason = [prefilter(s, min_pixels) for s in sessions]
    state = np.concatenate([s["state"][r == KEPT].astype(float) for s, r in zip(sessions, reason)])
    state = np.where(state == MISSING, np.nan, state)
    mean, std = np.nanmean(state, axis=0), np.nanstd(state, axis=0)
    used = np.nanmax(state, axis=0) > np.nanmin(state, axis=0)
    velocity = [velocities(s, std, used, raw) for s in sessions]
    median = np.nanmedian(np.concatenate([v[r == KEPT] for v, r in zip(velocity, reason)]))
    threshold = max(ratio * median, floor)
    for r, v in zip(reason, velocity):
        if mode == "frame":
            thin_runs(r, v, threshold, keep_every)
        elif mode == "session" and np.nanmedian(v[r == KEPT]) < threshold:
            r[r == KEPT] = STATIONARY_SESSION
    clusters = [np.full(len(r), -1) for r in reason]
    members = [(i, t) for i, r in enumerate(reason) for t in np.flatnonzero(r == KEPT)]
    if not K or len(members) < K:
        return reason, velocity, clusters, threshold, median
    x = np.array([sessions[i]["state"][t] for i, t in members], float)[:, used]
    x = np.where(x == MISSING, 0, (x - mean[used]) / std[used])
    n = np.log10(np.array([len(sessions[i]["uv"][t]) for i, t in members]) + 1)
    if n.max() > n.min():
        x = np.column_stack([x, 0.5 * (n - n.mean()) / n.std()])
    label = cluster(x, K, seed)
    sizes = np.bincount(label, minlength=K)
    full = sizes[sizes > 0]
    limit = {"p80": np.percentile(full, 80), "median": np.median(full), "mean": full.mean()}.get(cap) or float(cap)
    limit = max(1, int(limit))
    for k in range(K):
        inside = [m for m, l in zip(members, label) if l == k]
        for i, t in inside:
            clusters[i][t] = k
        if len(inside) > limit:
            for i, t in Philox(seed, STREAM_CLEAN, 1, k).shuffle(inside)[limit:]:
                reason[i][t] = BALANCED
    return reason, velocity, clusters, threshold, median


# --- made-up sessions ---

def make_sessions(rng, faults=True):
    sessions = []
    for number, (T, speed) in enumerate([(300, 1.0), (150, 0.3), (80, 0.001), (1, 1.0), (40, 2.0)]):
        walk = np.cumsum(rng.normal(0, speed, (T, 3)), axis=0)
        for start in (20, 90) if T > 100 else ():
            for t in range(start, start + 45):
                walk[t] = walk[t - 1] + rng.normal(0, speed * 1e-3, 3)
        state = np.full((T, 8), MISSING, np.float32)
        state[:, :3] = walk
        state[:, 3] = 7  # constant
        state[:, 4] = np.where(rng.random(T) < 0.3, MISSING, rng.normal(0, 0.001 * speed, T))
        time = np.cumsum(rng.uniform(0.05, 0.15, T))
        uv = [rng.random((rng.integers(10, 60), 2)).astype(np.float32) for _ in range(T)]
        if faults and T > 60:
            state[5:7] = MISSING
            state[11, 1] = np.nan
            state[12, 2] = np.inf
            uv[14] = uv[14][:3]
            uv[15] = uv[15][:0]
            uv[17][2, 0] = np.nan
            uv[18][1, 1] = 1.5
            uv[19][0, 0] = -0.01
            time[30] = time[29]  # not positive
            time[40] = time[39] - 1  # backwards
        sessions.append(dict(name=f"s{number}", state=state, time=time, uv=uv, fps=12.5))
    return sessions


def write(path, sessions, frames=False, samples=True, state=True, outputs=None):
    with h5py.File(path, "w") as f:
        f.attrs.update(format="sgaps-recording", format_version=1, format_minor=0, creator="test", config="{}",
                       history="", uuid="0", default="sessions/" + sessions[0]["name"])
        for s in sessions:
            g, T = f.create_group("sessions/" + s["name"]), len(s["time"])
            g.attrs.update(session_id=s["name"], resolution=np.array([16, 12], np.uint32), target_fps=s["fps"],
                           sentinel=np.float32(MISSING), value_range=255.0, closed=np.uint8(1))
            g["frame_id"] = np.arange(T)
            g["timestamp"] = s["time"]
            if state:
                g["state"] = s["state"]
                g["state_len"] = np.full(T, s["state"].shape[1], np.uint16)
            if samples:
                n = [len(u) for u in s["uv"]]
                g["samples/offset"] = np.concatenate([[0], np.cumsum(n)]).astype(np.uint64)
                g["samples/uv"] = np.concatenate(s["uv"])
                g["samples/value"] = (np.arange(sum(n)) % 256).astype(np.uint8)
            if frames:
                pixels = (np.arange(T)[:, None, None] * 7 + np.arange(12)[None, :, None] * 16 + np.arange(16)) % 256
                g.create_dataset("frames", data=pixels.astype(np.uint8), chunks=(1, 12, 16), compression="gzip",
                                 compression_opts=6, maxshape=(None, 12, 16))
            if outputs:
                g["recv_time"] = s["time"] + 1e9
                g["samples/set"] = np.arange(T) // 5
                g["importance"] = np.random.default_rng(T).random((T, 3, 4), dtype=np.float32)
                made = np.random.default_rng(T).random((T, 12, 16)) * 255
                g["reconstruction"] = made.astype(np.uint8) if outputs == "u8" else (made / 255).astype(np.float32)


def run(*arguments):
    p = subprocess.run([TOOL, "-q", *arguments], capture_output=True)
    assert p.returncode == 0, (arguments, p.stderr)
    return p.stdout


def rows_as_they_were(f, s, reason):
    kept = np.flatnonzero(reason == KEPT)
    if not len(kept):
        return s["name"] not in f["sessions"]
    g = f["sessions/" + s["name"]]
    o = g["samples/offset"][:]
    return ((g["frame_id"][:] == kept).all() and (g["timestamp"][:] == s["time"][kept]).all() and
            np.array_equal(g["state"][:], s["state"][kept]) and
            all((g["samples/uv"][o[i]:o[i + 1]] == s["uv"][t]).all() for i, t in enumerate(kept)))


def compare(name, sessions, path, *arguments, **rules):
    run(path, "-o", "out.h5", *arguments)
    reason, velocity, clusters, threshold, median = expected(sessions, **rules)
    with h5py.File("out.h5") as f:
        trail = f["clean"]
        parameters = json.loads(trail.attrs["parameters"])
        ok(json.loads(trail.attrs["reasons"]) == REASONS, f"{name}: the reasons' names")
        ok(abs(parameters["velocity_threshold"] / threshold - 1) < 1e-6 and
           abs(parameters["velocity_median"] / median - 1) < 1e-6, f"{name}: threshold {threshold:.4g}")
        ok(all((trail[s["name"]]["reason"][:] == r).all() for s, r in zip(sessions, reason)),
           f"{name}: every frame's reason: " + ", ".join(
               f"{REASONS[i]} {n}" for i, n in enumerate(np.bincount(np.concatenate(reason), minlength=9)) if n))
        ok(all(np.allclose(trail[s["name"]]["velocity"][:], v, rtol=1e-5, equal_nan=True)
               for s, v in zip(sessions, velocity)), f"{name}: velocities")
        ok(all((trail[s["name"]]["cluster"][:] == k).all() for s, k in zip(sessions, clusters)), f"{name}: clusters")
        ok(all((trail[s["name"]]["keep"][:] == (r == KEPT)).all() for s, r in zip(sessions, reason)), f"{name}: keep")
        ok(all(rows_as_they_were(f, s, r) for s, r in zip(sessions, reason)), f"{name}: the kept rows, as they were")


rng = np.random.default_rng(1)
sessions = make_sessions(rng)
write("a.h5", sessions, frames=True)
few = ("--clusters", "20")
none = ("--clusters", "0")
compare("defaults", sessions, "a.h5")
compare("p80", sessions, "a.h5", *few, K=20)
compare("median", sessions, "a.h5", *few, "--cap", "median", cap="median", K=20)
compare("mean", sessions, "a.h5", *few, "--cap", "mean", cap="mean", K=20)
compare("a number", sessions, "a.h5", *few, "--cap", "7", cap="7", K=20)
compare("a seed", sessions, "a.h5", *few, "--seed", str(2**40 + 5), seed=2**40 + 5, K=20)
compare("no balancing", sessions, "a.h5", *none, K=0)
compare("sessions", sessions, "a.h5", "--stationarity", "session", *few, mode="session", K=20)
compare("no stationarity", sessions, "a.h5", "--stationarity", "none", *few, mode="none", K=20)
compare("raw velocity", sessions, "a.h5", "--raw-velocity", *none, raw=True, floor=0.15, K=0)
compare("raw velocity, own floor", sessions, "a.h5", "--raw-velocity", "--set", "cleaning.noise_floor=0.3", *none,
        raw=True, floor=0.3, K=0)
compare("ratio and keep_every", sessions, "a.h5", "--set", "cleaning={ratio: 0.5, keep_every: 4}", *none, ratio=0.5,
        keep_every=4, K=0)
compare("keep_every 0", sessions, "a.h5", "--set", "cleaning.keep_every=0", *none, keep_every=0, K=0)
compare("min_pixels", sessions, "a.h5", "--set", "cleaning.min_pixels=30", *none, min_pixels=30, K=0)

# Pictures come through with the bytes of their chunks.
run("a.h5", "-o", "out.h5")
with h5py.File("a.h5") as a, h5py.File("out.h5") as b:
    same = raw = True
    for name, g in b["sessions"].items():
        source = a["sessions"][name]["frames"]
        for row, t in enumerate(g["frame_id"][:]):
            same &= bool((g["frames"][row] == source[t]).all())
            raw &= g["frames"].id.read_direct_chunk((row, 0, 0)) == source.id.read_direct_chunk((t, 0, 0))
    ok(same, "the pictures are the same")
    ok(raw, "and so are their compressed chunks, byte for byte")

# So do the outputs of sgaps-reconstruct and the columns that only live sessions have.
for kind in "u8", "f32":
    write("outputs.h5", sessions, outputs=kind)
    run("outputs.h5", "-o", "out.h5", *few)
    with h5py.File("outputs.h5") as a, h5py.File("out.h5") as b:
        ok(all(np.array_equal(a["sessions"][s][name][:][g["frame_id"][:]], g[name][:]) and
               a["sessions"][s][name].dtype == g[name].dtype for s, g in b["sessions"].items()
               for name in ("reconstruction", "importance", "recv_time", "samples/set")),
           f"reconstruction as {kind}, importance, recv_time and set of the kept rows")

# k-means++ gives the same from one seed, and every cluster keeps to the cap.
plus_plus = ("a.h5", "--init", "kmeans++", *few, "--cap", "9", "--no-history")
run(*plus_plus, "-o", "pp.h5", "-j", "1")
run(*plus_plus, "-o", "pp2.h5", "-j", "2")
ok(open("pp.h5", "rb").read() == open("pp2.h5", "rb").read(), "k-means++: the same bytes, whatever the threads")
with h5py.File("pp.h5") as f, h5py.File("a.h5") as a:
    label = np.concatenate([f["clean"][s["name"]]["cluster"][:] for s in sessions])
    keep = np.concatenate([f["clean"][s["name"]]["keep"][:] for s in sessions])
    ok(len(set(label[label >= 0])) == 20 and np.bincount(label[keep == 1]).max() <= 9, "k-means++: the cap holds")

# What a recording lacks: the rules that need it are skipped, and the report says so.
write("no_samples.h5", make_sessions(rng, faults=False), frames=True, samples=False)
report = run("no_samples.h5", "--report", "-").decode()
ok("# note\tthe sample rules are skipped for 5 of 5 sessions" in report, "without samples")
ok("\nsession\tframes\tkept\t" in report and report.splitlines()[-1].startswith("total\t571\t"), "the report's table")
write("no_state.h5", make_sessions(rng), state=False)
report = run("no_state.h5", "--report", "-").decode()
total = dict(zip(report.splitlines()[-7].split("\t"), report.splitlines()[-1].split("\t")))
ok("# note\tstationarity and balancing are skipped for 5 of 5 sessions" in report and total["stationary"] == "0" and
   total["few_samples"] == "6" and total["out_of_range"] == "6" and total["not_finite"] == "3", "without state")

# A selection beside its source is the cleaned recording.
run("a.h5", "-o", "selection.h5", "--selection-only")
run("a.h5", "-o", "whole.h5")
ok(os.path.getsize("selection.h5") < os.path.getsize("a.h5") / 2, "a selection is small")
run("a.h5", "selection.h5", "-o", "again.h5", "--stationarity", "none", "--clusters", "0")
with h5py.File("whole.h5") as a, h5py.File("again.h5") as b, h5py.File("selection.h5") as c:
    ok(list(a["sessions"]) == list(b["sessions"]) and
       all((a["sessions"][s]["frame_id"][:] == b["sessions"][s]["frame_id"][:]).all() for s in a["sessions"]),
       "a selection applied gives the same frames")
    ok(not len(c.get("sessions", ())) and
       all((c["clean"][s]["reason"][:] == a["clean"][s]["reason"][:]).all() for s in c["clean"]),
       "a selection holds the trail alone")

# Several files are one data set; sessions of one name are told apart.
other = make_sessions(np.random.default_rng(2), faults=False)
write("b.h5", other)
write("c.h5", sessions)
both = [dict(s) for s in sessions + other]
for s in both[5:]:
    s["name"] += "-2"
run("c.h5", "b.h5", "-o", "both.h5", "--clusters", "30")
reason, velocity, clusters, threshold, median = expected(both, K=30)
with h5py.File("both.h5") as f:
    ok(all((f["clean"][s["name"]]["reason"][:] == r).all() for s, r in zip(both, reason)) and
       all(np.allclose(f["clean"][s["name"]]["velocity"][:], v, rtol=1e-5, equal_nan=True)
           for s, v in zip(both, velocity)), "two files, one data set")
    ok(f["sessions/s0-2"].attrs["session_id"] == "s0-2", "sessions of the same name get -2")

print(f"1..{count}")
os.chdir("/")
raise SystemExit(1 if failed else 0)
