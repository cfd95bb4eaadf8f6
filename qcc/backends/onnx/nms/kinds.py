"""Which suppressions have a form in ONNX."""

from __future__ import annotations

from qcc.backends.onnx.nms.matrix import Matrix
from qcc.backends.onnx.nms.multiclass import Multiclass
from qcc.backends.onnx.nms.suppression import Suppression
from qcc.errors import PassError
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.rewrite import remove_op

SUPPRESSIONS: dict[str, type[Suppression]] = {
    "multiclass_nms": Multiclass,
    "multiclass_nms2": Multiclass,
    "multiclass_nms3": Multiclass,
    "matrix_nms": Matrix,
}
"""The ops that have a form in ONNX."""
_WAY = "end in front of it by `--cut nms`, and let the application do it"


def take_out_suppressions(graph: Graph) -> list[Suppression]:
    """Take each suppression out of a graph, which then fetches what went into it instead.

    Raises PassError for other kinds of suppressions, and for one that ops read.
    """
    found: list[Suppression] = []
    for op in graph.ops:
        if "nms" in op.type:
            reason = _why_not(graph, op)
            if reason is not None:
                raise PassError(f"{op} has no form in ONNX: {reason}; {_WAY}.")
            found.append(SUPPRESSIONS[op.type].of(op))
    gone = {name for one in found for name in one.outputs}
    wanted = [name for name in graph.fetches if name not in gone]
    wanted += [name for one in found for name in (one.boxes, one.scores)]
    graph.fetches = tuple(dict.fromkeys(wanted))
    for op in graph.ops:
        if "nms" in op.type:
            remove_op(graph, op)
    return found


def _why_not(graph: Graph, op: Op) -> str | None:
    if op.type not in SUPPRESSIONS:
        return f"it is none of {', '.join(SUPPRESSIONS)}"
    if any(var.consumers for var in op.all_outputs()):
        return "other ops read what it writes"
    boxes, scores = op.input("BBoxes"), op.input("Scores")
    if op.inputs.get("RoisNum") or len(boxes.shape) != 3 or len(scores.shape) != 3 or boxes.shape[2] != 4:
        return "its boxes are not [batch, boxes, 4] with scores [batch, classes, boxes]"
    if scores.shape[1] < 0:
        return "the number of classes is open"
    return SUPPRESSIONS[op.type].why_not(op) or _hidden(graph, boxes) or _hidden(graph, scores)


def _hidden(graph: Graph, var: Var) -> str | None:
    return None if graph.var(var.name) is var else f"{var.name!r} is overwritten behind it"
