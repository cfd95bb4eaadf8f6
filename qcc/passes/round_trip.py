"""How a variable was quantized and dequantized, in every shape that Paddle's tools write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from qcc.errors import PassError
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.numerics import bits_for, linear_range
from qcc.passes.fake_quant import FUSED_OPS, LINEAR_OPS, Quantizer, pair_behind, read_quantizer
from qcc.passes.quantizable import KINDS, Operands

Shape = Literal["pair", "fused", "linear", "stored"]


@dataclass(frozen=True)
class RoundTrip:
    """The ops between a variable and its rounded copy.

    pair    x -> fake_quantize_* -> fake_dequantize_* -> result
    fused   x -> fake_quantize_dequantize_* -> result
    linear  x -> quantize_linear -> dequantize_linear -> result
    stored  integers -> dequantize_linear -> result

    `source` is x, or the integers. The type of the quantizer of a `linear` or `stored` one, which does not
    record it, is abs_max, or channel_wise_abs_max where it has an axis.
    """

    shape: Shape
    source: Var
    result: Var
    ops: tuple[Op, ...]

    @property
    def quantizer(self) -> Quantizer:
        if self.shape in ("pair", "fused"):
            return read_quantizer(self.ops[0])
        last = self.ops[-1]
        axis = int(last.attr("quant_axis", -1))
        kind = "abs_max" if axis < 0 else "channel_wise_abs_max"
        rounding = int(self.ops[0].attr("round_type", 0))
        return Quantizer(kind, int(last.attr("bit_length", 8)), None if axis < 0 else axis, rounding=rounding)

    @property
    def is_weight(self) -> bool:
        """True when the source is a weight and no activation."""
        return self.source.persistable and self.source.producer is None

    @property
    def fixed_scale(self) -> Var | None:
        """The scale as the program starts with it; None where it is measured at every run."""
        slot = {"linear": "Scale", "stored": "Scale"}.get(self.shape, "InScale")
        return next(iter(self.ops[-1 if slot == "Scale" else 0].inputs.get(slot, ())), None)


def round_trip(var: Var) -> RoundTrip | None:
    """The round trip that made a variable; None for one of another origin."""
    last = var.producer
    if last is None:
        return None
    if last.type in FUSED_OPS:
        return RoundTrip("fused", last.input("X"), var, (last,))
    pair = pair_behind(var)
    if pair is not None:
        return RoundTrip("pair", pair.source, var, (pair.quantize, pair.dequantize))
    if last.type != "dequantize_linear" or is_observer(last):
        return None
    integers = last.input("X")
    first = integers.producer
    if first is not None and first.type == "quantize_linear":
        return RoundTrip("linear", first.input("X"), var, (first, last))
    return RoundTrip("stored", integers, var, (last,)) if first is None and integers.persistable else None


def quantize_in_front(op: Op | None) -> Op | None:
    """The first op of a linear pair, observers among them, by its second; None for every other op."""
    first = op.input("X").producer if op is not None and op.type == "dequantize_linear" else None
    return first if first is not None and first.type == "quantize_linear" else None


def rounded_from(var: Var) -> Var:
    """The variable that was rounded, where this is a rounded one; else this."""
    quantize = quantize_in_front(var.producer)
    return var if quantize is None else quantize.input("X")


def linear_attrs(bits: int, axis: int) -> dict[str, Any]:
    """Attributes of a quantize_linear or dequantize_linear op; axis -1 stands for one scale.

    Paddle 2.6 computes with `bit_length`, Paddle 3 with `qmin` and `qmax` alone, which are those of 8 bits
    where an op does not say them.
    """
    attrs = {"quant_axis": axis, "bit_length": bits, "op_role": 0}
    if bits != 8:
        attrs["qmin"], attrs["qmax"] = linear_range(bits)
    return attrs


def is_observer(op: Op) -> bool:
    """True for a quantize_linear or dequantize_linear op that hands its input on and only knows its scale."""
    return op.type in LINEAR_OPS and bool(op.attr("only_observer", False))


@dataclass(frozen=True)
class RoundTrips:
    """Both operands of an op with a weight, each behind a round trip."""

    operands: Operands
    data: RoundTrip
    weight: RoundTrip

    @property
    def op(self) -> Op:
        return self.operands.op

    @property
    def is_stored(self) -> bool:
        """True when the weight is integers already: the QDQ form."""
        return self.weight.shape == "stored"


def round_trips(op: Op) -> RoundTrips | None:
    """The round trips in front of an op; None unless one of its operands is a weight and one is not.

    The operands' variables are the sources of both.
    """
    sides = _sides(op)
    if sides is None:
        return None
    left, right = sides
    if left is None or right is None or left.is_weight == right.is_weight:
        return None
    data, weight = (right, left) if left.is_weight else (left, right)
    if data.shape == "stored":
        return None
    output = op.output(KINDS[op.type].output)
    return RoundTrips(Operands(op, data.source, weight.source, output, left.is_weight), data, weight)


def is_qdq(graph: Graph) -> bool:
    """True when an op reads a stored weight through dequantize_linear."""
    return any(trips is not None and trips.is_stored for trips in map(round_trips, graph.ops))


def half_quantized(op: Op) -> RoundTrip | None:
    """The round trip of an op of which only one operand has one; None for every other op."""
    sides = _sides(op)
    found = [side for side in sides or () if side is not None]
    return found[0] if len(found) == 1 else None


def _sides(op: Op) -> tuple[RoundTrip | None, RoundTrip | None] | None:
    kind = KINDS.get(op.type)
    if kind is None or len(op.inputs.get(kind.data, ())) != 1 or len(op.inputs.get(kind.weight, ())) != 1:
        return None
    return round_trip(op.input(kind.data)), round_trip(op.input(kind.weight))


def linear_scale(graph: Graph, trip: RoundTrip) -> np.ndarray:
    """The scale of a `linear` or `stored` round trip, float32: [channels] along its axis, or [1].

    Raises PassError where its ops do not agree, or where no symmetric quantization is what they do.
    """
    last = trip.ops[-1]
    scale = _value(graph, last, "Scale")
    for op in trip.ops:
        if op.attr("bit_length", 8) != last.attr("bit_length", 8):
            raise PassError(f"{trip.ops[0]} and {last} have different bits for {trip.source.name!r}.")
        _check_range(op)
        if not np.array_equal(_value(graph, op, "Scale"), scale):
            raise PassError(
                f"{trip.ops[0]} and {last} have different scales for {trip.source.name!r}, so that they are"
                " no round trip; quantize the model again."
            )
        if op.inputs.get("ZeroPoint") and np.any(_value(graph, op, "ZeroPoint")):
            raise PassError(f"{op} quantizes around another zero than 0, which qcc does not know.")
    axis = trip.quantizer.axis
    wanted = 1 if axis is None else trip.source.shape[axis]
    if scale.size not in (1, wanted):
        raise PassError(
            f"{last} has {scale.size} scales for {trip.source.name!r}, which has {wanted} channels along"
            f" axis {axis}."
            if axis is not None
            else f"{last} has {scale.size} scales for {trip.source.name!r}, and no axis for them."
        )
    return scale if scale.size == wanted else np.broadcast_to(scale, wanted).copy()


def _check_range(op: Op) -> None:
    bits = int(op.attr("bit_length", 8))
    lowest, highest = linear_range(bits)
    found = int(op.attr("qmin", lowest)), int(op.attr("qmax", highest))
    if found != (lowest, highest):
        raise PassError(
            f"{op} has bit_length {bits}, by which Paddle 2.6 computes, but Paddle 3 computes by its qmin"
            f" {found[0]} and qmax {found[1]}, and not by {lowest} and {highest}: quantize the model again."
        )


def stored_integers(graph: Graph, found: RoundTrips) -> np.ndarray:
    """The integers of a stored weight, in the type in which they are stored.  Raises PassError."""
    weight = found.weight
    q, bits = graph.weights[weight.source.name], weight.quantizer.bits
    if not np.array_equal(q, np.round(q)) or bits_for(q) > max(bits, 8):
        raise PassError(
            f"{found.op} reads the weight {weight.source.name!r} through {weight.ops[0]}, but it holds no"
            f" integers of {bits} bits: the parameters are those of another model; save both files again."
        )
    return q


def _value(graph: Graph, op: Op, slot: str) -> np.ndarray:
    var = op.input(slot)
    if var.producer is not None or var.name not in graph.weights:
        raise PassError(f"{op} takes its {slot} from {var.name!r}, which is no weight of the model.")
    return graph.weights[var.name].reshape(-1)
