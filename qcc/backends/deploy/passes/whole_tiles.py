"""whole-tiles: as many output channels as fill the tiles of ONNX Runtime's kernels for AMX."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.base import OPTIONS, PassResult, check_free
from qcc.passes.fake_quant import LINEAR_OPS
from qcc.passes.quantizable import KINDS
from qcc.passes.rewrite import CONVOLUTIONS, RECTIFIERS, only_reader, set_weight, slot_of
from qcc.passes.round_trip import RoundTrip, RoundTrips, round_trips

_TILE = 32


@options(frozen=True, config=OPTIONS)
class WholeTiles(EnginePass):
    """Widen quantized ops by channels of zeros, and cut these off behind, where ONNX Runtime 1.21 to 1.24
    computes the last channels of each 32nd row from memory that nobody has written.

    Before, with w of int8[64, 24] and x of [-1, 40, 64]:

        c = matmul_v2(X=x.dequantized, Y=w.dequantized)
        d = elementwise_add(X=c, Y=b) {axis=-1}

    After, with w of int8[64, 32], and b of 32 numbers:

        c.wide = matmul_v2(X=x.dequantized, Y=w.dequantized.wide)
        d.wide = elementwise_add(X=c.wide, Y=b) {axis=-1}
        d = slice(Input=d.wide) {axes=[2], ends=[24], starts=[0]}

    Its kernels for AMX take tiles of 32 rows and 32 columns, and go wrong where the last tile has 17 to 31
    columns (microsoft/onnxruntime, pull request 27671, which mends it in 1.25). Products are concerned with
    any number of tiles; convolutions of up to 32 channels a group, and only those that run as products: with
    groups, or with numbers of channels that 4 does not divide.
    """

    name: ClassVar[str] = "whole-tiles"

    def apply(self, graph: Graph) -> PassResult:
        found = list(_plans(graph))
        for one in found:
            names = [f"{var.name}.wide" for step in one.ops for var in step.written]
            check_free(graph, one.ops[0].trips.op, [f"{one.trip.result.name}.wide", *names])
        for one in found:
            _widen_weight(graph, one)
            for step in one.ops:
                _widen(graph, step)
        return PassResult(bool(found))


@dataclass(frozen=True)
class _Step:
    """A quantized op, and the ops behind that compute each of its channels by itself."""

    trips: RoundTrips
    behind: tuple[Op, ...]

    @property
    def groups(self) -> int:
        return _groups(self.trips.op)

    @property
    def dim(self) -> int:
        """Where the channels stand in the output."""
        return self.trips.operands.output_channel_dim

    @property
    def channels(self) -> int:
        return self.trips.weight.source.shape[self.trips.operands.channel_axis]

    @property
    def written(self) -> tuple[Var, ...]:
        return (self.trips.operands.output, *(_result(op) for op in self.behind))


@dataclass(frozen=True)
class _Plan:
    """A weight, and all ops that read it."""

    trip: RoundTrip
    ops: tuple[_Step, ...]


def _plans(graph: Graph) -> Iterator[_Plan]:
    seen: set[Var] = set()
    for op in graph.ops:
        if op.type not in KINDS:
            continue
        trips = round_trips(op)
        if trips is None or not trips.is_stored or trips.weight.result in seen or not _goes_wrong(trips):
            continue
        trip = trips.weight
        seen.add(trip.result)
        readers = [round_trips(reader) for reader in trip.result.consumers if reader.type in KINDS]
        own = [found for found in readers if found is not None and found.weight.result is trip.result]
        alike = {(found.operands.channel_axis, _groups(found.op)) for found in own}
        # A weight of several ops can be widened where it means the same to all of them.
        if len(own) == len(trip.result.consumers) and len(alike) == 1:
            yield _Plan(trip, tuple(_Step(found, tuple(_behind(graph, found))) for found in own))


def _goes_wrong(trips: RoundTrips) -> bool:
    op, operands = trips.op, trips.operands
    if operands.swapped or len(operands.output.shape) < 2:
        return False
    channels, groups = trips.weight.source.shape[operands.channel_axis], _groups(op)
    each = channels // groups
    rows = [size for dim, size in enumerate(operands.output.shape) if dim != operands.output_channel_dim]
    if op.type in CONVOLUTIONS:
        # Images are computed one after the other; others run in kernels that are right.
        rows = rows[1:]
        inputs = operands.data.shape[operands.output_channel_dim]
        concerned = each < _TILE and (groups > 1 or inputs % 4 != 0 or channels % 4 != 0)
    else:
        concerned = len(trips.weight.source.shape) == 2
    return concerned and each % _TILE > _TILE // 2 and (min(rows) < 0 or prod(rows) >= _TILE)


def _groups(op: Op) -> int:
    return int(op.attr("groups", 1)) if op.type in CONVOLUTIONS else 1


def _behind(graph: Graph, trips: RoundTrips) -> Iterator[Op]:
    """Bias, rectifier and the pair of Q and DQ, as far as each alone reads what is in front: what an engine
    computes together with the op."""
    var = trips.operands.output
    dim, channels = trips.operands.output_channel_dim, trips.weight.source.shape[trips.operands.channel_axis]
    while (op := only_reader(graph, var)) is not None:
        if op.type == "elementwise_add":
            if op.input("X") is not var or _bias_axis(graph, op, dim, channels) is None:
                return
        elif op.type in LINEAR_OPS:
            if op.input("X") is not var or int(op.attr("quant_axis", -1)) >= 0:
                return
        elif op.type not in RECTIFIERS:
            return
        yield op
        if op.type == "dequantize_linear":
            return
        var = _result(op)


def _result(op: Op) -> Var:
    return op.output("Y" if op.type in LINEAR_OPS else "Out")


def _bias_axis(graph: Graph, add: Op, dim: int, channels: int) -> int | None:
    """The axis of what is added along the channels; None where it is no weight of one number for each."""
    bias = add.input("Y")
    if bias.producer is not None or bias.name not in graph.weights:
        return None
    shape, rank, axis = graph.weights[bias.name].shape, len(add.output("Out").shape), add.attr("axis", -1)
    found = dim - (axis if axis >= 0 else rank - len(shape))
    fits = 0 <= found < len(shape) and prod(shape) == shape[found] == channels
    return int(found) if fits else None


def _wide(channels: int, groups: int) -> int:
    each = channels // groups
    return groups * (each + -each % _TILE)


def _widened(value: np.ndarray, axis: int, groups: int, fill: float = 0) -> np.ndarray:
    """A value with more channels along an axis, at the end of each group."""
    before, after = value.shape[:axis], value.shape[axis + 1 :]
    each = value.shape[axis] // groups
    more = _wide(value.shape[axis], groups) // groups - each
    parts = value.reshape(*before, groups, each, *after)
    at = len(before) + 1
    pads = [(0, more) if number == at else (0, 0) for number in range(parts.ndim)]
    return np.pad(parts, pads, constant_values=fill).reshape(*before, -1, *after)


def _widen_weight(graph: Graph, plan: _Plan) -> None:
    first = plan.ops[0]
    axis, groups = first.trips.operands.channel_axis, first.groups
    (dequantize,) = plan.trip.ops
    result = plan.trip.result
    values = {"X": (axis, 0.0)}
    if plan.trip.quantizer.axis == axis:
        # A scale must not be zero.
        values |= {"Scale": (0, 1.0), "ZeroPoint": (0, 0.0)}
    for slot, (along, fill) in values.items():
        source = dequantize.input(slot)
        value = _widened(graph.weights[source.name], along, groups, fill)
        set_weight(graph, dequantize, slot, value, f"{result.name}.{slot}")
    shape = list(result.shape)
    shape[axis] = _wide(shape[axis], groups)
    wide = graph.add_var(f"{result.name}.wide", "float32", shape)
    graph.set_output(dequantize, "Y", [wide])
    graph.replace_uses(result, wide)
    graph.remove_var(result)


def _widen(graph: Graph, step: _Step) -> None:
    channels, last = step.channels, step.written[-1]
    ops = (step.trips.op, *step.behind)
    for op, var in zip(ops, step.written, strict=True):
        shape = list(var.shape)
        shape[step.dim] = _wide(channels, step.groups)
        wide = graph.add_var(f"{var.name}.wide", "float32", shape)
        graph.set_output(op, slot_of(op, var), [wide])
        if op.type == "elementwise_add":
            axis = _bias_axis(graph, op, step.dim, channels)
            assert axis is not None
            bias = op.input("Y")
            value = _widened(graph.weights[bias.name], axis, step.groups)
            set_weight(graph, op, "Y", value, f"{var.name}.bias")
        if var is not last:
            graph.replace_uses(var, wide)
            graph.remove_var(var)
    _cut(graph, step, wide, last, ops[-1])


def _cut(graph: Graph, step: _Step, wide: Var, result: Var, after: Op) -> None:
    """Take the channels of zeros off."""
    each = step.channels // step.groups
    if step.groups == 1:
        attrs = {"axes": [step.dim], "starts": [0], "ends": [each], "decrease_axis": [], "infer_flags": [1]}
        graph.add_op("slice", {"Input": wide}, {"Out": result}, attrs, after=after)
        return
    kept = _widened(np.ones(step.channels, bool), 0, step.groups)
    index = np.flatnonzero(kept).astype(np.int64)
    chosen = graph.add_var(f"{result.name}.channels", "int64", index.shape, index)
    graph.add_op("gather", {"X": wide, "Index": chosen}, {"Out": result}, {"axis": step.dim}, after=after)
