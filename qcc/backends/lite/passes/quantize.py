"""lite-quantize: from fake quantize and dequantize ops to ops that are to run in int8."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc._paddle import VarType
from qcc.backends.lite.passes.int8_op import (
    ACTIVATION_BITS,
    LOWEST,
    USUAL_LOWEST,
    Calibs,
    enable_int8,
    step_of,
    weight_steps,
)
from qcc.backends.lite.passes.lite_pass import LitePass
from qcc.errors import PassError
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.numerics import dequantize_weight
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.fake_quant import DEQUANTIZE_OPS, QUANTIZE_OPS
from qcc.passes.frozen import frozen_ops
from qcc.passes.quantizable import KINDS, Operands
from qcc.passes.rewrite import become_weight, first_of, is_fetched, remove_op

_LOWEST_LINEAR = -128
_PAIRED = ("fake_quantize_dequantize_moving_average_abs_max",)


@options(frozen=True, config=OPTIONS)
class LiteQuantize(LitePass):
    """Turn the quantize and dequantize ops around an op into attributes of the op.

    Before, a frozen graph, its weights stored as float32 or INT8:

        x.quantized, x@scale = fake_quantize_moving_average_abs_max(X=x, InScale=x@scale)
        y.accumulator = conv2d(Input=x.quantized, Filter=w)
        y = fake_channel_wise_dequantize_max_abs(X=y.accumulator, Scales=[w@scale, x@scale])

    or a graph in QDQ form. After, `w` being INT8:

        y = conv2d(Input=x, Filter=w)  {enable_int8 = true, Input0_scale = [...], Filter0_scale = [...]}

    with Input0_scale = x@scale / 127 and, per output channel, Filter0_scale = w@scale / 127. Quantize and
    dequantize ops of a QDQ graph that stand elsewhere become calib ops.
    """

    name: ClassVar[str] = "lite-quantize"

    def apply(self, graph: Graph) -> PassResult:
        steps = [*_frozen_steps(graph), *_linear_steps(graph)]
        for step in steps:
            _check(graph, step)
        _check_the_rest(graph, steps)
        packed: dict[Var, Var] = {}
        readers = {step.operands.op for step in steps}
        for step in steps:
            _convert(graph, step, packed, readers)
        converted = _convert_the_rest(graph)
        return PassResult(bool(steps) or converted)


@dataclass(frozen=True)
class _Step:
    """One op to convert.

    `operands` has the float variable for the activation and the stored weight; `undo` are the ops that
    the attributes replace, the last of which writes `result`.
    """

    operands: Operands
    activation: Op
    activation_scale: Var | None
    activation_bits: int
    weight_scale: np.ndarray
    weight_bits: int
    dequantize: Op | None

    @property
    def result(self) -> Var | None:
        return None if self.dequantize is None else self.dequantize.output("Out")


def _frozen_steps(graph: Graph) -> Iterator[_Step]:
    for found in frozen_ops(graph):
        scale = found.quantize.inputs.get("InScale", [None])[0]
        yield _Step(
            found.operands,
            found.quantize,
            scale,
            found.activation_quantizer.bits,
            found.weight_scale(graph),
            found.weight_bits(graph),
            found.dequantize,
        )


def _linear_steps(graph: Graph) -> Iterator[_Step]:
    """The ops of a QDQ graph whose weight's scales, if it has several, run along its output channels."""
    for op in graph.ops:
        kind = KINDS.get(op.type)
        if kind is None or len(op.inputs.get(kind.data, ())) != 1 or len(op.inputs.get(kind.weight, ())) != 1:
            continue
        left, right = op.input(kind.data).producer, op.input(kind.weight).producer
        if left is None or right is None or {left.type, right.type} != {"dequantize_linear"}:
            continue
        swapped = _is_stored(left.input("X"))
        data, weight = (right, left) if swapped else (left, right)
        quantize = data.input("X").producer
        if quantize is None or quantize.type != "quantize_linear" or not _is_stored(weight.input("X")):
            continue
        found = Operands(op, quantize.input("X"), weight.input("X"), op.output(kind.output), swapped)
        axis = int(weight.attr("quant_axis", -1))
        scale = graph.weights[weight.input("Scale").name]
        if scale.size > 1 and (axis != found.channel_axis or found.why_not_per_channel() is not None):
            continue
        bits = int(weight.attr("bit_length", 8))
        activation_bits = int(quantize.attr("bit_length", 8))
        yield _Step(found, quantize, quantize.input("Scale"), activation_bits, scale, bits, None)


