"""Ops that observe only: they hand on what they read, and engines that do not know that round there."""

from __future__ import annotations

from qcc.ir.graph import Graph
from qcc.passes.rewrite import bypass
from qcc.passes.round_trip import is_observer


def drop_observers(graph: Graph) -> bool:
    """Let what reads an op that observes only read what that reads. Whether there was one."""
    observers = [op for op in graph.ops if is_observer(op)]
    for op in observers:
        bypass(graph, op, op.input("X"), op.output("Y"))
    return bool(observers)
