"""channels-first: ops whose channels come last (NHWC) compute with channels second."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from pydantic.dataclasses import dataclass as options

from qcc.errors import PassError
from qcc.ir.dtypes import dtype_name
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.base import OPTIONS, Pass, PassResult
from qcc.passes.elementwise import OF_ONE, OF_TWO
from qcc.passes.fake_quant import FUSED_OPS, LINEAR_OPS, QUANTIZE_OPS
from qcc.passes.rewrite import free_name, is_fetched, keeps_name, remove_op, set_attrs

_LAYOUTS = ("data_format", "data_layout")
_OTHER_MAPS = (3, 5)
_TO_FIRST, _TO_LAST = [0, 3, 1, 2], [0, 2, 3, 1]
_QUANTIZED = frozenset({*QUANTIZE_OPS, *FUSED_OPS, *LINEAR_OPS})
_REDUCTIONS = frozenset(f"reduce_{kind}" for kind in ("mean", "sum", "max", "min"))


@options(frozen=True, config=OPTIONS)
class ChannelsFirst(Pass):
    """Let ops whose channels come last compute with channels second, which is all that engines take.

    Before, with x of [-1, 8, 8, 3]:

        y = conv2d(Input=x, Filter=w) {data_format="NHWC"}
        z = relu(X=y)
        p = pool2d(X=z) {data_format="NHWC"}

    After, with p fetched:

        x.first = transpose2(X=x) {axis=[0, 3, 1, 2]}
        y.first = conv2d(Input=x.first, Filter=w) {data_format="NCHW"}
        z.first = relu(X=y.first)
        p.first = pool2d(X=z.first) {data_format="NCHW"}
        p = transpose2(X=p.first) {axis=[0, 2, 3, 1]}

    Feeds and fetches stay as they are. Activations, sums and products of maps, of a map and a value for each
    channel, concat, split, softmax, and means over the map go along; in front of any other op channels are
    brought back behind. A network that turns its input itself, as those of PaddleClas do, needs no transpose
    at all. Maps of one and of three dimensions are left, and graphs that are quantized already.

    Raises PassError for a training graph that has such ops.
    """

    name: ClassVar[str] = "channels-first"

    def apply(self, graph: Graph) -> PassResult:
        if not any(has_layout(op, "NHWC") for op in graph.ops) or any(
            op.type in _QUANTIZED for op in graph.ops
        ):
            return PassResult(False)
        if not graph.for_test:
            raise PassError("channels come last in the training graph: build it with data_format=NCHW.")
        turning = _Turning(graph)
        for op in graph.ops:
            turning.turn(op)
        turning.finish()
        return PassResult(True)


def has_layout(op: Op, *layouts: str) -> bool:
    """Whether an op says that its maps are in one of these layouts, such as NHWC."""
    return any(op.attr(name, "") in layouts for name in _LAYOUTS)


def _is_map(var: Var) -> bool:
    return len(var.shape) == 4


def _first(sizes: Sequence[int]) -> tuple[int, ...]:
    return tuple(sizes[axis] for axis in _TO_FIRST)


def _axis(axis: int) -> int:
    """Where an axis of a map is, when channels come second."""
    return _TO_FIRST.index(axis % 4)


class _Turning:
    """`_first`: maps with channels second, by those that they stand for. `_waiting`: maps that no op writes
    any more, by those that are written in their place."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._first: dict[Var, Var] = {}
        self._waiting: dict[Var, Var] = {}

    def turn(self, op: Op) -> None:
        if has_layout(op, "NHWC"):
            self._turn_layout(op)
        elif op.type == "transpose2":
            self._turn_transpose(op)
        elif any(var in self._first for var in op.all_inputs()):
            rule = _RULES.get(op.type)
            if rule is not None:
                rule(self, op)

    def finish(self) -> None:
        """Bring channels back behind where they are wanted there."""
        for last, first in self._waiting.items():
            if not last.consumers and not is_fetched(self._graph, last):
                self._graph.remove_var(last)
                continue
            made = first.producer
            assert made is not None
            self._transpose(first, last, _TO_LAST, after=made)

    def first(self, var: Var, before: Op) -> Var:
        """A map with channels second."""
        if var not in self._first:
            self._first[var] = self._new(var)
            self._transpose(var, self._first[var], _TO_FIRST, before=before)
        return self._first[var]

    def along(self, op: Op, reads: Sequence[str], writes: Sequence[str]) -> None:
        """Let an op read and write maps with channels second, in these slots."""
        for slot in reads:
            read = [self.first(var, op) if _is_map(var) else var for var in op.inputs.get(slot, ())]
            self._graph.set_input(op, slot, read)
        for slot in writes:
            written = list(op.outputs.get(slot, ()))
            self._graph.set_output(
                op, slot, [self._in_place_of(var) if _is_map(var) else var for var in written]
            )

    def set_attr(self, op: Op, name: str, value: object) -> None:
        self._graph.set_attr(op, name, value)

    def _turn_layout(self, op: Op) -> None:
        if any(len(var.shape) in _OTHER_MAPS for var in (*op.all_inputs(), *op.all_outputs())):
            return
        kept = ("Filter",)
        self.along(op, [slot for slot in op.inputs if slot not in kept], list(op.outputs))
        for name in _LAYOUTS:
            if op.attr(name, "") == "NHWC":
                self.set_attr(op, name, "NCHW")

    def _turn_transpose(self, op: Op) -> None:
        x, out, order = op.input("X"), op.output("Out"), list(op.attr("axis"))
        if order == _TO_LAST:
            self._first[out] = x
        elif order == _TO_FIRST and x in self._first:
            first = self._first[x]
            for reader in [one for one in out.consumers if not one.has_block]:
                self._graph.replace_input(reader, out, first)
            if keeps_name(self._graph, out):
                self._graph.set_output(op, "Out", [])
                self._graph.add_op("assign", {"X": first}, {"Out": out}, {"op_role": 0}, before=op)
            remove_op(self._graph, op, keep=x)

    def _in_place_of(self, var: Var) -> Var:
        made = self._new(var)
        self._first[var] = self._waiting[var] = made
        return made

    def _new(self, var: Var) -> Var:
        name = free_name(self._graph, var.name, ".first")
        return self._graph.add_var(name, dtype_name(var.dtype), _first(var.shape))

    def _transpose(self, source: Var, out: Var, order: Sequence[int], **place: Op) -> None:
        made = self._graph.add_op("transpose2", {"X": source}, {"Out": out}, {"op_role": 0}, **place)
        set_attrs(self._graph, made, {"axis": list(order)})


