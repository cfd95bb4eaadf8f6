"""qdq: the quantize_linear / dequantize_linear form that runtimes execute in int8."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc._paddle import VarType
from qcc.errors import PassError
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.base import OPTIONS, Pass, PassResult, check_free
from qcc.passes.frozen import FrozenOp, check_frozen, frozen_ops, no_frozen_op
from qcc.passes.int8 import check_can_be_int8, int8_name, to_int8
from qcc.passes.round_trip import is_qdq, linear_attrs


@options(frozen=True, config=OPTIONS)
class Qdq(Pass):
    """Turn frozen ops into the QDQ form, with INT8 weights.

    Before, a frozen graph, with weights stored as float32 or INT8:

        x.quantized, x@scale = fake_quantize_moving_average_abs_max(X=x, InScale=x@scale)
        out.accumulator = conv2d(Input=x.quantized, Filter=w)
        out = fake_channel_wise_dequantize_max_abs(X=out.accumulator, Scales=[w@scale, x@scale])

    After:

        x.quantized = quantize_linear(X=x, Scale=x@scale, ZeroPoint=x@zero_point)
        x.quantized.dequantized = dequantize_linear(X=x.quantized, Scale=x@scale, ZeroPoint=x@zero_point)
        w.int8.dequantized = dequantize_linear(X=w.int8, Scale=w.int8@scale, ZeroPoint=w.int8@zero_point)
        out = conv2d(Input=x.quantized.dequantized, Filter=w.int8.dequantized)

    Activation scales must be static: scales of type abs_max, measured at every run, are refused.

    `quantize_linear` rounds ties to even and clips to [-128, 127] (ONNX's QuantizeLinear, which runtimes
    implement); the fake quantize ops of a frozen graph round ties away from zero and clip to [-127, 127].
    So the two forms differ by one step where a value is a tie or is clipped at the lower end.

    Of other bits than 8 the ops say, beside `bit_length`, `qmin` and `qmax`, which Paddle 3 computes with.
    """

    name: ClassVar[str] = "qdq"

    def apply(self, graph: Graph) -> PassResult:
        frozen = list(frozen_ops(graph))
        if not frozen:
            if is_qdq(graph):
                return PassResult(False, ("the graph is in QDQ form already.",))
            raise no_frozen_op(graph)
        for found in frozen:
            _check(graph, found)
            _check_names(graph, found)
        plan = [_Step(found, _WeightScale.of(graph, found)) for found in frozen]
        _convert(graph, plan)
        return PassResult(True)


@dataclass(frozen=True)
class _WeightScale:
    """What the dequantize_linear op of a weight needs."""

    scale: np.ndarray
    bits: int
    axis: int

    @staticmethod
    def of(graph: Graph, found: FrozenOp) -> _WeightScale:
        axis = found.operands.channel_axis if found.per_channel else -1
        return _WeightScale(found.weight_scale(graph), found.weight_bits(graph), axis)


@dataclass(frozen=True)
class _Step:
    found: FrozenOp
    weight: _WeightScale


def _check(graph: Graph, found: FrozenOp) -> None:
    if found.activation_quantizer.type == "abs_max":
        raise PassError(
            f"{found.op} reads {found.operands.data.name!r}, whose scale is measured at every run"
            " (activation_type=abs_max), but quantize_linear needs a fixed one: quantize with"
            " activation_type=moving_average_abs_max or range_abs_max."
        )
    accumulator = found.operands.output
    others = [op for op in accumulator.consumers if op is not found.dequantize]
    if others or accumulator.name in graph.fetches:
        needed = f"{others[0]} reads it" if others else "it is fetched"
        raise PassError(f"{found.op} writes {accumulator.name!r}, which would be removed, but {needed}.")
    if found.weight.dtype == VarType.FP32:
        check_can_be_int8(graph, found.weight, found)
    else:
        check_frozen(graph, found)


def _check_names(graph: Graph, found: FrozenOp) -> None:
    weight = found.weight.name if found.weight.dtype == VarType.INT8 else int8_name(found.weight)
    names = [f"{found.operands.data.name}@zero_point", f"{found.quantize.output('Out').name}.dequantized"]
    names += [f"{weight}@scale", f"{weight}@zero_point", f"{weight}.dequantized"]
    check_free(graph, found.op, names)


def _convert(graph: Graph, plan: list[_Step]) -> None:
    activations: dict[Op, Var] = {}
    weights: dict[Var, Var] = {}
    dequantize_ops = [step.found.dequantize for step in plan]
    for step in plan:
        found = step.found
        if found.quantize not in activations:
            activations[found.quantize] = _activation(graph, found)
        if found.weight not in weights:
            weights[found.weight] = _weight(graph, step)
        graph.set_input(found.op, found.operands.data_slot, [activations[found.quantize]])
        graph.set_input(found.op, found.operands.weight_slot, [weights[found.weight]])
        drop_dequantize(graph, found)
    for quantize in activations:
        drop_quantize(graph, quantize)
    for op in dequantize_ops:
        for var in op.inputs.get("Scales", ())[:1]:
            if not var.consumers and var.name in graph and var.name not in graph.fetches:
                graph.remove_var(var)


def _activation(graph: Graph, found: FrozenOp) -> Var:
    """quantize_linear and dequantize_linear of an activation; returns the dequantized variable."""
    source, scale = found.operands.data, found.quantize.input("InScale")
    attrs = linear_attrs(found.activation_quantizer.bits, axis=-1)
    zero = graph.add_var(f"{source.name}@zero_point", "int32", (1,), np.zeros(1, np.int32))
    quantized = found.quantize.output("Out")
    graph.set_output(found.quantize, "Out", [])
    slots = {"Scale": scale, "ZeroPoint": zero}
    graph.add_op("quantize_linear", {"X": source, **slots}, {"Y": quantized}, attrs, before=found.op)
    dequantized = graph.add_var_like(f"{quantized.name}.dequantized", source)
    graph.add_op("dequantize_linear", {"X": quantized, **slots}, {"Y": dequantized}, attrs, before=found.op)
    return dequantized


def _weight(graph: Graph, step: _Step) -> Var:
    """dequantize_linear of an INT8 weight; returns the dequantized variable."""
    weight = step.found.weight
    packed = weight if weight.dtype == VarType.INT8 else to_int8(graph, weight)
    scale = step.weight.scale
    slots: dict[str, Any] = {
        "Scale": graph.add_var(f"{packed.name}@scale", "float32", scale.shape, scale),
        "ZeroPoint": graph.add_var(
            f"{packed.name}@zero_point", "int32", scale.shape, np.zeros(scale.shape, np.int32)
        ),
    }
    dequantized = graph.add_var(f"{packed.name}.dequantized", "float32", packed.shape)
    attrs = linear_attrs(step.weight.bits, step.weight.axis)
    before = step.found.op
    graph.add_op("dequantize_linear", {"X": packed, **slots}, {"Y": dequantized}, attrs, before=before)
    return dequantized


def drop_dequantize(graph: Graph, found: FrozenOp) -> None:
    """Remove the dequantize op behind an op, which then writes the public name itself."""
    accumulator, out = found.operands.output, found.dequantize.output("Out")
    graph.remove_op(found.dequantize)
    (slot,) = (name for name, variables in found.op.outputs.items() if accumulator in variables)
    graph.set_output(found.op, slot, [out])
    graph.remove_var(accumulator)


def drop_quantize(graph: Graph, quantize: Op) -> None:
    """Remove a fake quantize op that nothing reads, and the versions that it wrote."""
    written = list(quantize.all_outputs())
    graph.remove_op(quantize)
    for var in written:
        if not var.consumers:
            graph.remove_var(var)
