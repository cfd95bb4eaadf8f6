"""odd-kernels: convolutions whose kernel and stride are of even width get a column of zeros."""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd
from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.passes.base import OPTIONS, PassResult, check_free
from qcc.passes.rewrite import is_weight, set_weight
from qcc.passes.round_trip import RoundTrips, round_trips
from qcc.passes.window import Window

_BLOCK = 64
"""Channels that a tile of AMX takes at a time."""


@options(frozen=True, config=OPTIONS)
class OddKernels(EnginePass):
    """Widen quantized kernels by a column of zeros, where oneDNN computes them wrongly on AMX.

    Before, with w of int8[320, 160, 2, 2]:

        w.dequantized = dequantize_linear(X=w, Scale=w@scale) {quant_axis=0}
        y = conv2d(Input=x.dequantized, Filter=w.dequantized) {paddings=[0, 0], strides=[2, 2]}

    After, with w of int8[320, 160, 2, 3]:

        w.dequantized.odd = dequantize_linear(X=w, Scale=w@scale) {quant_axis=0}
        y = conv2d(Input=x.dequantized, Filter=w.dequantized.odd) {paddings=[0, 0, 0, 1], strides=[2, 2]}

    Where the widths of kernel and stride have a common divisor d and nothing is padded, oneDNN's brgconv for
    AMX takes d columns of an image for one of d times the channels. It goes wrong where 64 divides these, but
    not the channels themselves, and they are more than 64. Seen on oneDNN 3.2.1 of Paddle 2.6, and on that of
    OpenVINO 2026.4, there with fewer than 64 channels alone (`below`).
    """

    name: ClassVar[str] = "odd-kernels"

    below: int | None = None

    def apply(self, graph: Graph) -> PassResult:
        found = list(self._concerned(graph))
        for trips in found:
            check_free(graph, trips[0].op, [f"{trips[0].weight.result.name}.odd"])
        for trips in found:
            _widen(graph, trips)
        return PassResult(bool(found))

    def _concerned(self, graph: Graph) -> Iterator[list[RoundTrips]]:
        """For each weight the convolutions that read it, where all of them go wrong."""
        for op in graph.ops:
            if op.type != "dequantize_linear" or not is_weight(graph, op.input("X")):
                continue
            readers = [_read_by(reader) for reader in op.output("Y").consumers]
            wrong = [one for one in readers if one is not None and self._goes_wrong(one)]
            if wrong and len(wrong) == len(readers):
                yield wrong

    def _goes_wrong(self, trips: RoundTrips) -> bool:
        channels = trips.weight.source.shape[1]
        if self.below is not None and channels >= self.below:
            return False
        window = _window(trips)
        width, (kernel, stride) = trips.operands.data.shape[3], (window.kernel[1], window.strides[1])
        together = channels * gcd(kernel, stride)
        if together % _BLOCK or not channels % _BLOCK or together <= _BLOCK:
            return False
        whole = width < 0 or (width - kernel) % stride == 0
        return whole and window.dilations[1] == 1 and not any(window.padding[1])


def _read_by(op: Op) -> RoundTrips | None:
    """A convolution without groups and its stored weight; None for every other op."""
    if op.type != "conv2d" or int(op.attr("groups", 1)) != 1:
        return None
    trips = round_trips(op)
    return trips if trips is not None and trips.is_stored else None


def _window(trips: RoundTrips) -> Window:
    return Window.of(trips.op, trips.weight.source.shape[2:], trips.operands.data.shape[2:])


def _widen(graph: Graph, readers: list[RoundTrips]) -> None:
    trip = readers[0].weight
    (dequantize,) = trip.ops
    value = np.pad(graph.weights[trip.source.name], ((0, 0), (0, 0), (0, 0), (0, 1)))
    set_weight(graph, dequantize, "X", value, f"{trip.source.name}.odd")
    wide = graph.add_var(f"{trip.result.name}.odd", "float32", value.shape)
    graph.set_output(dequantize, "Y", [wide])
    for trips in readers:
        (top, bottom), (left, right) = _window(trips).padding
        graph.set_attr(trips.op, "paddings", [top, bottom, left, right + 1])
        graph.set_attr(trips.op, "padding_algorithm", "EXPLICIT")
    graph.replace_uses(trip.result, wide)
    graph.remove_var(trip.result)
