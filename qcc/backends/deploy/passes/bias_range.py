"""bias-range: scales of weights with which each bias is an integer of 32 bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.numerics import max_int
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.batch_norm import added_per_channel
from qcc.passes.quantizable import Operands
from qcc.passes.rewrite import CONVOLUTIONS, free_prefix, is_weight, only_reader, set_weight
from qcc.passes.round_trip import RoundTrip, RoundTrips, linear_attrs, linear_scale, round_trips

# One bit less than there is: the sums of products need room, too.
_MOST = 2.0**30

# Two such integers beside each other are clipped nowhere (see `unclipped-sums`).
_UNCLIPPED = 64

# How what a weight's dequantize op reads and writes is called, behind the weight's name.
_ENDINGS = {"X": "", "Scale": "@scale", "ZeroPoint": "@zero_point"}
_RESULT = ".dequantized"


@options(frozen=True, config=OPTIONS)
class BiasRange(EnginePass):
    """Widen the scales of channels that are so small beside their bias that it exceeds 32 bits.

    Before, with x@scale = 1.0, w = [[3, 5]] and w@scale = [1e-9]:

        c = conv2d(Input=x.dequantized, Filter=w.dequantized)
        y = elementwise_add(X=c, Y=[0.25]) {axis=1}

    After, with w = [[0, 0]] and w@scale = [3.8e-6].

    ONNX Runtime adds a bias, of convolutions and of products of matrices, as a multiple of the product of
    both steps, and clips it to 32 bits. Of such a channel nothing but the bias is seen. A scale for all
    channels becomes one for each, and a weight that other ops read as well stays: this op gets its own.

    The steps of weights of few bits are large, and a bias would be rounded to them: such integers are
    multiplied, up to 64, and their scale is divided by the same factor, which changes nothing else.
    """

    name: ClassVar[str] = "bias-range"

    def apply(self, graph: Graph) -> PassResult:
        found = [step for op in graph.ops if (step := _plan(graph, op)) is not None]
        for step in found:
            _widen(graph, step)
        return PassResult(bool(found))


@dataclass(frozen=True)
class _Step:
    """An op with a bias, and what the scales of its weight are multiplied by: [channels]."""

    trips: RoundTrips
    factors: np.ndarray


def _plan(graph: Graph, op: Op) -> _Step | None:
    trips = round_trips(op)
    if trips is None or not trips.is_stored or not (op.type in CONVOLUTIONS or _is_of_matrices(trips)):
        return None
    bias = _bias(graph, trips.operands)
    if bias is None:
        return None
    steps = _step(graph, trips.data) * _step(graph, trips.weight)
    largest = int(np.abs(graph.weights[trips.weight.source.name].astype(np.int32)).max(initial=1))
    factors = np.maximum(np.abs(bias) / (steps * _MOST), 1 / max(_UNCLIPPED // largest, 1))
    return _Step(trips, factors) if np.any(factors != 1.0) else None


def _is_of_matrices(trips: RoundTrips) -> bool:
    found = trips.operands
    return not found.swapped and len(found.data.shape) == len(found.weight.shape) == 2


def _step(graph: Graph, trip: RoundTrip) -> np.ndarray:
    return linear_scale(graph, trip).astype(np.float64) / max_int(trip.quantizer.bits)


def _bias(graph: Graph, found: Operands) -> np.ndarray | None:
    """What is added to each channel of an op's output: float64 [channels]; None where that is no weight."""
    add, channels = only_reader(graph, found.output), found.weight.shape[found.channel_axis]
    if add is None or add.type != "elementwise_add" or add.input("X") is not found.output:
        return None
    if found.op.type in CONVOLUTIONS:
        value = added_per_channel(graph, add, channels)
    else:
        value = _added_per_column(graph, add, channels)
    return None if value is None else value.astype(np.float64)


def _added_per_column(graph: Graph, add: Op, columns: int) -> np.ndarray | None:
    operand = add.input("Y")
    if not is_weight(graph, operand):
        return None
    value = graph.weights[operand.name].reshape(-1)
    if value.size == 1:
        return np.full(columns, value[0])
    aligned = add.attr("axis", -1) in (-1, 2 - len(operand.shape))
    return value if aligned and operand.shape[-1] == value.size == columns else None


def _widen(graph: Graph, step: _Step) -> None:
    trips, axis = step.trips, step.trips.operands.channel_axis
    source = trips.weight.source
    shape = [-1 if dim == axis else 1 for dim in range(len(source.shape))]
    integers = np.rint(graph.weights[source.name] / step.factors.reshape(shape)).astype(np.int8)
    # A little more, so that rounding to float32 leaves nothing to be widened.
    grown = step.factors * np.where(step.factors > 1.0, 1.000001, 1.0)
    scales = (linear_scale(graph, trips.weight) * grown).astype(np.float32)
    values = {"X": integers, "Scale": scales, "ZeroPoint": np.zeros(scales.shape, np.int32)}
    name = free_prefix(graph, f"{trips.operands.output.name}.weight", [*_ENDINGS.values(), _RESULT])
    dequantize = _own_dequantize(graph, trips, f"{name}{_RESULT}")
    for slot, value in values.items():
        set_weight(graph, dequantize, slot, value, f"{name}{_ENDINGS[slot]}")
    graph.set_attr(dequantize, "quant_axis", axis)


def _own_dequantize(graph: Graph, trips: RoundTrips, name: str) -> Op:
    """The dequantize op of the weight; a copy, which writes `name`, where others read what it writes."""
    (present,), op = trips.weight.ops, trips.op
    if only_reader(graph, trips.weight.result) is op:
        return present
    own = graph.add_var_like(name, trips.weight.result)
    slots = {slot: present.input(slot) for slot in _ENDINGS}
    attrs = linear_attrs(trips.weight.quantizer.bits, -1)
    copy = graph.add_op("dequantize_linear", slots, {"Y": own}, attrs, before=op)
    graph.set_input(op, trips.operands.weight_slot, [own])
    return copy
