"""Which ops that choose among boxes have a form in ONNX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from onnx import GraphProto, numpy_helper

from qcc.backends.onnx.boxes.levels import Levels
from qcc.backends.onnx.boxes.matrix import Matrix
from qcc.backends.onnx.boxes.multiclass import Multiclass
from qcc.backends.onnx.boxes.op import BoxOp
from qcc.backends.onnx.boxes.proposals import Proposals
from qcc.backends.onnx.boxes.suppression import Suppression
from qcc.backends.onnx.tidy import in_order
from qcc.errors import PassError
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.rewrite import remove_op

SUPPRESSIONS: Mapping[str, type[Suppression]] = {
    "multiclass_nms": Multiclass,
    "multiclass_nms2": Multiclass,
    "multiclass_nms3": Multiclass,
    "matrix_nms": Matrix,
}
OPS: Mapping[str, type[BoxOp]] = {
    **SUPPRESSIONS,
    "generate_proposals_v2": Proposals,
    "distribute_fpn_proposals": Levels,
}
"""The ops that have a form in ONNX."""
_WAY = "end in front of it by `qcc export MODEL --cut nms`, and let the application do it"


@dataclass(frozen=True)
class TakenOut:
    """The ops that were taken out of a graph, and the weights that they read."""

    ops: tuple[BoxOp, ...]
    weights: Mapping[str, np.ndarray]

    def append(self, graph: GraphProto) -> None:
        """Put them back, in ONNX's ops."""
        if not self.ops:
            return
        present = {tensor.name for tensor in graph.initializer}
        missing = [
            numpy_helper.from_array(value, name)
            for name, value in self.weights.items()
            if name not in present
        ]
        graph.initializer.extend(missing)
        outputs = {name for op in self.ops for name in op.outputs}
        inputs = [value for value in graph.input if value.name not in outputs]
        del graph.input[:]
        graph.input.extend(inputs)
        for op in self.ops:
            op.append(graph)
        in_order(graph)


def take_out_boxes(graph: Graph) -> TakenOut:
    """Take the ops that choose among boxes out of a graph, which then fetches what went into them, and is fed
    with what the rest reads of what came out.

    Raises PassError for suppressions of other kinds, and for what has no form.
    """
    chosen = [op for op in graph.ops if op.type in OPS or "nms" in op.type]
    for op in chosen:
        reason = _why_not(graph, op)
        if reason is not None:
            raise PassError(f"{op} has no form in ONNX: {reason}; {_WAY}.")
    found = [OPS[op.type].of(op) for op in chosen]
    inputs = [var for op in chosen for var in op.all_inputs()]
    outputs = {var: None for op in chosen for var in op.all_outputs()}
    weights = {
        var.name: graph.weights[var.name] for var in inputs if var.producer is None and var.persistable
    }
    computed = [var.name for var in inputs if var.producer is not None and var not in outputs]
    gone = {var.name for var in outputs}
    kept = [name for name in graph.fetches if name not in gone]
    graph.fetches = tuple(dict.fromkeys([*kept, *computed]))
    for op in chosen:
        remove_op(graph, op)
    graph.feeds = (*graph.feeds, *(var.name for var in outputs if var.consumers))
    return TakenOut(tuple(found), weights)


def _why_not(graph: Graph, op: Op) -> str | None:
    if op.type not in OPS:
        return f"it is none of {', '.join(OPS)}"
    hidden = (_hidden(graph, var) for var in (*op.all_inputs(), *op.all_outputs()))
    return OPS[op.type].why_not(op) or next(filter(None, hidden), None)


def _hidden(graph: Graph, var: Var) -> str | None:
    return None if graph.var(var.name) is var else f"{var.name!r} is overwritten behind it"
