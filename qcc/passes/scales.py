"""Weight scales, computed from the weights as they are now."""

from __future__ import annotations

import math

import numpy as np

from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.numerics import UNOBSERVED_SCALE, abs_max
from qcc.passes.fake_quant import QUANTIZE_OPS, Quantizer, read_quantizer


def weight_scale(w: np.ndarray, quantizer: Quantizer) -> np.ndarray:
    """The scale of a weight: float32 [1], or [channels] along the quantizer's axis."""
    return abs_max(w, quantizer.axis)


def observed(graph: Graph, quantize: Op) -> bool:
    """False for an activation scale that is kept in the graph and that nothing has ever set.

    It then holds the value that it starts with, or none that a scale can have.
    """
    if "InScale" not in quantize.inputs or quantize.input("InScale").name not in graph.weights:
        return True
    scale = float(graph.weights[quantize.input("InScale").name].reshape(-1)[0])
    return scale != float(UNOBSERVED_SCALE) and math.isfinite(scale) and scale > 0


def fresh_weight_scales(graph: Graph) -> dict[str, np.ndarray]:
    """Scale variable -> scale computed from the present weight, for a transformed graph.

    What a training program holds under these names was written by its last forward run, before the
    optimizer changed the weights, and a test program reads it: set the fresh values before a
    transformed program is evaluated or saved, and it equals the frozen one.
    """
    fresh = {}
    for op in graph.ops:
        if op.type in QUANTIZE_OPS and op.input("X").persistable:
            weight = graph.weights[op.input("X").name]
            fresh[op.output("OutScale").name] = weight_scale(weight, read_quantizer(op))
    return fresh
