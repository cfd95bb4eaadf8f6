"""normalize: the shapes in which other tools write quantization become those of qcc."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc.errors import PassError
from qcc.ir.graph import Graph
from qcc.ir.nodes import Var
from qcc.numerics import SCALE_FLOOR, UNOBSERVED_SCALE, max_int, quantize_weight
from qcc.passes.base import OPTIONS, Pass, PassResult, check_free
from qcc.passes.fake_quant import AWAY_FROM_ZERO, Quantizer, insert_pair
from qcc.passes.frozen import Integers, dequantize_behind
from qcc.passes.round_trip import RoundTrip, RoundTrips, linear_scale, round_trips, stored_integers

_INT8_SUFFIX = ".int8"


@options(frozen=True, config=OPTIONS)
class Normalize(Pass):
    """Give ops with a weight the quantize and dequantize ops that qcc's own passes insert.

    Before, a graph in QDQ form, `w` being integers of any type, or float behind a quantize_linear op:

        x.quantized = quantize_linear(X=x, Scale=x@scale, ZeroPoint=x@zero_point)
        x.quantized.dequantized = dequantize_linear(X=x.quantized, Scale=x@scale, ZeroPoint=x@zero_point)
        w.dequantized = dequantize_linear(X=w, Scale=w@scale, ZeroPoint=w@zero_point)
        y = conv2d(Input=x.quantized.dequantized, Filter=w.dequantized)

    After, frozen, `w` being integers stored as float32:

        x.quantized, x@scale = fake_quantize_moving_average_abs_max(X=x, InScale=x@scale)  {round_type = 0}
        y.accumulator = conv2d(Input=x.quantized, Filter=w)
        y = fake_channel_wise_dequantize_max_abs(X=y.accumulator, Scales=[w@scale, x@scale])

    With round_type 0 the op rounds and clips as quantize_linear does, so that integers stay the same.

    Before, a graph whose ops quantize and dequantize at once, as dynamic graphs are saved:

        x.rounded = fake_quantize_dequantize_moving_average_abs_max(X=x, InScale=x@scale)
        w.rounded = fake_channel_wise_quantize_dequantize_abs_max(X=w)
        y = conv2d(Input=x.rounded, Filter=w.rounded)

    After, transformed: a pair of ops each, as `transform` inserts them. What stands in front of ops without
    a weight stays as it is.
    """

    name: ClassVar[str] = "normalize"

    def apply(self, graph: Graph) -> PassResult:
        plan = foreign_ops(graph)
        if not plan:
            return PassResult(False)
        if not graph.for_test:
            raise PassError("normalize works on the test graph, and this is a training graph.")
        frozen = {found.weight.result: _integers(graph, found) for found in plan if _is_linear(found.weight)}
        steps = [_Step(found, _activation(graph, found)) for found in plan]
        for found in plan:
            if _is_linear(found.weight):
                check_free(graph, found.op, [f"{found.operands.output.name}.accumulator"])
        for found in plan:
            graph.set_input(found.op, found.operands.data_slot, [])
            graph.set_input(found.op, found.operands.weight_slot, [])
        for found in plan:
            for trip in (found.data, found.weight):
                _remove_unread(graph, trip)
        _Rewriting(graph, frozen).run(steps)
        return PassResult(True)


def foreign_ops(graph: Graph) -> list[RoundTrips]:
    """The ops with a weight that `normalize` changes."""
    found = [trips for op in graph.ops if (trips := round_trips(op)) is not None]
    return [trips for trips in found if {trips.data.shape, trips.weight.shape} != {"pair"}]


def _is_linear(trip: RoundTrip) -> bool:
    return trip.shape in ("linear", "stored")


@dataclass(frozen=True)
class _Weight:
    """The integers of a weight that was read through dequantize_linear."""

    q: np.ndarray
    scale: np.ndarray
    bits: int
    axis: int | None


@dataclass(frozen=True)
class _Step:
    """An op, and the fixed scale of its activation; None where that is measured at every run."""

    found: RoundTrips
    scale: np.ndarray | None


def _activation(graph: Graph, found: RoundTrips) -> np.ndarray | None:
    data = found.data
    if data.quantizer.axis is not None:
        raise PassError(
            f"{found.op} reads {data.source.name!r}, an activation with a scale per channel, which no int8"
            " kernel takes: quantize it with one scale."
        )
    if _is_linear(data):
        scale = linear_scale(graph, data)
        if not found.is_stored and scale[0] == UNOBSERVED_SCALE:
            raise PassError(
                f"{found.op} reads {data.source.name!r}, whose scale was never observed (it holds"
                f" {float(scale[0]):.6g}): train or calibrate the model first."
            )
        return scale
    var = data.fixed_scale
    return None if var is None else graph.weights[var.name].reshape(-1)


def _integers(graph: Graph, found: RoundTrips) -> _Weight:
    weight, axis = found.weight, found.weight.quantizer.axis
    scale = linear_scale(graph, weight)
    # In other tools' files the scale of a channel that is all zero is 0.
    scale = np.where(scale == 0, SCALE_FLOOR, scale)
    if axis is not None:
        reason = found.operands.why_not_per_channel()
        if reason is None and axis != found.operands.channel_axis:
            reason = f"its scales run along axis {axis} of {weight.source.name!r}, which are no channels"
        if reason is not None:
            way_out = (
                "leave the model in QDQ form, which can be exported as it is"
                if found.is_stored
                else "quantize the model with weight_quantize_type=abs_max"
            )
            raise PassError(f"{found.op} cannot be frozen: {reason}; {way_out}.")
    bits = weight.quantizer.bits
    if found.is_stored:
        return _Weight(stored_integers(graph, found).astype(np.float32), scale, bits, axis)
    q = quantize_weight(graph.weights[weight.source.name], scale, bits, axis)
    return _Weight(q, scale, bits, axis)


class _Rewriting:
    """Puts the new ops in; the old ones, and names that they had, are gone as far as nobody reads them.

    What was quantized twice in the same way is quantized once.
    """

    def __init__(self, graph: Graph, frozen: dict[Var, _Weight]) -> None:
        self.graph = graph
        self.frozen = frozen
        self.quantized: dict[object, tuple[Var, Var]] = {}
        self.dequantized: dict[Var, Var] = {}
        self.weights: dict[object, Var] = {}
        self.integers: dict[object, Integers] = {}

    def run(self, steps: list[_Step]) -> None:
        for step in steps:
            if _is_linear(step.found.weight):
                self._freeze(step)
            else:
                self._transform(step)

    def _freeze(self, step: _Step) -> None:
        found = step.found
        quantized, scale = self._quantized(step)
        self.graph.set_input(found.op, found.operands.data_slot, [quantized])
        integers = self._stored(found)
        dequantize_behind(self.graph, found.operands, integers, scale, found.data.quantizer.bits)

    def _transform(self, step: _Step) -> None:
        """A pair of ops in front of both operands."""
        found = step.found
        self.graph.set_input(found.op, found.operands.weight_slot, [self._weight(found)])
        self.graph.set_input(found.op, found.operands.data_slot, [self._dequantized(step)])

    def _weight(self, found: RoundTrips) -> Var:
        weight = found.weight
        if weight.shape == "pair":
            return weight.result
        quantizer = Quantizer(weight.quantizer.type, weight.quantizer.bits, weight.quantizer.axis)
        key = (weight.source, quantizer)
        if key not in self.weights:
            pair = insert_pair(self.graph, weight.source, quantizer, found.op)
            self.weights[key] = pair.dequantized
        return self.weights[key]

    def _dequantized(self, step: _Step) -> Var:
        data = step.found.data
        if data.shape == "pair":
            return data.result
        quantized, scale = self._quantized(step)
        if quantized not in self.dequantized:
            dequantized = self.graph.add_var_like(f"{quantized.name}.dequantized", data.source)
            self.graph.add_op(
                "fake_dequantize_max_abs",
                {"X": quantized, "Scale": scale},
                {"Out": dequantized},
                {"max_range": float(max_int(data.quantizer.bits)), "op_role": 0},
                before=step.found.op,
            )
            self.dequantized[quantized] = dequantized
        return self.dequantized[quantized]

    def _quantized(self, step: _Step) -> tuple[Var, Var]:
        """The integers of an activation and their scale."""
        data = step.found.data
        if data.shape == "pair":
            return data.ops[0].output("Out"), data.ops[0].output("OutScale")
        key = (data.source, data.quantizer, None if step.scale is None else step.scale.tobytes())
        if key not in self.quantized:
            self.quantized[key] = self._quantize(step)
        return self.quantized[key]

    def _quantize(self, step: _Step) -> tuple[Var, Var]:
        data, graph = step.found.data, self.graph
        # The variables of a round trip that others still read keep their names.
        base = data.source.name
        if any(name in graph for name in (f"{base}.quantized", f"{base}@scale")):
            base = data.result.name
        quantized = graph.add_var_like(f"{base}.quantized", data.source)
        quantizer = data.quantizer
        attrs: dict[str, Any] = {"bit_length": quantizer.bits, "op_role": 0}
        if quantizer.rounding != AWAY_FROM_ZERO:
            attrs["round_type"] = quantizer.rounding
        value = np.zeros(1, np.float32) if step.scale is None else step.scale
        start = graph.add_var(f"{base}@scale", "float32", value.shape, value)
        inputs, written, kind = {"X": data.source}, start, "fake_quantize_abs_max"
        if step.scale is not None:
            inputs["InScale"], written = start, graph.add_version(start)
            attrs |= {"is_test": True, "moving_rate": quantizer.moving_rate}
            kind = "fake_quantize_moving_average_abs_max"
        outputs = {"Out": quantized, "OutScale": written}
        graph.add_op(kind, inputs, outputs, attrs, before=step.found.op)
        return quantized, written

    def _stored(self, found: RoundTrips) -> Integers:
        """The integers of a weight as float32."""
        value = self.frozen[found.weight.result]
        key = (found.weight.source, value.axis, value.bits, value.scale.tobytes())
        if key not in self.integers:
            self.integers[key] = self._store(found.weight, value)
        return self.integers[key]

    def _store(self, weight: RoundTrip, value: _Weight) -> Integers:
        """Under the weight's own name, where nobody else reads it."""
        graph, source = self.graph, weight.source
        if not source.consumers and not _is_public(graph, source):
            graph.remove_var(source)
        name = source.name.removesuffix(_INT8_SUFFIX)
        if name in graph:
            name = f"{source.name}.quantized"
        graph.add_weight_like(name, source, value.q)
        scale_name = f"{name}@scale"
        if scale_name in graph:
            scale_name = f"{weight.result.name}@scale"
        return Integers(name, scale_name, value.scale, value.bits, value.axis)


def _remove_unread(graph: Graph, trip: RoundTrip) -> None:
    """Remove the ops of a round trip that nobody reads any more, with scales that they alone have read."""
    if trip.shape == "pair":
        return
    for op in reversed(trip.ops):
        written = list(op.all_outputs())
        if not graph.has_op(op) or any(var.consumers or _is_public(graph, var) for var in written):
            return
        touched = dict.fromkeys((*written, *op.all_inputs()))
        graph.remove_op(op)
        for var in touched:
            unused = var.producer is None and not var.consumers and not _is_public(graph, var)
            if unused and var is not trip.source:
                graph.remove_var(var)


def _is_public(graph: Graph, var: Var) -> bool:
    return var.name in (*graph.feeds, *graph.fetches)
