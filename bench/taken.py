"""What a call takes. Standard library alone, so that programs of other environments can import it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from resource import getpagesize

_SECONDS_BETWEEN_LOOKS = 0.005


@contextmanager
def measured() -> Iterator[dict[str, float]]:
    """`cpu`: processor seconds that the block takes, of all threads; `peak`: MB that the process holds in it
    at most, above what it held before. Filled in at the end of the block."""
    taken: dict[str, float] = {}
    over = threading.Event()
    before = peak = _resident()

    def watch() -> None:
        nonlocal peak
        while not over.wait(_SECONDS_BETWEEN_LOOKS):
            peak = max(peak, _resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.process_time()
    try:
        yield taken
    finally:
        taken["cpu"] = time.process_time() - began
        over.set()
        watcher.join()
        taken["peak"] = (peak - before) / 1e6


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * getpagesize()
