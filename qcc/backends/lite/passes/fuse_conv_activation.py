"""fuse-conv-activation: an activation into the convolution before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic.dataclasses import dataclass as options

from qcc.backends.lite.passes.graph_op import GraphOp
from qcc.backends.lite.passes.lite_pass import LitePass
from qcc.backends.lite.rules.arm import meets
from qcc.backends.lite.rules.view import Rows
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.rewrite import absorb, follower, set_attrs
from qcc.targets.lite import Arch

_CONVOLUTIONS = ("conv2d", "depthwise_conv2d", "conv2d_transpose")
_FAULTS: dict[Arch, tuple[str, ...]] = {
    "arm": (
        "depthwise-hard-swish",
        "transposed-hard-swish",
        "unpadded-depthwise-relu",
        "winograd-hard-swish",
    ),
    "x86": ("transposed-hard-swish",),
}
Activation = Literal["relu", "relu6", "leaky_relu", "hard_swish"]


@options(frozen=True, config=OPTIONS)
class FuseConvActivation(LitePass):
    """Let a convolution apply the activation behind it.

    Before:

        c = conv2d(Input=x, Filter=w, Bias=b)
        y = relu6(X=c)

    After:

        y = conv2d(Input=x, Filter=w, Bias=b)  {with_act = true, act_type = "relu6", ...}

    Activations that the kernels get wrong stay ops: hard_swish behind a transposed convolution, and on ARM
    behind a depthwise one, whatever its type is called, and, in int8, behind one of 3 x 3 whose input's size
    may change; relu and relu6 behind an int8 depthwise one of 3 x 3 without padding.
    """

    name: ClassVar[str] = "fuse-conv-activation"

    arch: Arch = "arm"
    rows: Rows = "declared"
    activations: tuple[Activation, ...] = ("relu", "relu6", "leaky_relu", "hard_swish")

    def apply(self, graph: Graph) -> PassResult:
        modified = False
        for conv in graph.ops:
            if conv.type not in _CONVOLUTIONS or conv.attr("with_act") or not graph.has_op(conv):
                continue
            for kind in self.activations:
                activation = follower(graph, conv, "Output", kind)
                if activation is not None and self._may_fuse(_Fused(graph, conv, kind)):
                    _fuse(graph, conv, activation)
                    modified = True
                    break
        return PassResult(modified)

    def _may_fuse(self, fused: _Fused) -> bool:
        return not any(meets(fused, fault, self.rows) for fault in _FAULTS[self.arch])


@dataclass(frozen=True)
class _Fused(GraphOp):
    """A convolution as it would be with an activation."""

    kind: str

    def attr(self, name: str, default: Any = None) -> Any:
        own = {"with_act": True, "act_type": self.kind}
        return own[name] if name in own else super().attr(name, default)


def _fuse(graph: Graph, conv: Op, activation: Op) -> None:
    attrs = {"with_act": True, "act_type": activation.type, **activation_attrs(activation)}
    absorb(graph, conv, "Output", activation, "Out")
    set_attrs(graph, conv, attrs)


def activation_attrs(activation: Op) -> dict[str, Any]:
    """An activation's parameters under the names that a convolution of Paddle Lite has for them."""
    if activation.type == "relu":
        return {"fuse_relu": True}
    if activation.type == "relu6":
        return {"fuse_brelu_threshold": float(activation.attr("threshold", 6.0))}
    if activation.type == "leaky_relu":
        return {"leaky_relu_alpha": float(activation.attr("alpha", 0.02))}
    return {
        "hard_swish_threshold": float(activation.attr("threshold", 6.0)),
        "hard_swish_scale": float(activation.attr("scale", 6.0)),
        "hard_swish_offset": float(activation.attr("offset", 3.0)),
    }
