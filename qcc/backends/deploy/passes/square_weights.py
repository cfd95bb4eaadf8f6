"""square-weights: square matrices with a scale per column are stored transposed."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.base import OPTIONS, PassResult

_TRANSPOSE = {"matmul_v2": "trans_y", "matmul": "transpose_Y"}


@options(frozen=True, config=OPTIONS)
class SquareWeights(EnginePass):
    """Store a square matrix that has a scale per column as its transpose, with a scale per row, for all
    products that read it.

    Before:

        w.dequantized = dequantize_linear(X=w, Scale=w@scale) {quant_axis=1}
        out = matmul_v2(X=x, Y=w.dequantized) {trans_y=false}

    After:

        w.dequantized = dequantize_linear(X=w, Scale=w@scale) {quant_axis=0}
        out = matmul_v2(X=x, Y=w.dequantized) {trans_y=true}

    Paddle's `quant_dequant_mkldnn_pass` takes the axis of the scales from their number, not from the
    attribute: of a square matrix it takes the first one.
    """

    name: ClassVar[str] = "square-weights"

    def apply(self, graph: Graph) -> PassResult:
        weights = {op.input("X"): None for op in graph.ops if op.type == "dequantize_linear"}
        chosen = [weight for weight in weights if _is_turned_back_along_rows(graph, weight)]
        for weight in chosen:
            graph.weights[weight.name] = np.ascontiguousarray(graph.weights[weight.name].T)
            for op in list(weight.consumers):
                graph.set_attr(op, "quant_axis", 0)
                for product in list(op.output("Y").consumers):
                    graph.set_flag(product, _TRANSPOSE[product.type], True)
        return PassResult(bool(chosen))


def _is_turned_back_along_rows(graph: Graph, weight: Var) -> bool:
    """Whether a weight is square, with a scale per column, and read by products alone."""
    shape = weight.shape
    if not weight.persistable or len(shape) != 2 or shape[0] != shape[1]:
        return False
    return all(
        op.type == "dequantize_linear"
        and op.attr("quant_axis", -1) == 1
        and op.output("Y").name not in graph.fetches
        and all(_multiplies_by(product, op.output("Y")) for product in op.output("Y").consumers)
        for op in weight.consumers
    )


def _multiplies_by(op: Op, weight: Var) -> bool:
    return (
        op.type in _TRANSPOSE
        and op.input("X") is not weight
        and op.input("Y") is weight
        and not op.attr(_TRANSPOSE[op.type], False)
    )
