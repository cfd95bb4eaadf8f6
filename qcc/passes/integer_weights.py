"""Weights alone stored as integers; the op computes in float.

Paddle's `WeightQuantization` writes

    y = conv2d(Input=x, Filter=w)  {quantize_weight_bits = 8, w_quant_scale = [...]}

`w` is INT8 or INT16, and `w_quant_scale` what one integer stands for, per output channel or for all. Paddle
has no kernels for it; Paddle Lite turns the integers into floats when it loads the file. Where only weights
are to be quantized, `paddle.quantization` writes

    w.dequantized = dequantize_linear(X=w, Scale=w@scale, ZeroPoint=w@zero_point)
    y = conv2d(Input=x, Filter=w.dequantized)

which Paddle runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qcc._paddle import VarType
from qcc.errors import PassError
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.numerics import dequantize_weight
from qcc.passes.quantizable import KINDS
from qcc.passes.rewrite import become_weight
from qcc.passes.round_trip import RoundTrip, half_quantized, linear_scale

WEIGHT_BITS = "quantize_weight_bits"
_INTEGERS = (VarType.INT8, VarType.INT16)


@dataclass(frozen=True)
class IntegerWeight:
    """An op and its weight; `axis` is that of the channels with a scale each, None for one scale."""

    op: Op
    weight: Var
    axis: int | None

    @property
    def bits(self) -> int:
        return int(self.op.attr(WEIGHT_BITS))

    @property
    def steps(self) -> np.ndarray:
        """What one integer stands for, float32."""
        return np.array(self.op.attr(_steps_attr(self.weight)), np.float32)

    def value(self, graph: Graph) -> np.ndarray:
        """The float32 values that the integers stand for.  Raises PassError."""
        q, steps = graph.weights[self.weight.name], self.steps
        if self.axis is None:
            return q.astype(np.float32) * steps
        if steps.size != q.shape[self.axis]:
            raise PassError(
                f"{self.op} has {steps.size} scales for its weight {self.weight.name!r}, which has"
                f" {q.shape[self.axis]} channels: the model is damaged; quantize it again."
            )
        shape = [-1 if dim == self.axis else 1 for dim in range(q.ndim)]
        return q.astype(np.float32) * steps.reshape(shape)


def integer_weight(op: Op) -> IntegerWeight | None:
    """The op as one whose weight alone is integers; None for every other op."""
    kind = KINDS.get(op.type)
    if kind is None or op.attr(WEIGHT_BITS) is None:
        return None
    for var in op.inputs.get(kind.weight, ()):
        steps = op.attr(_steps_attr(var))
        if var.persistable and var.producer is None and var.dtype in _INTEGERS and steps is not None:
            return IntegerWeight(op, var, None if len(steps) == 1 else kind.axis)
    return None


def integer_weights(graph: Graph) -> Iterator[IntegerWeight]:
    """All of a graph, in order."""
    for op in graph.ops:
        found = integer_weight(op)
        if found is not None:
            yield found


def dequantized_weight(op: Op) -> RoundTrip | None:
    """The dequantize_linear op in front of an op whose weight alone is integers; None for every other op."""
    half = half_quantized(op)
    return half if half is not None and half.shape == "stored" else None


def has_integer_weights(graph: Graph) -> bool:
    """True when an op reads a weight that alone is integers, in either way."""
    return any(integer_weight(op) is not None or dequantized_weight(op) is not None for op in graph.ops)


def to_floats(graph: Graph) -> bool:
    """Store such weights as the floats that they stand for.  Raises PassError before the first edit."""
    marked = list(integer_weights(graph))
    values = {one.weight: one.value(graph) for one in marked}
    dequantized = {trip.result: trip for op in graph.ops if (trip := dequantized_weight(op)) is not None}
    floats = {result: dequantize_stored(graph, trip) for result, trip in dequantized.items()}
    read = dict.fromkeys(var for trip in dequantized.values() for var in trip.ops[0].all_inputs())
    for trip in dequantized.values():
        graph.remove_op(trip.ops[0])
    for var, value in (values | floats).items():
        become_weight(graph, var, value)
    for one in marked:
        drop_marks(graph, one.op)
    for var in read:
        if not var.consumers and var.name not in (*graph.feeds, *graph.fetches):
            graph.remove_var(var)
    return bool(marked or dequantized)


def dequantize_stored(graph: Graph, trip: RoundTrip) -> np.ndarray:
    """The floats that a weight behind a dequantize_linear op stands for.  Raises PassError."""
    scale, quantizer = linear_scale(graph, trip), trip.quantizer
    return dequantize_weight(graph.weights[trip.source.name], scale, quantizer.bits, quantizer.axis)


def is_marked_float(op: Op) -> bool:
    """True for an op that has the attributes, but a float weight: the model that the tool makes for tests."""
    return op.type in KINDS and op.attr(WEIGHT_BITS) is not None and integer_weight(op) is None


def drop_marks(graph: Graph, op: Op) -> None:
    """Take the attributes off, so that nobody multiplies floats by the scale once more."""
    for name in (WEIGHT_BITS, "quantization_type", *map(_steps_attr, op.all_inputs())):
        graph.remove_attr(op, name)


def _steps_attr(weight: Var) -> str:
    return f"{weight.name}_quant_scale"
