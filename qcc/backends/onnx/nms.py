"""Paddle's multiclass_nms3 in ONNX's ops.

paddle2onnx has a translation of its own, which gives wrong classes and scores where the image's size is open,
and whose ops without axes OpenVINO does not compile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import GraphProto, TensorProto, ValueInfoProto, helper, numpy_helper

from qcc._paddle import VarType
from qcc.errors import PassError
from qcc.ir.dtypes import numpy_dtype
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.rewrite import remove_op

SUPPRESSIONS = ("multiclass_nms2", "multiclass_nms3")
"""The ops that have a form in ONNX."""
_WAY = "end in front of it by `--cut nms`, and let the application do it"
_LOWEST = np.float32(np.finfo(np.float32).min)


@dataclass(frozen=True)
class Suppression:
    """An op that was taken out: what it reads and writes, by name, and how many numbers its rows have."""

    boxes: str
    scores: str
    rows: str
    index: tuple[str, ...]
    count: tuple[str, ...]
    dtypes: dict[str, VarType]
    classes: int
    score_threshold: float
    nms_threshold: float
    candidates: int
    kept: int
    background: int
    normalized: bool

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.rows, *self.index, *self.count)


def take_out_suppressions(graph: Graph) -> list[Suppression]:
    """Take each multiclass_nms3 out of a graph, which then fetches what went into it instead.

    Raises PassError for other kinds of suppressions, and for one that ops read.
    """
    found = []
    for op in graph.ops:
        if "nms" in op.type:
            found.append(_suppression(graph, op))
    gone = {name for one in found for name in one.outputs}
    wanted = [name for name in graph.fetches if name not in gone]
    wanted += [name for one in found for name in (one.boxes, one.scores)]
    graph.fetches = tuple(dict.fromkeys(wanted))
    for op in graph.ops:
        if "nms" in op.type:
            remove_op(graph, op)
    return found


def _suppression(graph: Graph, op: Op) -> Suppression:
    reason = _why_not(graph, op)
    if reason is not None:
        raise PassError(f"{op} has no form in ONNX: {reason}; {_WAY}.")
    names = {slot: tuple(var.name for var in op.outputs.get(slot, ())) for slot in ("Index", "NmsRoisNum")}
    return Suppression(
        op.input("BBoxes").name,
        op.input("Scores").name,
        op.output("Out").name,
        names["Index"],
        names["NmsRoisNum"],
        {var.name: var.dtype for var in op.all_outputs()},
        op.input("Scores").shape[1],
        float(op.attr("score_threshold")),
        float(op.attr("nms_threshold", 0.3)),
        int(op.attr("nms_top_k")),
        int(op.attr("keep_top_k")),
        int(op.attr("background_label", 0)),
        bool(op.attr("normalized", True)),
    )


def _why_not(graph: Graph, op: Op) -> str | None:
    if op.type not in SUPPRESSIONS:
        return f"it is no {' or '.join(SUPPRESSIONS)}"
    if any(var.consumers for var in op.all_outputs()):
        return "other ops read what it writes"
    boxes, scores = op.input("BBoxes"), op.input("Scores")
    if op.inputs.get("RoisNum") or len(boxes.shape) != 3 or len(scores.shape) != 3 or boxes.shape[2] != 4:
        return "its boxes are not [batch, boxes, 4] with scores [batch, classes, boxes]"
    if scores.shape[1] < 0:
        return "the number of classes is open"
    if op.attr("nms_eta", 1.0) != 1.0:
        return "its threshold changes from box to box (nms_eta)"
    return _hidden(graph, boxes) or _hidden(graph, scores)


def _hidden(graph: Graph, var: Var) -> str | None:
    return None if graph.var(var.name) is var else f"{var.name!r} is overwritten behind it"


def append_suppression(graph: GraphProto, found: Suppression) -> None:
    """Append the ops of one, for a batch of one image; an image more ends the run.

    Rows are in Paddle's order, by class and then by falling score. Of each class, Paddle takes part with the
    `nms_top_k` best boxes alone, where ONNX limits what comes out.
    """
    add = _Adder(graph, f"{found.rows}.nms")
    boxes, scores = found.boxes, found.scores
    # A width is x2 - x1 + 1 where boxes are in pixels.
    shift = np.array([0, 0, 1, 1], np.float32)
    compared = boxes if found.normalized else add("Add", boxes, add.constant(shift))
    chosen = add(
        "NonMaxSuppression",
        compared,
        _candidates(add, found),
        add.constant(np.array([np.iinfo(np.int32).max], np.int64)),
        add.constant(np.array([found.nms_threshold], np.float32)),
        add.constant(np.array([found.score_threshold], np.float32)),
    )
    if found.kept > 0:
        chosen = _best(add, scores, chosen, found.kept)
    one = add.constant(np.array([1], np.int64))
    classes = add("Cast", add("Gather", chosen, one, axis=1), to=TensorProto.FLOAT)
    columns = add("GatherND", scores, chosen)
    column = add("Unsqueeze", columns, one)
    places = add("Gather", chosen, add.constant(np.array(2, np.int64)), axis=1)
    image = add("Squeeze", boxes, add.constant(np.array([0], np.int64)))
    add("Concat", classes, column, add("Gather", image, places, axis=0), axis=1, out=found.rows)
    for name in found.index:
        kind = helper.np_dtype_to_tensor_dtype(numpy_dtype(found.dtypes[name]))
        add("Cast", add("Unsqueeze", places, one), to=kind, out=name)
    for name in found.count:
        kind = helper.np_dtype_to_tensor_dtype(numpy_dtype(found.dtypes[name]))
        add("Cast", add("Shape", places), to=kind, out=name)


def output_of(found: Suppression, name: str) -> ValueInfoProto:
    """What ONNX is told of an output."""
    kind = helper.np_dtype_to_tensor_dtype(numpy_dtype(found.dtypes[name]))
    shapes: dict[str, Sequence[Any]] = {found.rows: ("rows", 6)}
    shapes |= {index: ("rows", 1) for index in found.index} | {count: (1,) for count in found.count}
    value: ValueInfoProto = helper.make_tensor_value_info(name, kind, shapes[name])
    return value


def _candidates(add: _Adder, found: Suppression) -> str:
    """The scores, those that take no part at the lowest there is."""
    scores = found.scores
    lowest = add.constant(np.array(_LOWEST))
    if found.background >= 0:
        classes = np.arange(found.classes).reshape(1, -1, 1)
        scores = add("Where", add.constant(classes == found.background), lowest, scores)
    if found.candidates <= 0:
        return scores
    boxes = add("Gather", add("Shape", scores), add.constant(np.array([2], np.int64)), axis=0)
    count = add("Min", boxes, add.constant(np.array([found.candidates], np.int64)))
    best = add("TopK", scores, count, axis=2, outputs=2)
    last = add("Sub", count, add.constant(np.array([1], np.int64)))
    worst = add("Gather", best, last, axis=2)
    return add("Where", add("GreaterOrEqual", scores, worst), scores, lowest)


def _best(add: _Adder, scores: str, chosen: str, most: int) -> str:
    """The rows of the best scores, in the order in which they are."""
    rows = add("Gather", add("Shape", chosen), add.constant(np.array([0], np.int64)), axis=0)
    count = add("Min", rows, add.constant(np.array([most], np.int64)))
    value = add("TopK", add("GatherND", scores, chosen), count, axis=0, outputs=2, second=True)
    order = add("TopK", value, count, axis=0, largest=0, outputs=2)
    return add("Gather", chosen, order, axis=0)


class _Adder:
    """Appends nodes to a graph, and names what they write."""

    def __init__(self, graph: GraphProto, prefix: str) -> None:
        self._graph, self._prefix, self._count = graph, prefix, 0

    def __call__(
        self,
        kind: str,
        *inputs: str,
        out: str | None = None,
        outputs: int = 1,
        second: bool = False,
        **attrs: Any,
    ) -> str:
        """The name of what a new node writes: `out`, or one made up; of `outputs`, the first or `second`."""
        names = [out or self._name() for _ in range(outputs)]
        self._graph.node.append(helper.make_node(kind, list(inputs), names, **attrs))
        return names[1 if second else 0]

    def constant(self, value: np.ndarray) -> str:
        name = self._name()
        self._graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def _name(self) -> str:
        self._count += 1
        return f"{self._prefix}.{self._count}"
