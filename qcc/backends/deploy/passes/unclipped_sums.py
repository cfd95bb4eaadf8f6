"""unclipped-sums: weights of which no two neighbours exceed 16 bits, whatever the activations are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.backends.deploy.passes.unsigned_activations import Grid
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.round_trip import RoundTrips, round_trips
from qcc.passes.zero_points import UNSIGNED

_INT16, _UINT8 = 32767, 255


@options(frozen=True, config=OPTIONS)
class UnclippedSums(EnginePass):
    """Shrink the integers of those channels whose sums an x86 processor without VNNI could clip.

    Before, with w = [[127, 100, 3, 5], [127, 1, -100, 2]] and w@scale = [1.0, 1.0]:

        w.dequantized = dequantize_linear(X=w, Scale=w@scale) {quant_axis=0}
        y = conv2d(Input=x.dequantized, Filter=w.dequantized)

    After, with w = [[72, 56, 2, 3], [127, 1, -100, 2]] and w@scale = [1.77, 1.0].

    Without VNNI, kernels add the products of two neighbouring weights with activations from 0 to 255 (signed
    ones are shifted) in 16 bits, and clip: 255 * (w[2k] + w[2k+1]). So in each channel the sum of two such
    weights of one sign may be 128 at most; where it is more, the channel gets a larger scale, and loses as
    much of its 8 bits as it must: less than one. Neighbours are those along the input channels, and along the
    kernel, since engines differ in the order.

    Depthwise convolutions add no pairs, unless they make several channels of each: that is no work for the
    kernels of depthwise ones. With grid=trained (see `unsigned-activations`), activations that
    cannot be negative go up to 127 where nothing was clipped in training, and no pair of weights exceeds 16
    bits.
    """

    name: ClassVar[str] = "unclipped-sums"

    grid: Grid = "trained"

    def apply(self, graph: Graph) -> PassResult:
        wanted: dict[Var, _Weight] = {}
        for op in graph.ops:
            trips = round_trips(op)
            if trips is not None and trips.is_stored and self._adds_pairs(trips):
                wanted.setdefault(trips.weight.source, _Weight.of(trips))
        shrunk = [weight for weight in wanted.values() if _shrink(graph, weight)]
        return PassResult(bool(shrunk))

    def _adds_pairs(self, trips: RoundTrips) -> bool:
        if self.grid == "trained" and trips.data.quantizer.bits == UNSIGNED:
            return False
        groups = int(trips.op.attr("groups", 1))
        return groups == 1 or trips.weight.source.shape[:2] != (groups, 1)


@dataclass(frozen=True)
class _Weight:
    """The dequantize op of a weight, its axis with a scale each, and that of the output channels."""

    dequantize: Op
    axis: int | None
    channels: int

    @staticmethod
    def of(trips: RoundTrips) -> _Weight:
        return _Weight(trips.weight.ops[0], trips.weight.quantizer.axis, trips.operands.channel_axis)


def _shrink(graph: Graph, weight: _Weight) -> bool:
    """Shrink the channels that need it; False where none does."""
    integers_name = weight.dequantize.input("X").name
    integers = graph.weights[integers_name].astype(np.float64)
    rows = np.moveaxis(integers, weight.channels, 0)
    scales = np.ones(rows.shape[0] if weight.axis is not None else 1)
    most = _INT16 // _UINT8
    while True:
        shrunk = np.rint(rows / scales.reshape(-1, *[1] * (rows.ndim - 1)))
        pairs = largest_pairs(shrunk)
        pairs = pairs if weight.axis is not None else pairs.max(keepdims=True)
        if np.all(pairs <= most):
            break
        # Rounding may bring a pair back above the limit by one.
        scales = np.where(pairs > most, np.maximum(scales * pairs / most, scales * 1.001), scales)
    if np.all(scales == 1):
        return False
    graph.weights[integers_name] = np.moveaxis(shrunk, 0, weight.channels).astype(np.int8)
    name = weight.dequantize.input("Scale").name
    graph.weights[name] = (graph.weights[name] * scales).astype(np.float32)
    return True


def largest_pairs(rows: np.ndarray) -> np.ndarray:
    """The largest sum, of one sign, of two neighbouring integers in each channel: [channels].

    `rows`: integers [channels, inputs, kernel...]; pairs are those of even and next odd place along the
    inputs, and along all of a channel, the inputs first or last.
    """
    channels = rows.shape[0]
    last = np.moveaxis(rows, 1, -1)
    orders = (last.reshape(-1, last.shape[-1]), last.reshape(channels, -1), rows.reshape(channels, -1))
    found = np.zeros(channels)
    for order in orders:
        padded = np.pad(order, ((0, 0), (0, order.shape[1] % 2)))
        for part in (np.maximum(padded, 0), np.maximum(-padded, 0)):
            sums = (part[:, 0::2] + part[:, 1::2]).max(axis=1, initial=0)
            found = np.maximum(found, sums.reshape(channels, -1).max(axis=1, initial=0))
    return found
