"""square-weights: square matrices with a scale per column are stored transposed."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.passes.base import OPTIONS, PassResult

_TRANSPOSE = {"matmul_v2": "trans_y", "matmul": "transpose_Y"}


@options(frozen=True, config=OPTIONS)
class SquareWeights(EnginePass):
    """Store a square matrix that has a scale per column as its transpose, with a scale per row.

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
        chosen = [(op, product) for op in graph.ops if (product := _product_behind(graph, op)) is not None]
        for op, product in chosen:
            weight = op.input("X")
            graph.weights[weight.name] = np.ascontiguousarray(graph.weights[weight.name].T)
            graph.set_attr(op, "quant_axis", 0)
            graph.set_flag(product, _TRANSPOSE[product.type], True)
        return PassResult(bool(chosen))


def _product_behind(graph: Graph, op: Op) -> Op | None:
    """The product whose weight the op turns into floats, if that is square with a scale per column."""
    if op.type != "dequantize_linear" or op.attr("quant_axis", -1) != 1:
        return None
    weight, dequantized = op.input("X"), op.output("Y")
    shape = weight.shape
    if not weight.persistable or len(shape) != 2 or shape[0] != shape[1]:
        return None
    readers = list(dequantized.consumers)
    if len(weight.consumers) != 1 or len(readers) != 1 or dequantized.name in graph.fetches:
        return None
    product = readers[0]
    if product.type not in _TRANSPOSE or product.input("Y") is not dequantized:
        return None
    return None if product.attr(_TRANSPOSE[product.type], False) else product