def _is_stored(var: Var) -> bool:
    return var.producer is None and var.persistable and var.dtype == VarType.INT8


# ---------------------------------------------------------------------- checking


def _check(graph: Graph, step: _Step) -> None:
    op, source = step.operands.op, step.operands.data
    if step.activation_scale is None:
        raise PassError(
            f"{op} reads {source.name!r}, whose scale is measured at every run (activation_type=abs_max),"
            " which Paddle Lite cannot do: give data to measure it once (--calibrate DATA), or quantize with"
            " activation_type=moving_average_abs_max or range_abs_max."
        )
    if step.activation_bits != ACTIVATION_BITS:
        raise PassError(
            f"{op} reads {source.name!r}, quantized to {step.activation_bits} bits, and Paddle Lite quantizes"
            f" activations to {ACTIVATION_BITS} bits: quantize with activation_bits=8."
        )
    if step.dequantize is not None:
        accumulator = step.operands.output
        if len(accumulator.consumers) > 1 or is_fetched(graph, accumulator):
            raise PassError(
                f"{op} writes {accumulator.name!r}, which is read or fetched besides dequantized."
            )
    q = graph.weights[step.operands.weight.name]
    if not np.array_equal(q, np.round(q)):
        name = step.operands.weight.name
        raise PassError(f"{op} reads {name!r}, which holds no integers: run freeze first.")


def _check_the_rest(graph: Graph, steps: list[_Step]) -> None:
    """Refuse quantize and dequantize ops that are neither part of a step nor become calib ops."""
    converted = {step.operands.op for step in steps}
    frozen = [step for step in steps if step.dequantize is not None]
    taken = {step.dequantize for step in frozen}
    taken |= {
        step.activation for step in frozen if converted.issuperset(step.activation.output("Out").consumers)
    }
    left = [op for op in graph.ops if op.type in (*QUANTIZE_OPS, *DEQUANTIZE_OPS) and op not in taken]
    linear = [op for op in graph.ops if op.type in (*_PAIRED, "quantize_linear", "dequantize_linear")]
    left += [op for op in linear if not _can_convert(op)]
    if left:
        raise PassError(
            f"quantization is still that of training in {first_of(left, 'op')}: freeze the graph before it is"
            " lowered (pipeline freeze, or `qcc freeze`)."
        )
    for op in linear:
        if op.type != "dequantize_linear":
            _activation_step(graph, op)


def _can_convert(op: Op) -> bool:
    if op.type == "dequantize_linear":
        stored = op.input("X")
        return _is_stored(stored) or (
            stored.producer is not None and stored.producer.type == "quantize_linear"
        )
    readers = op.output("Y").consumers if op.type == "quantize_linear" else ()
    return not op.input("X").persistable and all(reader.type == "dequantize_linear" for reader in readers)


# ---------------------------------------------------------------------- converting


def _convert(graph: Graph, step: _Step, packed: dict[Var, Var], readers: set[Op]) -> None:
    operands = step.operands
    op, stored = operands.op, operands.weight
    assert step.activation_scale is not None
    scale = graph.weights[step.activation_scale.name].reshape(-1)[0]
    steps = weight_steps(operands, stored, step.weight_scale, step.weight_bits)
    if stored not in packed:
        packed[stored] = _pack(graph, stored, step.weight_bits, readers)
    old = [op.input(operands.data_slot), op.input(operands.weight_slot)]
    graph.set_input(op, operands.weight_slot, [packed[stored]])
    enable_int8(graph, operands, operands.data, float(step_of(scale, step.activation_bits)), steps)
    if step.activation.type == "quantize_linear":
        graph.set_attr(op, LOWEST, _LOWEST_LINEAR)
    if step.dequantize is not None:
        result, accumulator = step.dequantize.output("Out"), operands.output
        slot = KINDS[op.type].output
        remove_op(graph, step.dequantize, keep=result)
        graph.set_output(op, slot, [result])
        graph.remove_var(accumulator)
    for var in old:
        _remove_unread(graph, var)


