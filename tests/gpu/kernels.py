#!/usr/bin/env python3
"""Sums a profile by kernel: kernels.py FILE.csv, as `ncu --csv --metrics gpu__time_duration.sum,dram__bytes.sum` writes it.

One line a kernel: microseconds, share, launches, TB/s of device memory, name."""
import csv
import re
import sys
from collections import defaultdict

SECONDS = {"s": 1, "second": 1, "ms": 1e-3, "msecond": 1e-3, "us": 1e-6, "usecond": 1e-6, "ns": 1e-9, "nsecond": 1e-9}
BYTES = {"byte": 1, "Kbyte": 1e3, "Mbyte": 1e6, "Gbyte": 1e9, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9}


def plain(name):
    """Without arguments; template arguments stay."""
    return re.sub(r"\((?!anonymous).*", "", name.replace("void ", "").replace("<unnamed>::", ""))[:100]


def read(lines):
    """{kernel: [seconds, bytes, launches]}"""
    rows = csv.DictReader(line for line in lines if line.startswith('"'))
    kernels = defaultdict(lambda: [0.0, 0.0, 0])
    for row in rows:
        k, value = kernels[plain(row["Kernel Name"])], float(row["Metric Value"].replace(",", ""))
        if row["Metric Name"].startswith("gpu__time"):
            k[0] += value * SECONDS[row["Metric Unit"]]
            k[2] += 1
        else:
            k[1] += value * BYTES[row["Metric Unit"]]
    return kernels


def main():
    with open(sys.argv[1]) as f:
        kernels = read(f)
    total = sum(k[0] for k in kernels.values())
    for name, (seconds, size, launches) in sorted(kernels.items(), key=lambda item: -item[1][0]):
        print(f"{seconds * 1e6:10.1f} us {seconds / total:6.1%} {launches:6d} launches {size / seconds / 1e12:6.2f} TB/s  {name}")
    print(f"{total * 1e6:10.1f} us in all")


if __name__ == "__main__":
    main()
