"""unquantize: let chosen frozen ops compute in float again, with the weights that were rounded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic.dataclasses import dataclass as options

from qcc._paddle import VarType
from qcc.errors import PassError
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.numerics import dequantize_weight
from qcc.passes.base import OPTIONS, Pass, PassResult, check_free
from qcc.passes.frozen import FrozenOp, frozen_ops
from qcc.passes.qdq import drop_dequantize, drop_quantize
from qcc.passes.quantizable import QUANTIZATION_TYPE


@options(frozen=True, config=OPTIONS)
class Unquantize(Pass):
    """Take the quantization off frozen ops that a target cannot run; their weights stay rounded.

    Before, with outputs=[out]:

        x.quantized, x@scale = fake_quantize_moving_average_abs_max(X=x, InScale=x@scale)
        out.accumulator = conv2d_transpose(Input=x.quantized, Filter=w)
        out = fake_channel_wise_dequantize_max_abs(X=out.accumulator, Scales=[w@scale, x@scale])

    After, where `w` holds integer * scale / 127, the values that were trained:

        out = conv2d_transpose(Input=x, Filter=w)

    `outputs` names the ops by the variable that their dequantize op writes. A name that no frozen op writes
    is refused, unless a float op writes it already.
    """

    name: ClassVar[str] = "unquantize"

    outputs: tuple[str, ...] = ()

    def apply(self, graph: Graph) -> PassResult:
        frozen = {found.dequantize.output("Out").name: found for found in frozen_ops(graph)}
        for name in self.outputs:
            if name not in frozen and (name not in graph or graph.var(name).producer is None):
                raise PassError(f"no op of the graph writes {name!r}, which is named in outputs.")
        chosen = [frozen[name] for name in dict.fromkeys(self.outputs) if name in frozen]
        for found in chosen:
            _check(graph, found, chosen)
        weights: dict[Var, Var] = {}
        for found in chosen:
            if found.weight not in weights:
                weights[found.weight] = _float_weight(graph, found, chosen)
            _take_off(graph, found, weights[found.weight])
        _remove_unused(graph, chosen)
        return PassResult(bool(chosen))


def _check(graph: Graph, found: FrozenOp, chosen: Sequence[FrozenOp]) -> None:
    accumulator = found.operands.output
    others = [op for op in accumulator.consumers if op is not found.dequantize]
    if others or accumulator.name in graph.fetches:
        needed = f"{others[0]} reads it" if others else "it is fetched"
        raise PassError(f"{found.op} writes {accumulator.name!r}, which would be removed, but {needed}.")
    if _new_name(found, chosen) != found.weight.name:
        check_free(graph, found.op, [_new_name(found, chosen)])


def _new_name(found: FrozenOp, chosen: Sequence[FrozenOp]) -> str:
    """Where the float values go: in place of the integers, unless an op that stays quantized reads those."""
    ops = {other.op for other in chosen if other.weight is found.weight}
    if found.weight.dtype == VarType.FP32 and ops.issuperset(found.weight.consumers):
        return found.weight.name
    return f"{found.weight.name}.dequantized"


def _float_weight(graph: Graph, found: FrozenOp, chosen: Sequence[FrozenOp]) -> Var:
    axis = found.operands.channel_axis if found.per_channel else None
    integers, scale = graph.weights[found.weight.name], found.weight_scale(graph)
    value = dequantize_weight(integers, scale, found.weight_bits(graph), axis)
    name = _new_name(found, chosen)
    if name == found.weight.name:
        graph.weights[name] = value
        return found.weight
    return graph.add_weight_like(name, found.weight, value)


def _take_off(graph: Graph, found: FrozenOp, weight: Var) -> None:
    graph.set_input(found.op, found.operands.data_slot, [found.quantize.input("X")])
    graph.set_input(found.op, found.operands.weight_slot, [weight])
    for name in (QUANTIZATION_TYPE, "with_quant_attr"):
        graph.remove_attr(found.op, name)


def _remove_unused(graph: Graph, chosen: Sequence[FrozenOp]) -> None:
    """Remove what stood around the ops, as far as nothing else needs it."""
    scales = [var for found in chosen for var in found.dequantize.inputs.get("Scales", ())[:1]]
    quantizers: dict[Op, None] = {}
    for found in chosen:
        drop_dequantize(graph, found)
        quantizers[found.quantize] = None
    for quantize in quantizers:
        if not quantize.output("Out").consumers:
            starts = quantize.inputs.get("InScale", ())
            drop_quantize(graph, quantize)
            scales += [var for var in starts if not var.consumers]
    for var in [*dict.fromkeys(scales), *dict.fromkeys(found.weight for found in chosen)]:
        if not var.consumers and var.name in graph and var.name not in graph.fetches:
            graph.remove_var(var)
