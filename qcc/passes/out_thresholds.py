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
"""Paddle's name for the scale of what an op writes."""

_SLOTS = ("Out", "Output", "Y")


@options(frozen=True, config=OPTIONS)
class OutThresholds(Pass):
    """Note the scales of variables at the ops that write them.

    Before:

        y = elementwise_add(X=a, Y=b)

    After, with scales=["y=2.5"]:

        y = elementwise_add(X=a, Y=b) {out_threshold=2.5}

    Nothing is rounded by that in Paddle: an engine that wants the variable in integers finds its scale there,
    as Paddle's own tools note it. In a frozen graph the op with the weight has it, not the one that
    dequantizes.
    """

    name: ClassVar[str] = "out-thresholds"

    scales: tuple[str, ...] = ()

    def apply(self, graph: Graph) -> PassResult:
        given = dict(parse_scale(entry) for entry in self.scales)
        ops = {name: _noting(graph, name) for name in given}
        modified = False
        for name, op in ops.items():
            modified |= op.attr(ATTRIBUTE, None) != given[name]
            graph.set_attr(op, ATTRIBUTE, given[name])
        return PassResult(modified)


def note_scale(graph: Graph, name: str, scale: float) -> None:
    """Note the scale of a variable at the op that writes it.  Raises PassError when there is no such op."""
    graph.set_attr(_noting(graph, name), ATTRIBUTE, scale)


def thresholds(graph: Graph) -> dict[str, float]:
    """The scales that ops note of what they write, by its name; what is no scale does not count."""
    found = {}
    for op in graph.ops:
        scale = op.attr(ATTRIBUTE, 0.0)
        var = _written(op)
        if var is not None and isinstance(scale, float) and math.isfinite(scale) and scale > 0:
            found[var.name] = scale
    return found


def _noting(graph: Graph, name: str) -> Op:
    """The op that is to have the scale of a variable."""
    var = graph.versions(name)[-1] if name in graph else None
    op = None if var is None else var.producer
    if op is not None and op.type in DEQUANTIZE_OPS:
        op = op.input("X").producer
    if op is None or _written(op) is not var:
        raise PassError(f"scales has an entry for {name!r}, which no op writes as its one output.")
    return op


def _written(op: Op) -> Var | None:
    """What an op writes; of a frozen one, what is dequantized of it."""
    found = frozen_op(op)
    if found is not None:
        return found.dequantize.output("Out")
    variables = next((op.outputs[slot] for slot in _SLOTS if op.outputs.get(slot)), ())
    return variables[0] if len(variables) == 1 else None
