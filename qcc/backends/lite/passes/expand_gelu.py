"""expand-gelu: the approximate gelu by ops that Paddle Lite computes as Paddle does."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from pydantic.dataclasses import dataclass as options

from qcc.graph import Graph
from qcc.nodes import Op, Var
from qcc.passes.base import OPTIONS, Pass, PassResult

_CUBIC = 0.044715


@options(frozen=True, config=OPTIONS)
class ExpandGelu(Pass):
    """Compute gelu with approximate = true by other ops, since Paddle Lite's kernel ignores the attribute.

    Before:

        y = gelu(X=x)  {approximate = true}

    After, as y = x * (0.5 + 0.5 tanh(sqrt(2 / pi) * x * (1 + 0.044715 x^2))):

        y.square = square(X=x)
        y.bracket = scale(X=y.square)  {scale = 0.0357, bias = 0.798}
        y.inner = elementwise_mul(X=x, Y=y.bracket)
        y.tanh = tanh(X=y.inner)
        y.half = scale(X=y.tanh)  {scale = 0.5, bias = 0.5}
        y = elementwise_mul(X=x, Y=y.half)
    """

    name: ClassVar[str] = "expand-gelu"

    def apply(self, graph: Graph) -> PassResult:
        found = [op for op in graph.ops if op.type == "gelu" and op.attr("approximate", False)]
        for op in found:
            _expand(graph, op)
        return PassResult(bool(found))


def _expand(graph: Graph, gelu: Op) -> None:
    x, y = gelu.input("X"), gelu.output("Out")
    root = math.sqrt(2 / math.pi)

    def add(op_type: str, suffix: str, inputs: dict[str, Var], **attrs: Any) -> Var:
        made = graph.add_var(f"{y.name}.{suffix}", "float32", x.shape)
        op = graph.add_op(op_type, inputs, {"Out": made}, attrs, before=gelu)
        if op_type == "scale":
            graph.set_flag(op, "bias_after_scale", True)
        return made

    square = add("square", "square", {"X": x})
    bracket = add("scale", "bracket", {"X": square}, scale=root * _CUBIC, bias=root)
    inner = add("elementwise_mul", "inner", {"X": x, "Y": bracket}, axis=-1)
    tanh = add("tanh", "tanh", {"X": inner})
    half = add("scale", "half", {"X": tanh}, scale=0.5, bias=0.5)
    graph.remove_op(gelu)
    graph.add_op("elementwise_mul", {"X": x, "Y": half}, {"Out": y}, {"axis": -1}, after=half.producer)
