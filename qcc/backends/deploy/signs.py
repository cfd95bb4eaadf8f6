"""Which variables of a graph cannot be negative, whatever it is fed with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var

_NEVER_NEGATIVE = frozenset(
    {"abs", "exp", "hard_sigmoid", "relu", "relu6", "sigmoid", "softmax", "softplus", "sqrt", "square"}
)
# Nothing comes out of them that is smaller than all that goes in, or than zero.
_PASS_ON = frozenset(
    {
        "assign",
        "bilinear_interp",
        "bilinear_interp_v2",
        "concat",
        "dequantize_linear",
        "dropout",
        "elementwise_add",
        "elementwise_max",
        "elementwise_min",
        "elementwise_mul",
        "expand_v2",
        "flatten_contiguous_range",
        "gather",
        "leaky_relu",
        "nearest_interp",
        "nearest_interp_v2",
        "pool2d",
        "quantize_linear",
        "reduce_max",
        "reduce_mean",
        "reduce_sum",
        "reshape2",
        "shape",
        "slice",
        "split",
        "squeeze2",
        "stack",
        "swish",
        "transpose2",
        "unsqueeze2",
    }
)
# Slots that say how much or where, and whose values do not come out again.
_DATA = ("X", "Y", "Input")


def _clips(op: Op) -> bool:
    return not op.inputs.get("Min") and float(op.attr("min", -1.0)) >= 0


def _scales(op: Op) -> bool:
    return not op.inputs.get("ScaleTensor") and min(op.attr("scale", 1.0), op.attr("bias", 0.0)) >= 0


def _pads(op: Op) -> bool:
    return float(op.attr("value", op.attr("pad_value", 0.0))) >= 0


_CONDITIONS: Mapping[str, Callable[[Op], bool]] = MappingProxyType(
    {"pad2d": _pads, "pad3d": _pads, "scale": _scales}
)


def non_negative(graph: Graph) -> set[Var]:
    """The variables, of those that ops compute, that cannot be negative.

    Told from the ops alone: rectifiers, sigmoids and the like, and what pools, joins, reshapes or adds such
    variables and weights without a negative value.
    """
    found: set[Var] = set()
    for op in graph.ops:
        if op.type in _NEVER_NEGATIVE or (op.type == "clip" and _clips(op)):
            found.update(op.all_outputs())
        elif op.type in _PASS_ON or (op.type in _CONDITIONS and _CONDITIONS[op.type](op)):
            data = [var for slot in _DATA for var in op.inputs.get(slot, ())]
            if data and all(var in found or _is_non_negative_weight(graph, var) for var in data):
                found.update(op.all_outputs())
    return found


def _is_non_negative_weight(graph: Graph, var: Var) -> bool:
    if var.producer is not None or not var.persistable or var.name not in graph.weights:
        return False
    value = graph.weights[var.name]
    return value.dtype == np.float32 and bool(np.all(value >= 0))
