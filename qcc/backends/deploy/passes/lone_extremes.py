"""lone-extremes: what OpenVINO computes together with a maximum goes one op further."""

from __future__ import annotations

from typing import ClassVar

from pydantic.dataclasses import dataclass as options

from qcc._paddle import VarType
from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.rewrite import compute_alone

_REDUCTIONS = ("reduce_max", "reduce_min")
_POOLS = ("max_pool2d_with_index", "pool2d")


@options(frozen=True, config=OPTIONS)
class LoneExtremes(EnginePass):
    """Put the maximum of a value and itself, which is that value, behind maxima and minima over dimensions.

    Before:

        y = reduce_max(X=x) {dim=[1], keep_dim=true}
        y.quantized = quantize_linear(X=y, Scale=y@scale)

    After:

        y.alone = reduce_max(X=x) {dim=[1], keep_dim=true}
        y = elementwise_max(X=y.alone, Y=y.alone)
        y.quantized = quantize_linear(X=y, Scale=y@scale)

    OpenVINO 2026.4 computes a quantize op, and activations and factors in front of one, together with the
    reduction that they follow. What its kernels for maxima and minima hold meanwhile they then round to whole
    numbers, 1.73 to 2. Such are global pools as well, as in attention over channels (Woo et al., CBAM). With
    another op behind it, a reduction is computed alone.
    """

    name: ClassVar[str] = "lone-extremes"

    def apply(self, graph: Graph) -> PassResult:
        found = [op for op in graph.ops if _is_extreme(op) and op.output("Out").dtype == VarType.FP32]
        for op in found:
            compute_alone(graph, op)
        return PassResult(bool(found))


def _is_extreme(op: Op) -> bool:
    if op.type in _REDUCTIONS:
        return True
    if op.type not in _POOLS or op.attr("pooling_type", "max") != "max":
        return False
    to_one = bool(op.attr("adaptive", False)) and set(op.attr("ksize")) == {1}
    return to_one or bool(op.attr("global_pooling", False))
