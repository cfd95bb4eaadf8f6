"""Exports one saved model for Paddle Lite and prints what that took, as JSON; `lite.py` starts it.

Usage: python bench/lite_export.py MODEL OUT.nb ARCH
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import qcc
from qcc.backends.lite.export import export


def peak() -> int:
    """The most memory that the process has had so far, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def main() -> None:
    folder, out, arch = sys.argv[1:]
    before = peak()
    began = time.perf_counter()
    model = qcc.load(folder)
    loaded = time.perf_counter()
    export(model, Path(out), arch="arm" if arch == "arm" else "x86", check=False)
    done = time.perf_counter()
    found = {
        "load_seconds": loaded - began,
        "export_seconds": done - loaded,
        "memory": peak() - before,
        "weights": model.weights.nbytes,
        "bytes": Path(out).stat().st_size,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
