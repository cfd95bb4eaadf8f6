"""lone-joins: joined rows and tokens are read from a copy by what quantizes them."""

from __future__ import annotations

from typing import ClassVar

from pydantic.dataclasses import dataclass as options

from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.rewrite import compute_alone

_MAP = 4
"""Dimensions of a map, whose channels are second; those of anything else are last."""


@options(frozen=True, config=OPTIONS)
class LoneJoins(EnginePass):
    """Put the maximum of a value and itself, which is that value, behind a concat of rows or tokens that is
    quantized.

    Before, with a of [-1, 64, 16] and b of [-1, 16, 16]:

        y = concat(X=[a, b]) {axis=1}
        y.quantized = quantize_linear(X=y, Scale=y@scale)

    After:

        y.alone = concat(X=[a, b]) {axis=1}
        y = elementwise_max(X=y.alone, Y=y.alone)
        y.quantized = quantize_linear(X=y, Scale=y@scale)

    OpenVINO 2026.4 quantizes what is joined before that, with a zero point for each of 80 tokens where there
    is one at all, and then does not compile: it takes numbers along any dimension for those of channels. Of
    the rows of maps it computes the layer behind in float.
    """

    name: ClassVar[str] = "lone-joins"

    def apply(self, graph: Graph) -> PassResult:
        found = [op for op in graph.ops if op.type == "concat" and _joins_rows(op)]
        for op in found:
            compute_alone(graph, op)
        return PassResult(bool(found))


def _joins_rows(op: Op) -> bool:
    out = op.output("Out")
    rank = len(out.shape)
    if op.inputs.get("AxisTensor") or not any(reader.type == "quantize_linear" for reader in out.consumers):
        return False
    return op.attr("axis") % rank != (1 if rank == _MAP else rank - 1)
