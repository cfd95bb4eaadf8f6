"""lite-split-products: sums of more products than Paddle Lite's ARM kernels can do, in parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc.backends.lite.passes.fuse_fc import bias_behind, may_be_fc
from qcc.backends.lite.passes.graph_op import GraphOp
from qcc.backends.lite.passes.like import add_like
from qcc.backends.lite.passes.lite_pass import LitePass
from qcc.backends.lite.rules.arm import meets
from qcc.backends.lite.rules.products import convolution, leading_extents, rows_change
from qcc.backends.lite.rules.view import Rows
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.rewrite import is_weight, remove_op
from qcc.targets.lite_arm import arm_table

_FAULTS = ("int8-products", "float-products")


@options(frozen=True, config=OPTIONS)
class LiteSplitProducts(LitePass):
    """Compute an op whose outputs are sums of too many products as a sum of ops over parts of its input.

    Before, x being [n, 2048, 33, 33] and w [256, 2048, 3, 3], so that an output sums 18432 products:

        y = conv2d(Input=x, Filter=w)  {dilations = [2, 2]}

    After:

        y.x0, y.x1 = split(X=x)  {axis = 1, sections = [1024, 1024]}
        y.part0 = conv2d(Input=y.x0, Filter=y.w0)  {dilations = [2, 2]}
        y.part1 = conv2d(Input=y.x1, Filter=y.w1)  {dilations = [2, 2]}
        y = elementwise_add(X=y.part0, Y=y.part1)

    Kernels for float take 16384 products, those for int8 on CPUs without dot product 8188, with a cache of
    512 KB. An fc op of one row is computed by another kernel, and stays whole. Grouped convolutions of so
    many products stay whole, too, and `lite-kernels` refuses them.
    """

    name: ClassVar[str] = "lite-split-products"

    rows: Rows = "declared"

    def apply(self, graph: Graph) -> PassResult:
        found = [split for op in graph.ops if (split := self._split(graph, op)) is not None]
        for split in found:
            _rewrite(graph, split)
        notes = tuple(f"computes {split.op} in {len(split.sections)} parts." for split in found)
        return PassResult(bool(found), notes)

    def _split(self, graph: Graph, op: Op) -> _Split | None:
        view = GraphOp(graph, op)
        fault = next((name for name in _FAULTS if meets(view, name, self.rows)), None)
        if fault is None:
            return None
        limit = arm_table().limit(fault)
        if op.type == "conv2d":
            return _of_convolution(graph, op, limit)
        if op.type not in ("mul", "matmul", "matmul_v2") or not may_be_fc(graph, op, None):
            return None
        leading = leading_extents(view)
        one_row = leading is not None and set(leading) <= {1} and not rows_change(leading, self.rows)
        if one_row and bias_behind(graph, op) is not None and may_be_fc(graph, op, self.rows):
            return None
        return _of_product(graph, op, limit)


@dataclass(frozen=True)
class _Split:
    """How an op is split.

    The slots of its data, weight and output; the axis along which its data is cut, and into which sections;
    the weight's axis, and how many of its rows there belong to one of the data's.
    """

    op: Op
    data: str
    weight: str
    output: str
    axis: int
    sections: tuple[int, ...]
    weight_axis: int
    rows_each: int


def _of_convolution(graph: Graph, op: Op, limit: int) -> _Split | None:
    found = convolution(GraphOp(graph, op))
    if found is None or found.groups != 1 or not is_weight(graph, op.input("Filter")):
        return None
    channels = found.filter[1]
    sections = _sections(channels, limit // (found.products // channels))
    return None if sections is None else _Split(op, "Input", "Filter", "Output", 1, sections, 1, 1)


def _of_product(graph: Graph, op: Op, limit: int) -> _Split | None:
    shape = op.input("X").shape
    axis = int(op.attr("x_num_col_dims", 1)) if op.type == "mul" else len(shape) - 1
    inner = op.input("Y").shape[0]
    if shape[axis] <= 0 or inner % shape[axis]:
        return None
    rows_each = inner // shape[axis]
    sections = _sections(shape[axis], limit // rows_each)
    return None if sections is None else _Split(op, "X", "Y", "Out", axis, sections, 0, rows_each)


def _sections(size: int, most: int) -> tuple[int, ...] | None:
    """As few parts as there can be, nearly equal; None where one element alone is too much."""
    if most < 1:
        return None
    parts = ceil(size / most)
    return tuple(len(part) for part in np.array_split(np.arange(size), parts))


def _rewrite(graph: Graph, split: _Split) -> None:
    op, out = split.op, split.op.output(split.output)
    parts = list(_parts(graph, split, out))
    remove_op(graph, op, keep=out)
    total = parts[0]
    for number, part in enumerate(parts[1:], 1):
        last = number == len(parts) - 1
        result = out if last else graph.add_var_like(f"{out.name}.sum{number}", out)
        inputs = {"X": total, "Y": part}
        graph.add_op("elementwise_add", inputs, {"Out": result}, {"axis": -1}, after=part.producer)
        total = result


def _parts(graph: Graph, split: _Split, out: Var) -> Iterator[Var]:
    op = split.op
    data, weight = op.input(split.data), op.input(split.weight)
    value = graph.weights[weight.name]
    pieces = []
    for number, size in enumerate(split.sections):
        shape = [size if axis == split.axis else extent for axis, extent in enumerate(data.shape)]
        pieces.append(graph.add_var(f"{out.name}.x{number}", "float32", shape))
    attrs = {"axis": split.axis, "sections": list(split.sections), "num": 0}
    graph.add_op("split", {"X": data}, {"Out": pieces}, attrs, before=op)
    start = 0
    for number, (piece, size) in enumerate(zip(pieces, split.sections, strict=True)):
        stop = start + size * split.rows_each
        own = np.ascontiguousarray(np.take(value, range(start, stop), axis=split.weight_axis))
        part_weight = graph.add_weight_like(f"{out.name}.w{number}", weight, own)
        inputs = {split.data: piece, split.weight: part_weight}
        bias = op.inputs.get("Bias", ())
        if bias and number == 0:
            inputs["Bias"] = bias[0]
        part = graph.add_var_like(f"{out.name}.part{number}", out)
        add_like(graph, op, inputs, {split.output: part})
        start = stop
        yield part
