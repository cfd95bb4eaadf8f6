"""Ops that hand a value on as it is."""

from __future__ import annotations

import numpy as np

from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.quantizable import KINDS
from qcc.passes.rewrite import CONVOLUTIONS, is_weight, scales_nothing

_NEUTRAL = {"elementwise_add": 0.0, "elementwise_sub": 0.0, "elementwise_mul": 1.0, "elementwise_div": 1.0}
_EITHER_WAY = ("elementwise_add", "elementwise_mul")


def handed_on(graph: Graph, op: Op) -> Var | None:
    """The input that an op hands on as it is; None for every op that does more."""
    if op.type in ("assign", "cast"):
        return op.input("X") if op.input("X").dtype == op.output("Out").dtype else None
    return op.input("X") if is_identity(graph, op) else _unweighted(graph, op)


def is_bias(op: Op, source: Var) -> bool:
    """Whether an op that hands on what it reads adds it, as a bias of zeros, to what a layer computes: files
    for engines have one op for both, which writes what this one does."""
    layer = source.producer
    return op.type == "elementwise_add" and layer is not None and layer.type in {*KINDS, *CONVOLUTIONS}


def is_identity(graph: Graph, op: Op) -> bool:
    """True for a scale op that multiplies by 1 and adds 0, and dropout that drops nothing in a test graph."""
    if scales_nothing(op):
        return True
    if op.type == "dropout":
        # Trained with "upscale_in_train", a test run scales nothing; the other way scales by 1 - p.
        passes_through = op.attr("dropout_implementation", "downgrade_in_infer") == "upscale_in_train"
        read = any(var.consumers for var in op.outputs.get("Mask", ()))
        return graph.for_test and (passes_through or op.attr("dropout_prob", 0.5) == 0.0) and not read
    return False


def _unweighted(graph: Graph, op: Op) -> Var | None:
    """What an op adds a weight of zeros to, or multiplies by one of ones."""
    if op.type not in _NEUTRAL:
        return None
    left, right = op.input("X"), op.input("Y")
    if _is_all(graph, right, _NEUTRAL[op.type]):
        return left if _is_as_large(left, right, op) else None
    if op.type in _EITHER_WAY and _is_all(graph, left, _NEUTRAL[op.type]):
        return right if _is_as_large(right, left, op) else None
    return None


def _is_all(graph: Graph, var: Var, value: float) -> bool:
    weight = graph.weights.get(var.name) if is_weight(graph, var) else None
    return weight is not None and bool(np.all(weight == value))


def _is_as_large(var: Var, weight: Var, op: Op) -> bool:
    """Whether a variable is as large as what an op makes of it with a weight. A dimension that is open may be
    1, and become the weight's."""
    is_one = len(weight.shape) <= len(var.shape) and all(size == 1 for size in weight.shape)
    known = min(var.shape, default=1) > 0
    return (is_one or known) and var.shape == op.output("Out").shape
