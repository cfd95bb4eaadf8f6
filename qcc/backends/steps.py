"""How finely a quantized graph rounds what it is given."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from qcc.backends.cuts import QUANTIZES
from qcc.ir.graph import Graph
from qcc.numerics import max_int


def step_of(graph: Graph, name: str, values: np.ndarray) -> float:
    """The distance of two neighbouring integers, in what is quantized; 0 for what is not."""
    readers = list(graph.var(name).consumers)
    if [op.type for op in readers] == ["relu"]:
        readers = list(readers[0].output("Out").consumers)
    quantize = next((op for op in readers if op.type in QUANTIZES), None)
    if quantize is None:
        return 0.0
    found = [scale for slot in ("Scale", "InScale") for scale in quantize.inputs.get(slot, ())]
    fixed = bool(found) and found[0].name in graph.weights
    scale = graph.weights[found[0].name] if fixed else values
    return float(np.abs(scale).max(initial=0)) / max_int(int(quantize.attr("bit_length", 8)))


def steps_of(graph: Graph, inputs: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Of the inputs that a graph rounds, by name."""
    found = {name: step_of(graph, name, values) for name, values in inputs.items()}
    return {name: step for name, step in found.items() if step}
