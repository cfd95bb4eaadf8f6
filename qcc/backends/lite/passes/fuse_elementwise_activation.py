"""fuse-elementwise-activation: an activation into the elementwise op before it."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic.dataclasses import dataclass as options

from qcc._paddle import VarType
from qcc.backends.lite.passes.lite_pass import LitePass
from qcc.ir.graph import Graph
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.rewrite import follower, remove_op

_ELEMENTWISE = ("elementwise_add", "elementwise_sub", "elementwise_mul")


@options(frozen=True, config=OPTIONS)
class FuseElementwiseActivation(LitePass):
    """Let an addition, subtraction or multiplication apply the activation behind it.

    Before:

        a = elementwise_add(X=x, Y=z)
        y = relu(X=a)

    After:

        y = fusion_elementwise_add_activation(X=x, Y=z)  {act_type = "relu"}
    """

    name: ClassVar[str] = "fuse-elementwise-activation"

    activations: tuple[Literal["relu", "tanh", "abs"], ...] = ("relu",)

    def apply(self, graph: Graph) -> PassResult:
        modified = False
        for op in graph.ops:
            if op.type not in _ELEMENTWISE or op.output("Out").dtype != VarType.FP32:
                continue
            for kind in self.activations:
                activation = follower(graph, op, "Out", kind)
                if activation is None:
                    continue
                out = activation.output("Out")
                inputs = {"X": op.input("X"), "Y": op.input("Y")}
                attrs = {"axis": int(op.attr("axis", -1)), "act_type": kind}
                fused = graph.add_op(f"fusion_{op.type}_activation", inputs, {}, attrs, before=op)
                remove_op(graph, activation, keep=out)
                remove_op(graph, op, keep=out)
                graph.set_output(fused, "Out", [out])
                modified = True
                break
        return PassResult(modified)
