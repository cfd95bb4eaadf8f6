"""Where in an output those small parts stand that a concat joins there. Of an engine nothing but outputs is
known, in which scores of 0 to 1 are next to nothing beside boxes in pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from qcc._paddle import VarType
from qcc.backends.heads import ValuesOf, parts, small_parts
from qcc.calibrate.parts import part
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.model import Model, Runner


def small_places(graph: Graph, run: ValuesOf) -> Iterator[tuple[int, np.ndarray]]:
    """For each small part of a fetch, the fetch's number, and which of its elements are the part's: bool, of
    the fetch's shape."""
    for number, name in enumerate(graph.fetches):
        joined = parts(graph, name)
        names = (name, *joined)
        small = small_parts(graph, dict(zip(names, run(names), strict=True))) if joined else set()
        if small:
            tail = part(graph, _behind(graph, name, joined), (name,))
            given = dict(zip(tail.feeds, run(tail.feeds), strict=True))
            runner = Runner(Model(tail))
            for one in filter(small.__contains__, joined):
                # What an element of the part becomes, and nothing else, moves with it.
                low, high = (runner.run({**given, one: np.full_like(given[one], to)})[0] for to in (0, 1))
                # NaN of another part is unequal to itself.
                yield number, np.asarray((low != high) & ~np.isnan(low))


def _behind(graph: Graph, name: str, joined: Sequence[str]) -> list[Op]:
    """The ops between the parts of a variable and it."""
    found: set[Op] = set()
    ahead = [graph.var(name)]
    while ahead:
        var = ahead.pop()
        op = var.producer
        if op is not None and op not in found and var.name not in joined and var.dtype == VarType.FP32:
            found.add(op)
            ahead += op.all_inputs()
    return [op for op in graph.ops if op in found]
