"""out-thresholds: scales of what no quantized op reads, noted for the engines that round it as well."""

from __future__ import annotations

import math
from typing import ClassVar

from pydantic.dataclasses import dataclass as options

from qcc.errors import PassError
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.base import OPTIONS, Pass, PassResult
from qcc.passes.fake_quant import DEQUANTIZE_OPS
from qcc.passes.frozen import frozen_op
from qcc.passes.static_scales import parse_scale

ATTRIBUTE = "out_threshold"
"""Paddle's name for the scale of what an op writes; a split has one for each part, as `Out0_threshold`."""

_SLOTS = ("Out", "Output", "Y")


@options(frozen=True, config=OPTIONS)
class OutThresholds(Pass):
    """Note the scales of variables at the ops that write them.

    Before:

        y = elementwise_add(X=a, Y=b)

    After, with scales=["y=2.5"]:

        y = elementwise_add(X=a, Y=b) {out_threshold=2.5}

    Nothing is rounded by that in Paddle: an engine that wants the variable in integers finds its scale there,
    as Paddle's own tools note it; those of a split's parts in `Out0_threshold`, `Out1_threshold`. In a frozen
    graph the op with the weight has it, not the one that dequantizes.
    """

    name: ClassVar[str] = "out-thresholds"

    scales: tuple[str, ...] = ()

    def apply(self, graph: Graph) -> PassResult:
        given = dict(parse_scale(entry) for entry in self.scales)
        places = {name: _noting(graph, name) for name in given}
        modified = False
        for name, (op, attribute) in places.items():
            modified |= op.attr(attribute, None) != given[name]
            graph.set_attr(op, attribute, given[name])
        return PassResult(modified)


def note_scale(graph: Graph, name: str, scale: float) -> None:
    """Note the scale of a variable at the op that writes it.  Raises PassError when there is no such op."""
    op, attribute = _noting(graph, name)
    graph.set_attr(op, attribute, scale)


def forget_scales(graph: Graph) -> None:
    """Take away what ops note of the scales of what they write."""
    for op in graph.ops:
        for attribute in {ATTRIBUTE, *_written(op).values()}:
            graph.remove_attr(op, attribute)


def thresholds(graph: Graph) -> dict[str, float]:
    """The scales that ops note of what they write, by its name; what is no scale does not count."""
    found = {}
    for op in graph.ops:
        for var, attribute in _written(op).items():
            scale = op.attr(attribute, 0.0)
            if isinstance(scale, float) and math.isfinite(scale) and scale > 0:
                found[var.name] = scale
    return found


def _noting(graph: Graph, name: str) -> tuple[Op, str]:
    """The op that is to have the scale of a variable, and the attribute."""
    var = graph.versions(name)[-1] if name in graph else None
    op = None if var is None else var.producer
    if op is not None and op.type in DEQUANTIZE_OPS:
        op = op.input("X").producer
    attribute = None if op is None or var is None else _written(op).get(var)
    if op is None or attribute is None:
        raise PassError(f"scales has an entry for {name!r}, which no op writes as its result.")
    return op, attribute


def _written(op: Op) -> dict[Var, str]:
    """What an op writes, of a frozen one what is dequantized of it, and the attribute for its scale."""
    found = frozen_op(op)
    if found is not None:
        return {found.dequantize.output("Out"): ATTRIBUTE}
    slot = next((slot for slot in _SLOTS if op.outputs.get(slot)), None)
    variables = () if slot is None else op.outputs[slot]
    if len(variables) == 1:
        return {variables[0]: ATTRIBUTE}
    return {var: f"{slot}{number}_threshold" for number, var in enumerate(variables)}
