"""What of an activation's input comes out of it: the rest need not be represented."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from qcc.ir.graph import Graph
from qcc.passes.channel_steps import FLAT_BELOW, OWN_STEPS
from qcc.passes.rewrite import only_reader


def floors(graph: Graph, names: Iterable[str]) -> Mapping[str, np.ndarray]:
    """Of the variables that one activation alone reads, below what it gives next to nothing: float32, a
    number, or [channels, 1, 1] where a product of `channel-steps` stands between."""
    found: dict[str, np.ndarray] = {}
    for name in names:
        op = only_reader(graph, graph.var(name)) if name in graph else None
        steps = np.ones((), np.float32)
        if op is not None and op.attr(OWN_STEPS, False):
            steps = graph.weights[op.input("Y").name].reshape(-1, 1, 1)
            op = only_reader(graph, op.output("Out"))
        if op is not None and op.type in FLAT_BELOW:
            found[name] = np.asarray(-FLAT_BELOW[op.type] / steps, np.float32)
    return found
