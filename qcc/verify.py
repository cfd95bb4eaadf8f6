"""The rules that a graph keeps before and after every pass.

1. every variable that an op reads is produced once before its use, fed, or a persistable start value;
2. every weight has a value of the declared dtype and shape;
3. no edge dangles: both ends of every edge are in the graph and know each other;
4. there is no cycle;
5. feeds and fetches exist;
6. scales are finite and positive.
"""

from __future__ import annotations

import numpy as np

from qcc._paddle import VarType
from qcc.dtypes import numpy_dtype
from qcc.errors import GraphError, VerifyError
from qcc.graph import Graph
from qcc.nodes import EMPTY_NAME, Op, Var

# Input slots that hold a scale, by op type.
SCALE_SLOTS = {
    "fake_quantize_range_abs_max": "InScale",
    "fake_quantize_moving_average_abs_max": "InScale",
    "fake_quantize_dequantize_moving_average_abs_max": "InScale",
    "fake_dequantize_max_abs": "Scale",
    "fake_channel_wise_dequantize_max_abs": "Scales",
    "quantize_linear": "Scale",
    "dequantize_linear": "Scale",
}


def verify(graph: Graph) -> None:
    """Check all rules; O(nodes).  Raises VerifyError naming the rule, the op and the variable."""
    _check_order(graph)
    _check_interface(graph)
    _check_edges(graph)
    _check_weights(graph)
    _check_scales(graph)


def _check_order(graph: Graph) -> None:
    try:
        _ = graph.ops
    except GraphError as error:
        raise VerifyError(str(error)) from error


def _check_interface(graph: Graph) -> None:
    for kind, names in (("feed", graph.feeds), ("fetch", graph.fetches)):
        for name in names:
            if name not in graph:
                raise VerifyError(f"{kind} {name!r} is not a variable of the graph.")


def _check_edges(graph: Graph) -> None:
    feeds = set(graph.feeds)
    for op in graph.ops:
        for variables in op.inputs.values():
            for var in variables:
                if op not in var.consumers:
                    raise VerifyError(f"{op} reads {var.name!r}, which does not know it as a reader.")
                if var.producer is None:
                    _check_source(graph, op, var, feeds)
                elif not graph.has_op(var.producer):
                    raise VerifyError(
                        f"{op} reads {var.name!r}, whose producer {var.producer} is not in the graph."
                    )
        for variables in op.outputs.values():
            for var in variables:
                if var.producer is not op:
                    raise VerifyError(f"{op} writes {var.name!r}, which {var.producer} produces as well.")


def _check_source(graph: Graph, op: Op, var: Var, feeds: set[str]) -> None:
    """A variable without a producer is a start value, a feed, or none of the block's business."""
    if var.persistable or var.name in feeds or var.name == EMPTY_NAME or not var.is_tensor:
        return
    if var.name not in graph:
        raise VerifyError(f"{op} reads {var.name!r}, which is not in the graph.")
    if not graph.for_test and var.desc.need_check_feed():
        # Data of a training program may be fed under more names than the caller cares to list.
        return
    raise VerifyError(f"{op} reads {var.name!r}, which no op produces and no feed provides.")


def _check_weights(graph: Graph) -> None:
    for var in graph.vars:
        if not var.persistable or var.producer is not None or not var.consumers or not var.is_tensor:
            continue
        value = graph.weights.get(var.name)
        if value is None:
            raise VerifyError(f"weight {var.name!r} has no value.")
        if value.dtype != numpy_dtype(var.dtype) or not _fits(value.shape, var.shape):
            raise VerifyError(
                f"weight {var.name!r} is declared {numpy_dtype(var.dtype)}{list(var.shape)}"
                f" but its value is {value.dtype}{list(value.shape)}."
            )


def _fits(shape: tuple[int, ...], declared: tuple[int, ...]) -> bool:
    if shape == declared:
        return True
    # Paddle declares some scalars as [1] and holds them as [], and the other way round.
    return {shape, declared} == {(), (1,)}


def _check_scales(graph: Graph) -> None:
    for op in graph.ops:
        slot = SCALE_SLOTS.get(op.type)
        if slot is None:
            continue
        for var in op.inputs.get(slot, ()):
            if var.producer is not None or not var.persistable or var.dtype != VarType.FP32:
                continue
            value = graph.weights[var.name]
            if not (np.isfinite(value).all() and (value > 0).all()):
                raise VerifyError(
                    f"scale {var.name!r} of {op} holds {float(np.min(value))!r},"
                    " where scales must be finite and positive."
                )
