"""The rules that a graph keeps before and after every pass.

1. every variable that an op reads is produced once before its use, fed, or a persistable start value;
2. every weight has a value of the declared dtype and shape;
3. no edge dangles: both ends of every edge are in the graph and know each other;
4. there is no cycle;
5. feeds and fetches exist;
6. scales are finite and positive.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from qcc.errors import GraphError, VerifyError
from qcc.ir.dtypes import numpy_dtype
from qcc.ir.graph import Graph
from qcc.ir.nodes import EMPTY_NAME, Op, Var

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


def verify(graph: Graph, *, scales: bool = True) -> None:
    """Check all rules on the whole graph; O(nodes).

    Without `scales` all but the last: in other tools' files the scale of a dead channel is 0.
    Raises VerifyError naming the rule, the op and the variable.
    """
    _check_order(graph)
    _verify(graph, graph.ops, dict.fromkeys(graph.weights), scales=scales)


def verify_changes(graph: Graph) -> None:
    """Check all rules on what was edited since the last verification; O(edits), but for the order."""
    _check_order(graph)
    ops = dict(graph.changed)
    for name in graph.weights.changed:
        if name in graph:
            ops.update(graph.versions(name)[0].consumers)
    _verify(graph, ops, graph.weights.changed)


def _verify(graph: Graph, ops: Iterable[Op], weights: Iterable[str], *, scales: bool = True) -> None:
    _check_interface(graph)
    feeds = set(graph.feeds)
    for op in ops:
        _check_inputs(graph, op, feeds)
        _check_outputs(graph, op)
        if scales:
            _check_scales(graph, op)
    for name in weights:
        _check_weight(graph, name)
    graph.changed.clear()
    graph.weights.changed.clear()


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
    for name in graph.fetches:
        var = graph.var(name)
        if var.producer is None and not var.persistable and name not in graph.feeds:
            raise VerifyError(f"fetch {name!r} is a variable that no op produces and no feed provides.")


def _check_inputs(graph: Graph, op: Op, feeds: set[str]) -> None:
    for var in op.all_inputs():
        if op not in var.consumers:
            raise VerifyError(f"{op} reads {var.name!r}, which does not know it as a reader.")
        if var.producer is None:
            _check_source(graph, op, var, feeds)
        elif not graph.has_op(var.producer):
            raise VerifyError(f"{op} reads {var.name!r}, whose producer {var.producer} is not in the graph.")


def _check_outputs(graph: Graph, op: Op) -> None:
    for var in op.all_outputs():
        if var.producer is not op:
            raise VerifyError(f"{op} writes {var.name!r}, which {var.producer} produces as well.")
        for reader in var.consumers:
            if not graph.has_op(reader):
                raise VerifyError(f"{op} writes {var.name!r}, whose reader {reader} is not in the graph.")


def _check_source(graph: Graph, op: Op, var: Var, feeds: set[str]) -> None:
    """A variable without a producer is a weight, a feed, or none of this block's business."""
    if var.name not in graph:
        raise VerifyError(f"{op} reads {var.name!r}, which is not in the graph.")
    if var.persistable and var.name in graph.weights:
        return
    if var.name in feeds or var.name == EMPTY_NAME or not var.is_tensor:
        return
    if not var.persistable:
        raise VerifyError(f"{op} reads {var.name!r}, which no op produces and no feed provides.")
    raise VerifyError(f"{op} reads weight {var.name!r}, which has no value.")


def _check_weight(graph: Graph, name: str) -> None:
    value = graph.weights.get(name)
    if value is None or name not in graph:
        return
    var = graph.versions(name)[0]
    if value.dtype != numpy_dtype(var.dtype) or not _fits(value.shape, var.shape):
        raise VerifyError(
            f"weight {name!r} is declared {numpy_dtype(var.dtype)}{list(var.shape)}"
            f" but its value is {value.dtype}{list(value.shape)}."
        )


def _fits(shape: tuple[int, ...], declared: tuple[int, ...]) -> bool:
    # Paddle declares some scalars as [1] and holds them as [], and the other way round.
    return shape == declared or {shape, declared} == {(), (1,)}


def _check_scales(graph: Graph, op: Op) -> None:
    for var in op.inputs.get(SCALE_SLOTS.get(op.type, ""), ()):
        if var.producer is not None or not var.persistable:
            continue
        value = graph.weights[var.name]
        wrong = value[~(np.isfinite(value) & (value > 0))]
        if wrong.size:
            raise VerifyError(
                f"scale {var.name!r} of {op} holds {float(wrong[0])!r},"
                " where scales must be finite and positive."
            )
