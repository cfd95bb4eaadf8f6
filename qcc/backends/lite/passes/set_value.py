"""lite-set-value: a part of a tensor that is replaced, as a concat of the parts."""

from __future__ import annotations

from typing import ClassVar

from pydantic.dataclasses import dataclass as options

from qcc.backends.lite.passes.lite_pass import LitePass
from qcc.ir.dtypes import dtype_name
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.rewrite import free_prefix, remove_op

_TENSORS = ("StartsTensorList", "EndsTensorList", "StepsTensorList")


@options(frozen=True, config=OPTIONS)
class LiteSetValue(LitePass):
    """Put a tensor together anew of which a stretch of one dimension is replaced. Paddle Lite reads the
    set_value of no newer Paddle, as ReXNet has it, whose blocks add to the first channels of a map alone.

    Before, with x of [-1, 38, 16, 16] and v of [-1, 27, 16, 16]:

        y = set_value(Input=x, ValueTensor=v) {axes=[1], starts=[0], ends=[27], steps=[1]}

    After:

        y.after = slice(Input=x) {axes=[1], starts=[27], ends=[38]}
        y = concat(X=[v, y.after]) {axis=1}

    The batch may be open, and is taken for that of what comes instead; other sizes are declared.
    """

    name: ClassVar[str] = "lite-set-value"
    runs_in_paddle: ClassVar[bool] = True

    def apply(self, graph: Graph) -> PassResult:
        found = {op: stretch for op in graph.ops if (stretch := _stretch(op)) is not None}
        for op, (axis, start, end) in found.items():
            _replace(graph, op, axis, start, end)
        return PassResult(bool(found))


def _stretch(op: Op) -> tuple[int, int, int] | None:
    """The dimension, and where in it begins and ends what is replaced; None for another op, and for what is
    no stretch of known length, or is replaced by something that has to be repeated."""
    if op.type != "set_value" or not op.inputs.get("ValueTensor") or any(op.inputs.get(s) for s in _TENSORS):
        return None
    axes, steps = op.attr("axes"), op.attr("steps")
    if len(axes) != 1 or list(steps) != [1] or op.attr("decrease_axes", []) or op.attr("none_axes", []):
        return None
    x, value, axis = op.input("Input"), op.input("ValueTensor"), axes[0] % len(op.input("Input").shape)
    size = x.shape[axis]
    start, end, _ = slice(op.attr("starts")[0], op.attr("ends")[0]).indices(max(size, 0))
    wanted = (*x.shape[:axis], end - start, *x.shape[axis + 1 :])
    same = value.shape == wanted and value.dtype == x.dtype and x.dtype == op.output("Out").dtype
    return (axis, start, end) if min(x.shape[1:]) > 0 and size > 0 and start < end and same else None


def _replace(graph: Graph, op: Op, axis: int, start: int, end: int) -> None:
    x, out = op.input("Input"), op.output("Out")
    size = x.shape[axis]
    parts: list[Var] = []
    prefix = free_prefix(graph, out.name, [".before", ".after"])
    for name, first, last in (("before", 0, start), ("after", end, size)):
        if name == "after":
            parts.append(op.input("ValueTensor"))
        if first < last:
            shape = (*x.shape[:axis], last - first, *x.shape[axis + 1 :])
            part = graph.add_var(f"{prefix}.{name}", dtype_name(x.dtype), shape)
            attrs = {"axes": [axis], "starts": [first], "ends": [last]}
            graph.add_op("slice", {"Input": x}, {"Out": part}, attrs, before=op)
            parts.append(part)
    graph.set_output(op, "Out", [])
    graph.add_op("concat", {"X": parts}, {"Out": out}, {"axis": axis}, before=op)
    remove_op(graph, op, keep=out)
