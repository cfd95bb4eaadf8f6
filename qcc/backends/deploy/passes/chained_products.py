"""chained-products: products behind products without a bias as convolutions."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.base import OPTIONS, PassResult, check_free
from qcc.passes.quantizable import MATRIX_OPS
from qcc.passes.rewrite import adds_a_bias, remove_op
from qcc.passes.round_trip import RoundTrips, linear_attrs, round_trips

_WIDEST = 256
"""Products with more columns OpenVINO leaves alone."""


@options(frozen=True, config=OPTIONS)
class ChainedProducts(EnginePass):
    """Write a quantized product of matrices as a convolution, where another product stands in front of it
    that has no bias, with nothing between them but what is computed element by element.

    Before, with w of int8[24, 10]:

        y = matmul_v2(X=v.dequantized, Y=u.dequantized)
        x = relu(X=y)
        x.dequantized = dequantize_linear(X=x.quantized, ...)
        w.dequantized = dequantize_linear(X=w, ...) {quant_axis=1}
        z = matmul_v2(X=x.dequantized, Y=w.dequantized)

    After, with z.filter of int8[10, 24, 1, 1]:

        y = matmul_v2(X=v.dequantized, Y=u.dequantized)
        x = relu(X=y)
        x.dequantized = dequantize_linear(X=x.quantized, ...)
        z.pixels = unsqueeze2(X=x.dequantized) {axes=[2, 3]}
        z.filter.dequantized = dequantize_linear(X=z.filter, ...) {quant_axis=0}
        z.sums = conv2d(Filter=z.filter.dequantized, Input=z.pixels)
        z = squeeze2(X=z.sums) {axes=[2, 3]}

    On processors with AVX-512 OpenVINO 2026.4 makes one kernel of products in a row, of at most 256 columns
    (`TokenizeMLPSeqSnippets` of its snippets). With integers, a batch of known size, and no bias behind one
    that others follow, or one of zeros, that reads memory that nobody has written.
    """

    name: ClassVar[str] = "chained-products"

    def apply(self, graph: Graph) -> PassResult:
        chosen = [trips for op in graph.ops if (trips := _chained(graph, op)) is not None]
        for trips in chosen:
            check_free(graph, trips.op, _names(trips))
        # What one convolution of a file says, all say.
        marked = ("conv2d", "is_test") in graph.shell.stored_attrs or any(
            op.attr("is_test", False) for op in graph.ops if op.type == "conv2d"
        )
        for trips in chosen:
            _replace(graph, trips, marked=marked)
        return PassResult(bool(chosen))


def _names(trips: RoundTrips) -> list[str]:
    out = trips.operands.output.name
    return [f"{out}.pixels", f"{out}.filter", f"{out}.filter.dequantized", f"{out}.sums"]


def _chained(graph: Graph, op: Op) -> RoundTrips | None:
    """A quantized product of few columns behind another one without a bias; None for every other op."""
    if op.type == "mul" or not _has_few_columns(op) or _is_turned(op):
        return None
    trips = round_trips(op)
    if trips is None or not trips.is_stored or trips.operands.swapped:
        return None
    if len(trips.weight.source.shape) != 2:
        return None
    return trips if _is_behind_a_product(graph, trips.operands.data) else None


def _is_turned(op: Op) -> bool:
    return any(op.attr(name, False) for name in ("trans_x", "transpose_X")) or op.attr("alpha", 1.0) != 1.0


def _has_few_columns(op: Op) -> bool:
    if op.type not in MATRIX_OPS:
        return False
    shape = op.output("Out").shape
    return len(shape) == 2 and 0 < shape[1] <= _WIDEST


def _is_behind_a_product(graph: Graph, var: Var) -> bool:
    """Whether what is computed element by element of the output of a product without a bias leads to a
    variable."""
    waiting, seen = [var], set[Var]()
    while waiting:
        var = waiting.pop()
        if var in seen or var.producer is None:
            continue
        seen.add(var)
        if _has_few_columns(var.producer):
            if not adds_a_bias(graph, var.producer.output("Out")):
                return True
        else:
            waiting += [read for read in var.producer.all_inputs() if read.shape == var.shape]
    return False


def _replace(graph: Graph, trips: RoundTrips, *, marked: bool) -> None:
    op, trip, result = trips.op, trips.weight, trips.operands.output
    pixels, filters, dequantized, sums = _names(trips)
    axis, quantizer = trips.operands.channel_axis, trip.quantizer
    value = graph.weights[trip.source.name]
    value = np.ascontiguousarray(value if axis == 0 else value.T)[:, :, np.newaxis, np.newaxis]
    (rows, columns), given = result.shape, op.input(trips.operands.data_slot)
    attrs = linear_attrs(quantizer.bits, -1 if quantizer.axis is None else int(quantizer.axis != axis))
    inputs = {slot: trip.ops[0].input(slot) for slot in ("Scale", "ZeroPoint")}
    stored = graph.add_var(filters, str(value.dtype), value.shape, value)
    weight = graph.add_var(dequantized, "float32", value.shape)
    graph.add_op("dequantize_linear", {"X": stored, **inputs}, {"Y": weight}, attrs, before=op)
    image = graph.add_var(pixels, "float32", (rows, value.shape[1], 1, 1))
    wide = {"axes": [2, 3], "op_role": 0}
    graph.add_op("unsqueeze2", {"X": given}, {"Out": image}, wide, before=op)
    made = graph.add_var(sums, "float32", (rows, columns, 1, 1))
    attrs = {"strides": [1, 1], "paddings": [0, 0], "dilations": [1, 1], "groups": 1, "op_role": 0}
    attrs |= {"data_format": "NCHW", "padding_algorithm": "EXPLICIT"}
    if op.attr("op_namescope"):
        attrs["op_namescope"] = op.attr("op_namescope")
    conv = graph.add_op("conv2d", {"Input": image, "Filter": weight}, {"Output": made}, attrs, before=op)
    if marked:
        graph.set_flag(conv, "is_test", True)
    remove_op(graph, op, keep=result)
    graph.add_op("squeeze2", {"X": made}, {"Out": result}, wide, after=conv)
    if not trip.result.consumers and trip.result.producer is not None:
        remove_op(graph, trip.result.producer)
