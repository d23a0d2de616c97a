#!/usr/bin/env python3
"""Sums a profile by kernel: kernels.py FILE.csv, as `ncu --csv --metrics gpu__time_duration.sum,dram__bytes.sum` writes it, or
FILE.json of one_pass.py --trace.

One line a kernel: microseconds, share, launches, TB/s of device memory (not in a trace), name."""
import csv
import json
import re
import sys
from collections import defaultdict

SECONDS = {"s": 1, "second": 1, "ms": 1e-3, "msecond": 1e-3, "us": 1e-6, "usecond": 1e-6, "ns": 1e-9, "nsecond": 1e-9}
BYTES = {"byte": 1, "Kbyte": 1e3, "Mbyte": 1e6, "Gbyte": 1e9, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9}


def plain(name):
    """Without arguments; template arguments stay."""
    return re.sub(r"\((?!anonymous).*", "", name.replace("void ", "").replace("<unnamed>::", ""))[:100]


def read_counters(lines, kernels):
    for row in csv.DictReader(line for line in lines if line.startswith('"')):
        k, value = kernels[plain(row["Kernel Name"])], float(row["Metric Value"].replace(",", ""))
        if row["Metric Name"].startswith("gpu__time"):
            k[0] += value * SECONDS[row["Metric Unit"]]
            k[2] += 1
        else:
            k[1] += value * BYTES[row["Metric Unit"]]


def read_trace(trace, kernels):
    for event in trace["traceEvents"]:
        if event.get("cat", "").lower() in ("kernel", "gpu_memcpy", "gpu_memset"):
            k = kernels[plain(event["name"])]
            k[0] += event["dur"] * 1e-6
            k[2] += 1


def main():
    kernels = defaultdict(lambda: [0.0, 0.0, 0])    # [seconds, bytes, launches]
    with open(sys.argv[1]) as f:
        if sys.argv[1].endswith(".json"):
            read_trace(json.load(f), kernels)
        else:
            read_counters(f, kernels)
    total, size = (sum(k[i] for k in kernels.values()) for i in (0, 1))
    for name, (seconds, moved, launches) in sorted(kernels.items(), key=lambda item: -item[1][0]):
        print(f"{seconds * 1e6:10.1f} us {seconds / total:6.1%} {launches:6d} launches {moved / seconds / 1e12:6.2f} TB/s  {name}")
    if not kernels:
        sys.exit(f"kernels.py: {sys.argv[1]}: no kernel in it")
    print(f"{total * 1e6:10.1f} us in all, {size / 1e9:.3f} GB, {size / total / 1e12:.2f} TB/s")


if __name__ == "__main__":
    main()
