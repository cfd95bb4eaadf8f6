"""How long runs of a model take, as the process tells in which they happen.

It needs no package, since it is imported where runtimes of others are loaded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple


class Times(NamedTuple):
    """Seconds of each of some runs: of the clock on the wall, and of the processor, of all threads of the
    process together. The latter hardly change when others use the machine, too."""

    wall: list[float]
    cpu: list[float]


def timed(run: Callable[[], object], warm_up: int, runs: int) -> dict[str, list[float]]:
    """Times of `runs` runs, after `warm_up` others, as they go over the wire."""
    for _ in range(warm_up):
        run()
    wall, cpu = [], []
    for _ in range(runs):
        began, worked = time.perf_counter(), time.process_time()
        run()
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - worked)
    return {"wall": wall, "cpu": cpu}


def received(answer: Mapping[str, Sequence[float]]) -> Times:
    """What `timed` has sent."""
    return Times(list(answer["wall"]), list(answer["cpu"]))
