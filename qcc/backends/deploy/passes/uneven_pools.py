"""uneven-pools: adaptive pooling into parts of unequal sizes as products with matrices."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.backends.spellings.adaptive_pools import is_uneven, parts_of
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.passes.base import OPTIONS, PassResult, check_free


@options(frozen=True, config=OPTIONS)
class UnevenPools(EnginePass):
    """Write adaptive average pooling as two products with matrices of shares, where a map of a declared size
    is not divided evenly. ONNX has windows of one size only, and paddle2onnx takes those, which gives other
    numbers, or crashes ONNX Runtime where the map is smaller than what it is pooled to.

    Before, with x of [-1, 8, 16, 16]:

        y = pool2d(X=x) {adaptive=true, ksize=[6, 6], pooling_type="avg"}

    After, with the weights y.rows of [6, 16] and y.columns of [16, 6]:

        y.pooled = matmul_v2(X=y.rows, Y=x) {trans_x=false, trans_y=false}
        y = matmul_v2(X=y.pooled, Y=y.columns) {trans_x=false, trans_y=false}
    """

    name: ClassVar[str] = "uneven-pools"

    def apply(self, graph: Graph) -> PassResult:
        chosen = [op for op in graph.ops if _is_average(op)]
        for op in chosen:
            name = op.output("Out").name
            check_free(graph, op, [f"{name}.rows", f"{name}.columns", f"{name}.pooled"])
        for op in chosen:
            _replace(graph, op)
        return PassResult(bool(chosen))


def _is_average(op: Op) -> bool:
    return op.type == "pool2d" and op.attr("pooling_type") == "avg" and is_uneven(op)


def _replace(graph: Graph, op: Op) -> None:
    x, out = op.input("X"), op.output("Out")
    (height, width), (rows, columns) = x.shape[2:], op.attr("ksize")
    left = graph.add_var(f"{out.name}.rows", "float32", (rows, height), _shares(height, rows))
    right = graph.add_var(
        f"{out.name}.columns", "float32", (width, columns), _shares(width, columns).T.copy()
    )
    pooled = graph.add_var(f"{out.name}.pooled", "float32", (*x.shape[:2], rows, width))
    graph.set_output(op, "Out", [])
    for inputs, result in (({"X": left, "Y": x}, pooled), ({"X": pooled, "Y": right}, out)):
        product = graph.add_op("matmul_v2", inputs, {"Out": result}, {}, before=op)
        for flag in ("trans_x", "trans_y"):
            graph.set_flag(product, flag, False)
    graph.remove_op(op)


def _shares(size: int, parts: int) -> np.ndarray:
    """What each of `size` pixels counts for in each of the parts, [parts, size]."""
    found = np.zeros((parts, size), np.float32)
    for part, (begin, end) in enumerate(parts_of(size, parts)):
        found[part, begin:end] = 1 / (end - begin)
    return found
