"""What is quantized in a graph, and how: read back from its ops."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from qcc._paddle import VarType
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.fake_quant import pair_behind
from qcc.passes.frozen import FrozenOp, frozen_op
from qcc.passes.quantizable import KINDS

FORMS = ("transformed", "frozen", "int8", "qdq")


@dataclass(frozen=True)
class QuantizedOp:
    """An op that is quantized, in one of `FORMS`. A type that the form does not record is None."""

    op: Op
    form: str
    weight: str
    weight_type: str
    weight_bits: int
    activation_type: str | None
    activation_bits: int


def quantized_op(graph: Graph, op: Op) -> QuantizedOp | None:
    """How an op is quantized; None when it is not."""
    kind = KINDS.get(op.type)
    if kind is None or len(op.inputs.get(kind.data, ())) != 1 or len(op.inputs.get(kind.weight, ())) != 1:
        return None
    frozen = frozen_op(op)
    if frozen is not None:
        return _frozen(graph, frozen)
    operands = (op.input(kind.data), op.input(kind.weight))
    return _transformed(op, *operands) or _linear(op, *operands)


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


def _transformed(op: Op, left: Var, right: Var) -> QuantizedOp | None:
    pairs = [pair_behind(left), pair_behind(right)]
    if pairs[0] is None or pairs[1] is None:
        return None
    weight, activation = pairs if pairs[0].source.persistable else reversed(pairs)
    if weight is None or activation is None or not weight.source.persistable:
        return None
    return QuantizedOp(
        op,
        "transformed",
        weight.source.name,
        weight.quantizer.type,
        weight.quantizer.bits,
        activation.quantizer.type,
        activation.quantizer.bits,
    )


def _linear(op: Op, left: Var, right: Var) -> QuantizedOp | None:
    """quantize_linear / dequantize_linear in front: the QDQ form, or its training form."""
    first, second = left.producer, right.producer
    if first is None or second is None or {first.type, second.type} != {"dequantize_linear"}:
        return None
    weight, activation = (first, second) if _behind_weight(first) else (second, first)
    if not _behind_weight(weight):
        return None
    stored = weight.input("X")
    return QuantizedOp(
        op,
        "qdq" if stored.dtype == VarType.INT8 else "transformed",
        stored.name if stored.producer is None else stored.producer.input("X").name,
        "abs_max" if weight.attr("quant_axis", -1) < 0 else "channel_wise_abs_max",
        int(weight.attr("bit_length", 8)),
        None,
        int(activation.attr("bit_length", 8)),
    )


def _behind_weight(dequantize: Op) -> bool:
    stored = dequantize.input("X")
    if stored.producer is None:
        return stored.persistable
    quantize = stored.producer
    return quantize.type == "quantize_linear" and quantize.input("X").persistable
