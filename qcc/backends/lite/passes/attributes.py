"""lite-attributes: what Paddle Lite's ops need and Paddle's may lack."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc._paddle import core
from qcc.backends.lite.passes.lite_pass import LitePass
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.rewrite import drop_if_unused, free_name

_WITH_XSHAPE = (
    "flatten2",
    "flatten_contiguous_range",
    "reshape2",
    "squeeze2",
    "transpose2",
    "unsqueeze2",
)
_COMPARISONS = ("equal", "greater_equal", "greater_than", "less_equal", "less_than", "not_equal")
_STATISTICS = {
    "group_norm": ("Mean", "Variance"),
    "instance_norm": ("SavedMean", "SavedVariance"),
    "layer_norm": ("Mean", "Variance"),
}


@options(frozen=True, config=OPTIONS)
class LiteAttributes(LitePass):
    """Add the attributes, outputs and weights that the runtime asks for, and Paddle leaves out.

    Before:

        b = flatten_contiguous_range(X=x)
        c = layer_norm(X=b)
        d = instance_norm(X=x, Scale=s, Bias=t)
        n = fill_constant()  {shape = []}
        e = greater_than(X=x, Y=w)  with w: float32[]

    After, with e.y: float32[1]:

        b, b.xshape = flatten_contiguous_range(X=x)
        c, c.mean, c.variance = layer_norm(X=b, Scale=c.scale, Bias=c.bias)
        d, d.savedmean, d.savedvariance = instance_norm(X=x, Scale=s, Bias=t)
        n = fill_constant()  {shape = [1]}
        e = greater_than(X=x, Y=e.y)
    """

    name: ClassVar[str] = "lite-attributes"

    def apply(self, graph: Graph) -> PassResult:
        modified = False
        for op in graph.ops:
            if op.type in _WITH_XSHAPE:
                modified |= _add_output(graph, op, "XShape", (0, *op.input("X").shape))
            for slot in _STATISTICS.get(op.type, ()):
                modified |= _add_output(graph, op, slot, (-1,))
            if op.type in _SPECIAL:
                modified |= _SPECIAL[op.type](graph, op)
        return PassResult(modified)


def _add_output(graph: Graph, op: Op, slot: str, shape: tuple[int, ...]) -> bool:
    if op.outputs.get(slot):
        return False
    beside = next(iter(op.all_outputs()))
    graph.set_output(op, slot, [graph.add_var(f"{beside.name}.{slot.lower()}", "float32", shape)])
    return True


def _add_affine(graph: Graph, op: Op) -> bool:
    """A norm without scale or bias gets those that change nothing."""
    if op.type == "layer_norm":
        sizes = op.input("X").shape[op.attr("begin_norm_axis", 1) :]
    else:
        sizes = op.input("X").shape[1:2]
    size = int(np.prod(sizes, dtype=np.int64))
    if size <= 0 or any(extent < 0 for extent in sizes):
        return False
    added = False
    for slot, value in (("Scale", 1.0), ("Bias", 0.0)):
        if not op.inputs.get(slot):
            name = f"{op.output('Y').name}.{slot.lower()}"
            weight = graph.add_var(name, "float32", (size,), np.full(size, value, np.float32))
            graph.set_input(op, slot, [weight])
            added = True
    return added


def _add_dimension(graph: Graph, op: Op) -> bool:
    """A number without dimensions becomes a vector of one: the runtime has no others."""
    by_tensor = op.inputs.get("ShapeTensor") or op.inputs.get("ShapeTensorList")
    if by_tensor or list(op.attr("shape", [])):
        return False
    graph.set_attr(op, "shape", [1])
    return True


def _compare_with_a_vector(graph: Graph, op: Op) -> bool:
    """A weight without dimensions that is compared becomes a vector of one, too: the kernels find no axis for
    it."""
    found = [slot for slot in ("X", "Y") if op.input(slot).persistable and not op.input(slot).shape]
    for slot in found:
        number = op.input(slot)
        value = graph.weights[number.name].reshape(1)
        name = free_name(graph, op.output("Out").name, f".{slot.lower()}")
        graph.set_input(op, slot, [graph.add_var(name, str(value.dtype), (1,), value)])
        drop_if_unused(graph, number)
    return bool(found)


def _tell_axes(graph: Graph, op: Op) -> bool:
    """Axes as 32-bit integers, and all of them where Paddle takes none for all."""
    if not op.desc.has_attr("dim"):
        return False
    given = [int(axis) for axis in op.attr("dim")]
    axes = given or list(range(len(op.input("X").shape)))
    if axes == given and op.desc.attr_type("dim") != core.AttrType.LONGS:
        return False
    graph.remove_attr(op, "dim")
    graph.set_attr(op, "dim", axes)
    return True


_SPECIAL: dict[str, Callable[[Graph, Op], bool]] = {
    "layer_norm": _add_affine,
    "instance_norm": _add_affine,
    "group_norm": _add_affine,
    "fill_constant": _add_dimension,
    **dict.fromkeys(_COMPARISONS, _compare_with_a_vector),
    **{f"reduce_{kind}": _tell_axes for kind in ("all", "any", "max", "mean", "min", "prod", "sum")},
}
