"""lite-arm-ops: ops that Paddle Lite's ARM kernels get wrong, in a form that they get right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc.backends.lite.passes.graph_op import GraphOp
from qcc.backends.lite.passes.like import add_like
from qcc.backends.lite.passes.lite_pass import LitePass
from qcc.backends.lite.rules.arm import meets
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.rewrite import remove_op

# No kernel for a fixed window has these, and adaptive pooling has no use for strides.
_NO_KERNELS_STRIDES = [1, 2]


@options(frozen=True, config=OPTIONS)
class LiteArmOps(LitePass):
    """Write otherwise what ARM kernels do not know, abort on, or take for something else.

    Before:

        a = pool2d(X=x)  {adaptive = true, ksize = [3, 3]}
        b = depthwise_conv2d_transpose(Input=x, Filter=w)  {groups = 6}
        c = softplus(X=x)  {beta = 2.0, threshold = 1.5}

    After:

        a = pool2d(X=x)  {adaptive = true, ksize = [3, 3], strides = [1, 2]}
        b = conv2d_transpose(Input=x, Filter=w)  {groups = 6}
        c.soft = softplus(X=x)  {beta = 2.0, threshold = 20.0}
        c.scaled = scale(X=x)  {scale = 2.0}
        c.linear = greater_than(X=c.scaled, Y=c.threshold)
        c = where(Condition=c.linear, X=x, Y=c.soft)

    Paddle and Paddle Lite on x86 compute the same from both.
    """

    name: ClassVar[str] = "lite-arm-ops"
    runs_in_paddle: ClassVar[bool] = True

    def apply(self, graph: Graph) -> PassResult:
        modified = False
        for op in graph.ops:
            for fault, rewrite in _REWRITES.items():
                if meets(GraphOp(graph, op), fault):
                    rewrite(graph, op)
                    modified = True
                    break
        return PassResult(modified)


def _pool(graph: Graph, op: Op) -> None:
    graph.set_attr(op, "strides", _NO_KERNELS_STRIDES)


def _transposed(graph: Graph, op: Op) -> None:
    out = op.output("Output")
    inputs = {slot: variables for slot, variables in op.inputs.items() if variables}
    made = add_like(graph, op, inputs, {}, "conv2d_transpose")
    remove_op(graph, op, keep=out)
    graph.set_output(made, "Output", [out])


def _softplus(graph: Graph, op: Op) -> None:
    x, out = op.input("X"), op.output("Out")
    beta, threshold = float(op.attr("beta", 1.0)), float(op.attr("threshold"))
    soft, scaled = (graph.add_var_like(f"{out.name}.{suffix}", out) for suffix in ("soft", "scaled"))
    linear = graph.add_var(f"{out.name}.linear", "bool", out.shape)
    limit = graph.add_var(f"{out.name}.threshold", "float32", (1,), np.array([threshold], np.float32))
    graph.set_output(op, "Out", [])
    attrs: dict[str, Any] = {"beta": beta, "threshold": 20.0}
    graph.add_op("softplus", {"X": x}, {"Out": soft}, attrs, before=op)
    factor = graph.add_op("scale", {"X": x}, {"Out": scaled}, {"scale": beta, "bias": 0.0}, before=op)
    graph.set_flag(factor, "bias_after_scale", True)
    greater = {"X": scaled, "Y": limit}
    graph.set_flag(
        graph.add_op("greater_than", greater, {"Out": linear}, {"axis": -1}, before=op), "force_cpu", False
    )
    graph.add_op("where", {"Condition": linear, "X": x, "Y": soft}, {"Out": out}, {}, before=op)
    graph.remove_op(op)


_REWRITES: dict[str, Callable[[Graph, Op], None]] = {
    "adaptive-pool": _pool,
    "depthwise-transposed": _transposed,
    "softplus-threshold": _softplus,
}
"""By the fault that each writes around."""
