"""lite-reduce: reductions in the forms that Paddle Lite has kernels for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from math import prod
from typing import ClassVar

from pydantic.dataclasses import dataclass as options

from qcc.backends.lite.passes.like import add_like
from qcc.backends.lite.passes.lite_pass import LitePass
from qcc.backends.lite.rules.reductions import MOST_DIMENSIONS, REDUCTIONS, has_kernel, normalized
from qcc.errors import PassError
from qcc.ir.dtypes import dtype_name
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.rewrite import remove_op
from qcc.targets.lite import Arch


@options(frozen=True, config=OPTIONS)
class LiteReduce(LitePass):
    """Reduce one axis after another, of tensors with at most four dimensions.

    Before, x being [n, 4, 9, 10]:

        a = reduce_sum(X=x)  {dim = [3, 1]}
        b = reduce_mean(X=x)  {reduce_all = true}

    After, on ARM, where kernels take one axis or two neighbours:

        a.axis3 = reduce_sum(X=x)  {dim = [3], keep_dim = false}
        a = reduce_sum(X=a.axis3)  {dim = [1], keep_dim = false}
        b.flat = reshape2(X=x)  {shape = [1, 1, 1, -1]}
        b.all = reduce_mean(X=b.flat)  {dim = [3]}
        b = reshape2(X=b.all)  {shape = [1]}

    The same holds of truth values (reduce_all, reduce_any) on both processors, and on both a tensor of five
    dimensions or more is looked at as one of four:

        c = reduce_sum(X=y)  {dim = [2]}    for y of [n, 3, 5, 8, 7], is

        c.view2 = reshape2(X=y)  {shape = [-1, 5, 56, 1]}
        c.axis2 = reduce_sum(X=c.view2)  {dim = [1], keep_dim = true}
        c = reshape2(X=c.axis2)  {shape = [-1, 3, 8, 7]}
    """

    name: ClassVar[str] = "lite-reduce"

    arch: Arch = "arm"

    def apply(self, graph: Graph) -> PassResult:
        found = [reduction for op in graph.ops if (reduction := self._without_kernel(op)) is not None]
        # Nothing is edited before everything is known to be possible.
        steps = [_plan(reduction) for reduction in found]
        for reduction, plan in zip(found, steps, strict=True):
            _rewrite(graph, reduction, plan)
        return PassResult(bool(found))

    def _without_kernel(self, op: Op) -> _Reduction | None:
        if op.type not in REDUCTIONS:
            return None
        rank = len(op.input("X").shape)
        given = () if op.attr("reduce_all", False) else tuple(op.attr("dim", ()))
        if rank == 0 or has_kernel(op.type, rank, normalized(given, rank), self.arch):
            return None
        return _Reduction(op, tuple(sorted(set(normalized(given, rank)))))


@dataclass(frozen=True)
class _Reduction:
    """An op, and its axes from 0, sorted."""

    op: Op
    axes: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.op.input("X").shape

    @property
    def keeps(self) -> bool:
        return bool(self.op.attr("keep_dim", False))


@dataclass(frozen=True)
class _Step:
    """One op: a reshape to `shape`, or, where that is None, a reduction along `axes`, which stay with size 1
    where `keep`."""

    suffix: str
    shape: tuple[int, ...] | None = None
    axes: tuple[int, ...] = ()
    keep: bool = False


# A size, and the axes of the first tensor that it stands for.
_Extent = tuple[int, tuple[int, ...]]


def _plan(reduction: _Reduction) -> list[_Step]:
    shape, axes = reduction.shape, reduction.axes
    rank = len(shape)
    extents: list[_Extent] = [(size, (axis,)) for axis, size in enumerate(shape)]
    if len(axes) == rank:
        result = (1,) * rank if reduction.keeps else (1,)
        return [_Step("flat", (1, 1, 1, -1)), _Step("all", axes=(3,), keep=True), _Step("", result)]
    if rank > MOST_DIMENSIONS:
        return _by_views(reduction, extents)
    if reduction.op.type == "reduce_prod" and rank < MOST_DIMENSIONS:
        padded = extents + [(1, ())] * (MOST_DIMENSIONS - rank)
        steps = [_Step("view", _reshape(reduction, extents, padded))]
        steps += [_Step(f"axis{axis}", axes=(axis,), keep=True) for axis in reversed(axes)]
        left = [(1, ()) if axis in axes else extent for axis, extent in enumerate(padded)]
        return [*steps, _Step("", _reshape(reduction, left, _result(reduction, extents)))]
    if has_kernel(reduction.op.type, rank, axes, "arm"):
        return [_Step("", axes=axes, keep=reduction.keeps)]
    *first, last = reversed(axes)
    steps = [_Step(f"axis{axis}", axes=(axis,), keep=reduction.keeps) for axis in first]
    return [*steps, _Step("", axes=(last,), keep=reduction.keeps)]


def _result(reduction: _Reduction, extents: list[_Extent]) -> list[_Extent]:
    if reduction.keeps:
        return [(1, ()) if axis in reduction.axes else extent for axis, extent in enumerate(extents)]
    return [extent for axis, extent in enumerate(extents) if axis not in reduction.axes]


def _by_views(reduction: _Reduction, extents: list[_Extent]) -> list[_Step]:
    """Neighbouring axes are reduced together, those at the end first."""
    steps: list[_Step] = []
    source = extents
    for run in reversed(_runs(reduction.axes)):
        left = [(1, ()) if axis > run[-1] and axis in reduction.axes else e for axis, e in enumerate(extents)]
        parts = (left[: run[0]], left[run[0] : run[-1] + 1], left[run[-1] + 1 :])
        view = [*map(_together, parts), (1, ())]
        steps.append(_Step(f"view{run[0]}", _reshape(reduction, source, view)))
        steps.append(_Step(f"axis{run[0]}", axes=(1,), keep=True))
        source = [view[0], (1, ()), view[2], view[3]]
    return [*steps, _Step("", _reshape(reduction, source, _result(reduction, extents)))]


def _runs(axes: Sequence[int]) -> list[list[int]]:
    """Neighbouring axes together."""
    groups = groupby(enumerate(axes), lambda item: item[1] - item[0])
    return [[axis for _, axis in group] for _, group in groups]


def _together(extents: Sequence[_Extent]) -> _Extent:
    sizes = [size for size, _ in extents]
    axes = tuple(axis for size, held in extents for axis in held if size != 1)
    return (-1 if any(size < 0 for size in sizes) else prod(sizes), axes)


def _reshape(reduction: _Reduction, source: Sequence[_Extent], wanted: Sequence[_Extent]) -> tuple[int, ...]:
    """The attribute of a reshape: 0 takes over the size that stands in the same place, -1 is what is left."""
    shape = []
    for place, (size, axes) in enumerate(wanted):
        same = place < len(source) and source[place][1] == axes
        shape.append(size if size > 0 else 0 if same else -1)
    if shape.count(-1) > 1:
        op = reduction.op
        raise PassError(
            f"{op} reduces {list(reduction.shape)} along {list(reduction.axes)}, and Paddle Lite's kernels"
            f" take {MOST_DIMENSIONS} dimensions at most, which several open sizes do not allow: export the"
            " model for images of one size."
        )
    return tuple(shape)


def _rewrite(graph: Graph, reduction: _Reduction, plan: list[_Step]) -> None:
    op = reduction.op
    source, result = op.input("X"), op.output("Out")
    dtype = dtype_name(result.dtype)
    for step in plan[:-1]:
        source = _add(graph, op, step, source, dtype)
    last = _add_last(graph, op, plan[-1], source)
    remove_op(graph, op, keep=result)
    graph.set_output(last, "Out", [result])


def _add(graph: Graph, op: Op, step: _Step, source: Var, dtype: str) -> Var:
    name = f"{op.output('Out').name}.{step.suffix}"
    if step.shape is not None:
        sizes = [source.shape[place] if size == 0 else size for place, size in enumerate(step.shape)]
        made = graph.add_var(name, dtype_name(source.dtype), sizes)
    else:
        kept = [1 if axis in step.axes else size for axis, size in enumerate(source.shape)]
        sizes = kept if step.keep else [s for axis, s in enumerate(source.shape) if axis not in step.axes]
        made = graph.add_var(name, dtype, sizes)
    graph.set_output(_add_last(graph, op, step, source), "Out", [made])
    return made


def _add_last(graph: Graph, op: Op, step: _Step, source: Var) -> Op:
    """The op of a step, its output not yet set."""
    if step.shape is not None:
        return graph.add_op("reshape2", {"X": source}, {}, {"shape": list(step.shape)}, before=op)
    made = add_like(graph, op, {"X": source}, {})
    graph.remove_attr(made, "dim")
    graph.set_attr(made, "dim", list(step.axes))
    graph.set_flag(made, "keep_dim", step.keep)
    graph.set_flag(made, "reduce_all", False)
    return made
