"""fewer-dims: ops on values of more than six dimensions compute on fewer, of which some are joined."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import Any, ClassVar

from pydantic.dataclasses import dataclass as options

from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.backends.heads import MOST_DIMENSIONS
from qcc.errors import PassError
from qcc.ir.dtypes import dtype_name
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.elementwise import OF_ONE, OF_TWO
from qcc.passes.rewrite import free_name, set_attrs

# Kernels that take any number of dimensions.
_FREE = frozenset(
    {
        *("feed", "fetch", "fill_constant", "shape"),
        *("flatten", "flatten2", "flatten_contiguous_range", "reshape", "reshape2"),
    }
)
_ALONG_AN_AXIS = frozenset({"log_softmax", "softmax"})
_REDUCTIONS = frozenset(f"reduce_{kind}" for kind in ("max", "mean", "min", "prod", "sum"))

Shape = tuple[int, ...]


@options(frozen=True, config=OPTIONS)
class FewerDims(EnginePass):
    """Join neighbouring dimensions in front of an op that does not tell them apart, and undo it behind.

    Before, with x of [1, 1, 9, 2, 2, 8, 8]:

        y = softmax(X=x) {axis=2}

    After:

        y.X.joined = reshape2(X=x) {shape=[1, 9, 256]}
        y.joined = softmax(X=y.X.joined) {axis=1}
        y = reshape2(X=y.joined) {shape=[1, 1, 9, 2, 2, 8, 8]}

    Paddle describes values to oneDNN by formats of up to six dimensions, so that whatever reads a larger one
    that a kernel of oneDNN has written ends the run; reshapes excepted, and in Paddle 2.6 reductions. What is
    computed element by element is joined, what softmax does not go along, what a reduction keeps or drops
    together, and what a transpose keeps together.

    Raises PassError for other ops, where six are not enough, and where more than one size is open.
    """

    name: ClassVar[str] = "fewer-dims"

    def apply(self, graph: Graph) -> PassResult:
        found = {op: _plan(op) for op in graph.ops if _is_concerned(op)}
        for op, plan in found.items():
            _join(graph, op, plan)
        return PassResult(bool(found))


@dataclass(frozen=True)
class _Plan:
    """The shapes that an op reads and writes instead, and its attributes for these."""

    reads: Mapping[str, Shape]
    writes: Shape
    attrs: Mapping[str, Any] = field(default_factory=dict)


def _is_concerned(op: Op) -> bool:
    if op.type in _FREE:
        return False
    return any(len(var.shape) > MOST_DIMENSIONS for slot, var in _values(op) if slot != "XShape")


def _values(op: Op) -> list[tuple[str, Var]]:
    slots = [*op.inputs.items(), *op.outputs.items()]
    return [(slot, var) for slot, variables in slots for var in variables]


def _plan(op: Op) -> _Plan:
    """Raises PassError where there is none."""
    plan = _planned(op)
    if plan is None or max(map(len, (*plan.reads.values(), plan.writes))) > MOST_DIMENSIONS:
        _, largest = max(_values(op), key=lambda found: len(found[1].shape))
        raise PassError(
            f"{op} has a value of {len(largest.shape)} dimensions, {largest.name} of {list(largest.shape)},"
            f" and Paddle's oneDNN kernels take {MOST_DIMENSIONS}: export it for onnxruntime or openvino."
        )
    return plan


def _planned(op: Op) -> _Plan | None:
    if op.type in OF_TWO:
        return _of_two(op)
    if op.type in _REDUCTIONS:
        return _reduced(op)
    if op.type not in (*OF_ONE, *_ALONG_AN_AXIS, "transpose2"):
        return None
    shape, rank = op.input("X").shape, len(op.input("X").shape)
    if op.type in OF_ONE:
        return _along([range(rank)], shape)
    if op.type in _ALONG_AN_AXIS:
        axis = op.attr("axis", -1) % rank
        around = [run for run in (range(axis), range(axis, axis + 1), range(axis + 1, rank)) if run]
        return _along(around, shape, axis=1 if axis else 0)
    runs = _runs(op.attr("axis"))
    before = sorted(runs, key=lambda run: run[0])
    return _along(before, shape, runs, axis=[before.index(run) for run in runs])


def _along(
    before: Sequence[Sequence[int]],
    shape: Shape,
    behind: Sequence[Sequence[int]] | None = None,
    **attrs: Any,
) -> _Plan:
    """For runs of axes that are joined, in the order of what is read and of what is written."""
    reads = {"X": tuple(_size(shape, run) for run in before)}
    return _Plan(reads, tuple(_size(shape, run) for run in behind or before), attrs)


def _size(shape: Shape, axes: Sequence[int]) -> int:
    """Of axes that are joined; -1 for an open one."""
    sizes = [shape[axis] for axis in axes]
    return -1 if min(sizes) < 0 else math.prod(sizes)


def _reduced(op: Op) -> _Plan:
    shape = op.input("X").shape
    rank = len(shape)
    dims = {axis % rank for axis in op.attr("dim")}
    all_of_them = op.attr("reduce_all", False) or not dims
    runs = [list(run) for _, run in groupby(range(rank), lambda axis: all_of_them or axis in dims)]
    reduced = [number for number, run in enumerate(runs) if all_of_them or run[0] in dims]
    sizes = tuple(_size(shape, run) for run in runs)
    kept = tuple(size for number, size in enumerate(sizes) if number not in reduced)
    return _Plan({"X": sizes}, kept, {"dim": reduced, "keep_dim": False})


def _runs(order: Sequence[int]) -> list[list[int]]:
    """The axes of a transpose, those together that stay neighbours."""
    runs = [[order[0]]]
    for before, axis in pairwise(order):
        if axis == before + 1:
            runs[-1].append(axis)
        else:
            runs.append([axis])
    return runs


def _of_two(op: Op) -> _Plan | None:
    """Those dimensions are joined over which the same operands are repeated."""
    shapes = [op.input(slot).shape for slot in ("X", "Y")]
    rank = max(map(len, shapes))
    if op.attr("axis", -1) not in (-1, rank - min(map(len, shapes))):
        return None
    x, y = ((1,) * (rank - len(shape)) + tuple(shape) for shape in shapes)
    if any(
        one != other and min(one, other) < 0 and 1 not in (one, other)
        for one, other in zip(x, y, strict=True)
    ):
        return None  # an open size may turn out to be 1
    joined: list[list[int]] = []
    repeated: tuple[bool, bool] | None = None
    for axis, sizes in enumerate(zip(x, y, strict=True)):
        kind = (sizes[0] == 1 != sizes[1], sizes[1] == 1 != sizes[0])
        # What both have once goes with its neighbour.
        if joined and (sizes == (1, 1) or kind == repeated):
            joined[-1].append(axis)
        else:
            joined.append([axis])
            repeated = kind
    reads = {slot: tuple(_size(shape, axes) for axes in joined) for slot, shape in (("X", x), ("Y", y))}
    writes = tuple(size if size != 1 else other for size, other in zip(reads["X"], reads["Y"], strict=True))
    return _Plan(reads, writes, {"axis": -1})


def _join(graph: Graph, op: Op, plan: _Plan) -> None:
    out = op.output("Out")
    for slot, shape in plan.reads.items():
        source = op.input(slot)
        joined = _new(graph, op, f".{slot}.joined", shape, source)
        _reshape(graph, op, source, joined, before=op)
        graph.set_input(op, slot, [joined])
    joined = _new(graph, op, ".joined", plan.writes, out)
    graph.set_output(op, "Out", [joined])
    _reshape(graph, op, joined, out, after=op)
    for name, value in plan.attrs.items():
        graph.set_attr(op, name, value)


def _new(graph: Graph, op: Op, ending: str, shape: Shape, like: Var) -> Var:
    name = free_name(graph, op.output("Out").name, ending)
    return graph.add_var(name, dtype_name(like.dtype), shape)


def _reshape(graph: Graph, op: Op, source: Var, result: Var, **place: Op) -> None:
    """Raises PassError where more than one size of the result is open."""
    if result.shape.count(-1) > 1:
        raise PassError(
            f"{op} cannot be written with the {MOST_DIMENSIONS} dimensions that Paddle's oneDNN kernels take,"
            f" since several of {list(result.shape)} are open: save the model with the size of its images."
        )
    made = graph.add_op("reshape2", {"X": source}, {"Out": result}, {"op_role": 0}, **place)
    set_attrs(graph, made, {"shape": list(result.shape)})
