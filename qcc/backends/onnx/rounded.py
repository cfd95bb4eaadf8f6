"""What is rounded in a graph in QDQ form, taken out of it: the float graph, and what was rounded where."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qcc.errors import PassError
from qcc.ir.graph import Graph
from qcc.numerics import max_int
from qcc.passes.integer_weights import dequantize_stored
from qcc.passes.quantizable import multiplies_by
from qcc.passes.rewrite import become_weight, remove_op
from qcc.passes.round_trip import RoundTrip, is_observer, linear_scale, round_trip


@dataclass(frozen=True)
class RoundedActivation:
    """`step`: what one integer stands for, float32 scalar; `bits`: of a symmetric quantization, the sign
    among them; `integers`: the name of the variable that holds them; `is_right`: whether a product of
    matrices reads it as its right operand."""

    integers: str
    step: np.ndarray
    bits: int
    is_right: bool


@dataclass(frozen=True)
class RoundedWeight:
    """`integers`: INT8; `steps`: what one stands for, float32 [channels] along `axis`, or a scalar where that
    is None; `name`: of the variable that holds the integers."""

    name: str
    integers: np.ndarray
    steps: np.ndarray
    axis: int | None


Rounded = RoundedActivation | RoundedWeight


def take_out(graph: Graph) -> tuple[Graph, dict[str, Rounded]]:
    """A copy of a graph in which nothing is rounded, and what was, by the name of the rounded variable.

    Before:

        x.quantized = quantize_linear(X=x, Scale=x@scale)
        x.dequantized = dequantize_linear(X=x.quantized, Scale=x@scale)
        w.dequantized = dequantize_linear(X=w, Scale=w@scale)
        y = conv2d(Input=x.dequantized, Filter=w.dequantized)

    After, `w.dequantized` being a float weight:

        x.dequantized = assign(X=x)
        y = conv2d(Input=x.dequantized, Filter=w.dequantized)

    Raises PassError for quantize and dequantize ops that are no such round trip.
    """
    left = graph.copy()
    found: dict[str, Rounded] = {}
    for op in left.ops:
        if op.type != "dequantize_linear":
            continue
        trip = round_trip(op.output("Y"))
        if trip is None or is_observer(op) or trip.shape not in ("linear", "stored"):
            raise PassError(f"{op} is no part of a quantization that ONNX can be given.")
        if trip.shape == "stored":
            found[trip.result.name] = _weight(left, trip)
        else:
            found[trip.result.name] = _activation(left, trip)
    for op in left.ops:
        if op.type == "quantize_linear" and not op.output("Y").consumers:
            remove_op(left, op)
    rest = [op for op in left.ops if "quantize" in op.type]
    if rest:
        raise PassError(f"{rest[0]} is no part of a quantization that ONNX can be given.")
    return left, found


def _activation(graph: Graph, trip: RoundTrip) -> RoundedActivation:
    (scale,), quantizer = linear_scale(graph, trip), trip.quantizer
    quantize, dequantize = trip.ops
    is_right = multiplies_by(trip.result)
    remove_op(graph, dequantize, keep=trip.result)
    attrs = {"op_role": 0}
    graph.add_op("assign", {"X": trip.source}, {"Out": trip.result}, attrs, after=quantize)
    step = np.array(scale / np.float32(max_int(quantizer.bits)), np.float32)
    return RoundedActivation(quantize.output("Y").name, step, quantizer.bits, is_right)


def _weight(graph: Graph, trip: RoundTrip) -> RoundedWeight:
    quantizer = trip.quantizer
    if quantizer.bits > 8:
        raise PassError(f"the weight {trip.source.name!r} has {quantizer.bits} bits, and ONNX takes 8.")
    steps = linear_scale(graph, trip) / np.float32(max_int(quantizer.bits))
    value = dequantize_stored(graph, trip)
    integers = graph.weights[trip.source.name]
    become_weight(graph, trip.result, value)
    axis = quantizer.axis
    return RoundedWeight(trip.source.name, integers, steps if axis is not None else steps.reshape(()), axis)