def _pack(graph: Graph, stored: Var, bits: int, readers: set[Op]) -> Var:
    """The weight as INT8 (INT16 above 8 bits), under its own name where only converted ops read it."""
    dtype = np.int8 if bits <= ACTIVATION_BITS else np.int16
    value = graph.weights[stored.name]
    if value.dtype == dtype:
        return stored
    packed = value.astype(dtype)
    if readers.issuperset(stored.consumers) and stored.name not in graph.fetches:
        return become_weight(graph, stored, packed)
    return graph.add_var(f"{stored.name}.int8", str(packed.dtype), packed.shape, packed)


def _remove_unread(graph: Graph, var: Var) -> None:
    """Remove the op that made a variable that nothing reads any more, and what it alone has read."""
    op = var.producer
    if op is None or var.name not in graph or var.consumers or is_fetched(graph, var):
        return
    if any(out.consumers or is_fetched(graph, out) for out in op.all_outputs() if not out.persistable):
        return
    sources = list(op.all_inputs())
    remove_op(graph, op)
    for source in sources:
        if source.producer is not None and source.producer.type == "quantize_linear":
            _remove_unread(graph, source)


# ---------------------------------------------------------------------- the rest of a QDQ graph


def _convert_the_rest(graph: Graph) -> bool:
    """Quantize and dequantize ops that no op with a weight has taken up, as calib ops or plain weights."""
    calibs = Calibs(graph)
    converted = False
    for op in graph.ops:
        if not graph.has_op(op):
            continue
        if op.type == "dequantize_linear":
            converted |= _convert_dequantize(graph, op, calibs)
        elif op.type in _PAIRED:
            step = _activation_step(graph, op)
            integers = calibs.quantized(op.input("X"), step, USUAL_LOWEST, op)
            _replace(graph, op, op.output("Out"), calibs.dequantized(integers, step, op))
            converted = True
    return converted


def _convert_dequantize(graph: Graph, op: Op, calibs: Calibs) -> bool:
    source, result = op.input("X"), op.output("Y")
    if _is_stored(source):
        axis = int(op.attr("quant_axis", -1))
        scale = graph.weights[op.input("Scale").name]
        bits = int(op.attr("bit_length", 8))
        value = graph.weights[source.name]
        become_weight(graph, result, dequantize_weight(value, scale, bits, axis if scale.size > 1 else None))
        return True
    quantize = source.producer
    if quantize is None or quantize.type != "quantize_linear":
        return False
    step = _activation_step(graph, quantize)
    integers = calibs.quantized(quantize.input("X"), step, _LOWEST_LINEAR, op)
    _replace(graph, op, result, calibs.dequantized(integers, step, op))
    _remove_unread(graph, source)
    return True


def _activation_step(graph: Graph, op: Op) -> float:
    """The step of what an op quantizes by itself.  Raises PassError where no calib op can do it."""
    bits = int(op.attr("bit_length", 8))
    zero = op.inputs.get("ZeroPoint")
    if bits != ACTIVATION_BITS or (zero and np.any(graph.weights[zero[0].name])):
        raise PassError(f"{op} quantizes to {bits} bits or around another zero, which Paddle Lite cannot do.")
    scale = graph.weights[op.input("Scale" if "Scale" in op.inputs else "InScale").name]
    return float(step_of(scale.reshape(-1)[0], bits))


def _replace(graph: Graph, op: Op, result: Var, by: Var) -> None:
    """Let what an op has written be another variable; a fetched name stays."""
    if is_fetched(graph, result):
        producer = by.producer
        assert producer is not None
        remove_op(graph, op, keep=result)
        graph.replace_uses(by, result)
        graph.set_output(producer, "Out", [result])
        graph.remove_var(by)
        return
    graph.replace_uses(result, by)
    remove_op(graph, op)
