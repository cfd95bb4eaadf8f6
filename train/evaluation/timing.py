"""How long a model takes for one image."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)
WARM_UP_RUNS, COUNTED_RUNS = 10, 100


def milliseconds(runs: Mapping[Key, Callable[[], float]]) -> dict[Key, float]:
    """Median time of each of several runs, each of which tells its seconds, in milliseconds.

    They take turns, `COUNTED_RUNS` times after `WARM_UP_RUNS` that do not count, so that whatever else the
    machine does at some moment meets all of them alike.
    """
    times: dict[Key, list[float]] = {name: [] for name in runs}
    for turn in range(WARM_UP_RUNS + COUNTED_RUNS):
        for name, run in runs.items():
            seconds = run()
            if turn >= WARM_UP_RUNS:
                times[name].append(seconds)
    return {name: statistics.median(values) * 1000 for name, values in times.items()}


def clocked(run: Callable[[], object]) -> Callable[[], float]:
    """A function that runs and tells how many seconds that took."""

    def seconds() -> float:
        began = time.perf_counter()
        run()
        return time.perf_counter() - began

    return seconds