def _alike(turning: _Turning, op: Op) -> None:
    turning.along(op, ["X"], ["Out"])


def _of_two(turning: _Turning, op: Op) -> None:
    x, y = op.input("X"), op.input("Y")
    axis = int(op.attr("axis", -1))
    if _is_map(x) and _is_map(y) and axis in (-1, 0):
        turning.along(op, ["X", "Y"], ["Out"])
    elif _is_map(x) and len(y.shape) == 1 and (axis in (-1, 3) or y.shape == (1,)):
        turning.along(op, ["X"], ["Out"])
        turning.set_attr(op, "axis", -1 if y.shape == (1,) else 1)


def _joined(turning: _Turning, op: Op) -> None:
    """concat, split and softmax."""
    if op.inputs.get("AxisTensor") or not all(map(_is_map, (*op.inputs["X"], *op.outputs["Out"]))):
        return
    turning.along(op, ["X"], ["Out"])
    # What Paddle takes where the attribute is missing.
    usual = -1 if op.type == "softmax" else 0
    turning.set_attr(op, "axis", _axis(int(op.attr("axis", usual))))


def _reduced(turning: _Turning, op: Op) -> None:
    axes = [axis % 4 for axis in op.attr("dim")]
    if op.attr("reduce_all", False):
        return
    if op.attr("keep_dim", False):
        turning.along(op, ["X"], ["Out"])
    elif sorted(axes) == [1, 2]:
        turning.along(op, ["X"], [])
    else:
        return
    turning.set_attr(op, "dim", sorted(map(_axis, axes)))


_RULES: Mapping[str, Callable[[_Turning, Op], None]] = {
    **dict.fromkeys(OF_ONE, _alike),
    **dict.fromkeys(OF_TWO, _of_two),
    **dict.fromkeys(("concat", "softmax", "split"), _joined),
    **dict.fromkeys(_REDUCTIONS, _reduced),
}
