"""What is quantized in a graph, and how: read back from its ops."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from qcc._paddle import VarType
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.passes.frozen import FrozenOp, frozen_op
from qcc.passes.integer_weights import dequantized_weight, integer_weight
from qcc.passes.round_trip import RoundTrips, round_trips

FORMS = ("transformed", "frozen", "int8", "qdq", "weight-only")


@dataclass(frozen=True)
class QuantizedOp:
    """An op that is quantized, in one of `FORMS`. A type that the form does not record is None.

    In the form weight-only the activation is float: its type is "float", and its bits are 32.
    """

    op: Op
    form: str
    weight: str
    weight_type: str
    weight_bits: int
    activation_type: str | None
    activation_bits: int


def quantized_op(graph: Graph, op: Op) -> QuantizedOp | None:
    """How an op is quantized, which the ops around it tell; None when it is not."""
    frozen = frozen_op(op)
    if frozen is not None:
        return _frozen(graph, frozen)
    trips = round_trips(op)
    if trips is not None:
        return _round_trips(trips)
    return _weight_only(op)


def op_name(op: Op) -> str:
    """What an op is called wherever a user hears of it: by the variable that it writes in the float network,
    also where a dequantize op writes that now. `skip_vars` takes it."""
    frozen = frozen_op(op)
    writer = op if frozen is None else frozen.dequantize
    return next(writer.all_outputs()).name


def quantized_ops(graph: Graph) -> Iterator[QuantizedOp]:
    """The quantized ops of a graph, in order."""
    for op in graph.ops:
        found = quantized_op(graph, op)
        if found is not None:
            yield found


def state(graph: Graph) -> str:
    """ "float", one of `FORMS`, or several joined by "+"."""
    forms = {found.form for found in quantized_ops(graph)}
    return "+".join(form for form in FORMS if form in forms) or "float"


def stored_form(graph: Graph) -> str:
    """The form in which a graph can be saved as it is: "float", "int8" or "qdq"."""
    forms = state(graph).split("+")
    return next((form for form in ("qdq", "int8") if form in forms), "float")


def scheme(graph: Graph) -> dict[str, Any]:
    """The types and bits in use (lists, since they may differ) and the number of quantized ops by type."""
    found = list(quantized_ops(graph))
    counts: dict[str, int] = {}
    for item in found:
        counts[item.op.type] = counts.get(item.op.type, 0) + 1
    return {
        "weight_type": sorted({item.weight_type for item in found}),
        "weight_bits": sorted({item.weight_bits for item in found}),
        "activation_type": sorted({item.activation_type or "static" for item in found}),
        "activation_bits": sorted({item.activation_bits for item in found}),
        "ops": dict(sorted(counts.items())),
    }


def _frozen(graph: Graph, found: FrozenOp) -> QuantizedOp:
    activation = found.activation_quantizer
    return QuantizedOp(
        found.op,
        "int8" if found.weight.dtype == VarType.INT8 else "frozen",
        found.weight.name,
        "channel_wise_abs_max" if found.per_channel else "abs_max",
        found.weight_bits(graph),
        activation.type,
        activation.bits,
    )


def _weight_only(op: Op) -> QuantizedOp | None:
    marked, trip = integer_weight(op), dequantized_weight(op)
    if marked is not None:
        kind = "abs_max" if marked.axis is None else "channel_wise_abs_max"
        return QuantizedOp(op, "weight-only", marked.weight.name, kind, marked.bits, "float", 32)
    if trip is not None:
        weight = trip.quantizer
        return QuantizedOp(op, "weight-only", trip.source.name, weight.type, weight.bits, "float", 32)
    return None


def _round_trips(found: RoundTrips) -> QuantizedOp:
    weight, activation = found.weight.quantizer, found.data.quantizer
    return QuantizedOp(
        found.op,
        "qdq" if found.is_stored else "transformed",
        found.weight.source.name,
        weight.type,
        weight.bits,
        None if found.data.shape == "linear" else activation.type,
        activation.bits,
    )
