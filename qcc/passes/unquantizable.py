"""Layers that no pass quantizes: they stay float on every target, and so do their weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.shown import listed

_LAYERS = frozenset(
    {
        "attention_lstm",
        "bilinear_tensor_product",
        "conv3d",
        "conv3d_transpose",
        "deformable_conv",
        "deformable_conv_v1",
        "gru",
        "gru_unit",
        "lookup_table",
        "lookup_table_v2",
        "lstm",
        "lstm_unit",
        "rnn",
        "row_conv",
        "sequence_conv",
    }
)


def never_quantized(graph: Graph) -> str | None:
    """A sentence that tells these layers of a graph, and how much of the weights is theirs; None where there
    are none."""
    found = [op for op in graph.ops if op.type in _LAYERS]
    if not found:
        return None
    theirs, whole = _names(graph, found), _names(graph, graph.ops)
    share = _elements(graph, theirs) / max(_elements(graph, whole), 1)
    return (
        f"in float: {listed(Counter(op.type for op in found))}, which nothing quantizes, with {share:.0%} of"
        " the weights."
    )


def _names(graph: Graph, ops: Iterable[Op]) -> set[str]:
    """Of the weights that they read."""
    return {var.name for op in ops for var in op.all_inputs() if var.name in graph.weights}


def _elements(graph: Graph, names: set[str]) -> int:
    return sum(graph.weights[name].size for name in names)
