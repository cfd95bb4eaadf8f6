"""bias-range: scales of weights with which each bias is an integer of 32 bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.backends.deploy.points import is_quantized_convolution
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.numerics import max_int
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.batch_norm import added_per_channel
from qcc.passes.quantizable import KINDS
from qcc.passes.rewrite import only_reader
from qcc.passes.round_trip import RoundTrips, linear_scale, round_trips

# One bit less than there is: the sums of products need room, too.
_MOST = 2.0**30


@options(frozen=True, config=OPTIONS)
class BiasRange(EnginePass):
    """Widen the scales of channels that are so small beside their bias that it exceeds 32 bits.

    Before, with x@scale = 1.0, w = [[3, 5]] and w@scale = [1e-9]:

        c = conv2d(Input=x.dequantized, Filter=w.dequantized)
        y = elementwise_add(X=c, Y=[0.25]) {axis=1}

    After, with w = [[0, 0]] and w@scale = [3.8e-6].

    ONNX Runtime adds a bias as a multiple of the product of both steps, and clips it to 32 bits. Of such a
    channel nothing but the bias is seen.
    """

    name: ClassVar[str] = "bias-range"

    def apply(self, graph: Graph) -> PassResult:
        found = [step for op in graph.ops if (step := _plan(graph, op)) is not None]
        for step in found:
            _widen(graph, step)
        return PassResult(bool(found))


@dataclass(frozen=True)
class _Step:
    """A convolution, and by how much the scales of its weight have to grow: [channels]."""

    trips: RoundTrips
    factors: np.ndarray


def _plan(graph: Graph, op: Op) -> _Step | None:
    if not is_quantized_convolution(op):
        return None
    trips = round_trips(op)
    assert trips is not None
    axis, source = trips.weight.quantizer.axis, trips.weight.source
    if axis is None or len(source.consumers) != 1 or only_reader(graph, trips.weight.result) is not op:
        return None
    bias = _bias(graph, op.output(KINDS[op.type].output), source.shape[axis])
    if bias is None:
        return None
    steps = _step(graph, trips, weight=False) * _step(graph, trips, weight=True)
    factors = np.maximum(np.abs(bias) / (steps * _MOST), 1.0)
    return _Step(trips, factors) if np.any(factors > 1.0) else None


def _step(graph: Graph, trips: RoundTrips, *, weight: bool) -> np.ndarray:
    trip = trips.weight if weight else trips.data
    return linear_scale(graph, trip).astype(np.float64) / max_int(trip.quantizer.bits)


def _bias(graph: Graph, out: Var, channels: int) -> np.ndarray | None:
    add = only_reader(graph, out)
    if add is None or add.type != "elementwise_add" or add.input("X") is not out:
        return None
    value = added_per_channel(graph, add, channels)
    return None if value is None else value.astype(np.float64)


def _widen(graph: Graph, step: _Step) -> None:
    trip = step.trips.weight
    axis, name = trip.quantizer.axis, trip.source.name
    shape = [-1 if dim == axis else 1 for dim in range(len(trip.source.shape))]
    integers = np.rint(graph.weights[name] / step.factors.reshape(shape))
    graph.weights[name] = integers.astype(np.int8)
    scale = trip.ops[0].input("Scale").name
    # A little more, so that rounding to float32 leaves nothing to be widened.
    grown = np.where(step.factors > 1.0, step.factors * 1.000001, 1.0)
    graph.weights[scale] = (graph.weights[scale] * grown).astype(np.float32)
