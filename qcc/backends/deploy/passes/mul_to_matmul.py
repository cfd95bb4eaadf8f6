"""mul-to-matmul: products of matrices as matmul_v2, which every engine reads."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from pydantic.dataclasses import dataclass as options

from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.base import OPTIONS, PassResult, check_free, check_test_graph
from qcc.passes.frozen import frozen_op
from qcc.passes.rewrite import only_reader, remove_op


@options(frozen=True, config=OPTIONS)
class MulToMatmul(EnginePass):
    """Write `mul` as `matmul_v2`.

    Before, in float or in QDQ form:

        out = mul(X=x, Y=w) {x_num_col_dims=1, y_num_col_dims=1}

    After, where x has more than two dimensions:

        x.flattened = flatten_contiguous_range(X=x) {start_axis=1, stop_axis=3}
        out = matmul_v2(X=x.flattened, Y=w) {trans_x=false, trans_y=false}

    In QDQ form the flattening stands in front of the quantize op, unless others read what that writes. A
    `mul` whose weight has more than two dimensions, or that is frozen, stays.
    """

    name: ClassVar[str] = "mul-to-matmul"

    def apply(self, graph: Graph) -> PassResult:
        check_test_graph(self, graph)
        chosen = [op for op in graph.ops if _fits(op)]
        # Several ops may read one variable, flattened alike or not.
        places = {op: _place(graph, op) for op in chosen if _columns(op) < _rank(op) - 1}
        for op, place in places.items():
            check_free(graph, op, _new_names(op, place))
        for op in chosen:
            if op in places:
                _flatten(graph, op, places[op])
            _convert(graph, op)
        return PassResult(bool(chosen))


def _fits(op: Op) -> bool:
    if op.type != "mul" or frozen_op(op) is not None:
        return False
    return bool(op.attr("y_num_col_dims", 1) == 1) and len(op.input("Y").shape) == 2


def _columns(op: Op) -> int:
    return int(op.attr("x_num_col_dims", 1))


def _rank(op: Op) -> int:
    return len(op.input("X").shape)


@dataclass(frozen=True)
class _Place:
    """`reader` is to read `source` flattened; `between`: the variables from there to the `mul`."""

    reader: Op
    source: Var
    between: tuple[Var, ...]


def _place(graph: Graph, op: Op) -> _Place:
    data = op.input("X")
    dequantize = data.producer
    if dequantize is not None and dequantize.type == "dequantize_linear" and only_reader(graph, data) is op:
        quantized = dequantize.input("X")
        quantize = quantized.producer
        if quantize is not None and only_reader(graph, quantized) is dequantize:
            return _Place(quantize, quantize.input("X"), (quantized, data))
    return _Place(op, data, ())


def _new_names(op: Op, place: _Place) -> list[str]:
    """Names of what is flattened, and of the variables between that and the op."""
    # By the product's own name: another product may flatten the same variable.
    flat = f"{op.output('Out').name}.{place.source.name}.flattened"
    return [flat, f"{flat}.quantized", f"{flat}.quantized.dequantized"][: 1 + len(place.between)]


def _flatten(graph: Graph, op: Op, place: _Place) -> None:
    columns, rank, shape = _columns(op), _rank(op), place.source.shape
    rest = shape[columns:]
    flat_shape = (*shape[:columns], -1 if -1 in rest else prod(rest))
    name, *between = _new_names(op, place)
    flat = graph.add_var(name, "float32", flat_shape)
    attrs = {"start_axis": columns, "stop_axis": rank - 1, "op_role": 0}
    inputs, outputs = {"X": place.source}, {"Out": flat}
    graph.add_op("flatten_contiguous_range", inputs, outputs, attrs, before=place.reader)
    graph.replace_input(place.reader, place.source, flat)
    for var, new_name in zip(place.between, between, strict=True):
        assert var.producer is not None
        new = graph.add_var(new_name, "float32", flat_shape)
        graph.set_output(var.producer, "Y", [new])
        graph.replace_uses(var, new)
        graph.remove_var(var)


def _convert(graph: Graph, op: Op) -> None:
    out = op.output("Out")
    inputs = {"X": op.input("X"), "Y": op.input("Y")}
    attrs = {"op_role": 0}
    if op.attr("op_namescope"):
        attrs["op_namescope"] = op.attr("op_namescope")
    graph.set_output(op, "Out", [])
    product = graph.add_op("matmul_v2", inputs, {"Out": out}, attrs, before=op)
    for name in ("trans_x", "trans_y"):
        graph.set_flag(product, name, False)
    remove_op(graph, op)
