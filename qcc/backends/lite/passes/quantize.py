"""lite-quantize: from fake quantize and dequantize ops to ops that are to run in int8."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

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
from qcc.numerics import bits_for
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.fake_quant import DEQUANTIZE_OPS, FUSED_OPS, QUANTIZE_OPS
from qcc.passes.frozen import broken_op, check_frozen, frozen_ops
from qcc.passes.integer_weights import dequantize_stored, drop_marks, is_marked_float, to_floats
from qcc.passes.observers import drop_observers
from qcc.passes.quantizable import KINDS, Operands
from qcc.passes.rewrite import become_weight, first_of, is_fetched, remove_op
from qcc.passes.round_trip import (
    RoundTrip,
    is_observer,
    linear_scale,
    round_trip,
    round_trips,
    stored_integers,
)
from qcc.passes.zero_points import right_instead

_LOWEST_LINEAR = -128
_UNDOING = (*DEQUANTIZE_OPS, "dequantize_linear")
_QUANTIZERS = (*QUANTIZE_OPS, *FUSED_OPS, "quantize_linear", *_UNDOING)


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
    dequantize ops that stand elsewhere, such as in front of a pooling or an addition, become calib ops, which
    round in the same places. Ops that only observe (only_observer) go; weights that alone are integers become
    floats, which the pass `weight-only` may store as integers again.
    """

    name: ClassVar[str] = "lite-quantize"

    def apply(self, graph: Graph) -> PassResult:
        steps = [*_frozen_steps(graph), *_linear_steps(graph)]
        for step in steps:
            _check(graph, step)
        _check_the_rest(graph, steps)
        turned = to_floats(graph)
        for op in filter(is_marked_float, graph.ops):
            drop_marks(graph, op)
            turned = True
        observed = drop_observers(graph)
        packed: dict[Var, Var] = {}
        readers = {step.operands.op for step in steps}
        for step in steps:
            _convert(graph, step, packed, readers)
        converted = _convert_the_rest(graph)
        return PassResult(bool(steps) or observed or converted or turned)


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
        check_frozen(graph, found)
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
        found = round_trips(op)
        if found is None or not found.is_stored or found.data.shape != "linear":
            continue
        stored_integers(graph, found)
        linear_scale(graph, found.data)
        scale, weight = linear_scale(graph, found.weight), found.weight.quantizer
        operands, quantize = found.operands, found.data.ops[0]
        along_channels = weight.axis == operands.channel_axis and operands.why_not_per_channel() is None
        if scale.size > 1 and not along_channels:
            continue
        fixed = quantize.input("Scale")
        yield _Step(operands, quantize, fixed, found.data.quantizer.bits, scale, weight.bits, None)


def _is_stored(var: Var) -> bool:
    """True for a weight that dequantize_linear reads as it is: integers, of whatever type."""
    return var.producer is None and var.persistable


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
        right = right_instead(step.activation_bits, "quantize with activation_bits=8")
        raise PassError(
            f"{op} reads {source.name!r}, quantized to {step.activation_bits} bits, and Paddle Lite quantizes"
            f" activations to {ACTIVATION_BITS} bits: {right}."
        )
    weight = graph.weights[step.operands.weight.name]
    if bits_for(weight) > np.iinfo(_stored_as(step.weight_bits)).bits:
        raise PassError(
            f"{op} reads {step.operands.weight.name!r}, said to be quantized to {step.weight_bits} bits,"
            f" which hold no {np.abs(weight).max():g}: the parameters are those of another model; save both"
            " files again."
        )
    if step.dequantize is not None:
        accumulator = step.operands.output
        if len(accumulator.consumers) > 1 or is_fetched(graph, accumulator):
            raise PassError(
                f"{op} writes {accumulator.name!r}, which is read or fetched besides dequantized."
            )


def _check_the_rest(graph: Graph, steps: list[_Step]) -> None:
    """Refuse quantize and dequantize ops that are neither part of a step nor become calib ops."""
    broken = broken_op(graph)
    if broken is not None:
        raise broken
    converted = {step.operands.op for step in steps}
    frozen = [step for step in steps if step.dequantize is not None]
    taken = {step.dequantize for step in frozen}
    taken |= {step.activation for step in frozen if _serves(step.activation, converted)}
    quantizers = [op for op in graph.ops if op.type in _QUANTIZERS and not is_observer(op)]
    rest = [op for op in quantizers if op not in taken]
    training = _training_ops(graph)
    left = [op for op in rest if op in training or not _can_convert(op, converted)]
    if left:
        raise PassError(
            f"quantization is still that of training in {first_of(left, 'op')}: freeze the graph before it is"
            " lowered (pipeline freeze, or `qcc freeze`)."
        )
    for op in rest:
        if op.type not in _UNDOING:
            _activation_step(graph, op)


def _training_ops(graph: Graph) -> set[Op]:
    """The quantize and dequantize ops in front of ops that are transformed, and not frozen."""
    found = [trips for op in graph.ops if (trips := round_trips(op)) is not None and not trips.is_stored]
    return {op for trips in found for op in (*trips.data.ops, *trips.weight.ops)}


def _serves(quantize: Op, converted: set[Op]) -> bool:
    return converted.issuperset(quantize.output("Out").consumers)


def _can_convert(op: Op, converted: set[Op]) -> bool:
    """True for an op of a round trip on its own, and for the one that makes a float of a stored weight."""
    if op.type in FUSED_OPS:
        return not op.input("X").persistable
    if op.type in _UNDOING:
        trip = round_trip(op.output(_written(op)))
        return trip is not None and (trip.shape == "stored" or not trip.is_weight)
    readers = op.output(_written(op)).consumers
    undone = all(reader in converted or reader.type in _UNDOING for reader in readers)
    return undone and not op.input("X").persistable


def _written(op: Op) -> str:
    return "Y" if op.type.endswith("_linear") else "Out"


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
    lowest = _lowest(step.activation)
    if lowest != USUAL_LOWEST:
        graph.set_attr(op, LOWEST, lowest)
    if step.dequantize is not None:
        result, accumulator = step.dequantize.output("Out"), operands.output
        slot = KINDS[op.type].output
        remove_op(graph, step.dequantize, keep=result)
        graph.set_output(op, slot, [result])
        graph.remove_var(accumulator)
    for var in old:
        _remove_unread(graph, var)


def _stored_as(bits: int) -> type[np.signedinteger]:
    """The type of a weight of so many bits in the file."""
    return np.int8 if bits <= ACTIVATION_BITS else np.int16


def _pack(graph: Graph, stored: Var, bits: int, readers: set[Op]) -> Var:
    """The weight as INT8 (INT16 above 8 bits), under its own name where only converted ops read it."""
    dtype = _stored_as(bits)
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
    """Round trips that no op with a weight has taken up, as calib ops or plain weights."""
    calibs = Calibs(graph)
    converted = False
    for op in graph.ops:
        if not graph.has_op(op) or op.type not in (*FUSED_OPS, *_UNDOING):
            continue
        trip = round_trip(op.output(_written(op)))
        if trip is not None:
            _convert_round_trip(graph, trip, calibs)
            converted = True
    return converted


def _convert_round_trip(graph: Graph, trip: RoundTrip, calibs: Calibs) -> None:
    first, last = trip.ops[0], trip.ops[-1]
    if trip.shape == "stored":
        become_weight(graph, trip.result, dequantize_stored(graph, trip))
        return
    step = _activation_step(graph, first)
    integers = calibs.quantized(trip.source, step, _lowest(first), last)
    between = last.input("X")
    _replace(graph, last, trip.result, calibs.dequantized(integers, step, last))
    if first is not last:
        _remove_unread(graph, between)


def _lowest(quantize: Op) -> int:
    """The lowest integer that an op quantizes to."""
    linear = quantize.type == "quantize_linear" or int(quantize.attr("round_type", 1)) == 0
    return _LOWEST_LINEAR if linear else USUAL_LOWEST


def _activation_step(graph: Graph, op: Op) -> float:
    """The step of what an op quantizes by itself.  Raises PassError where no calib op can do it."""
    if "Scale" not in op.inputs and "InScale" not in op.inputs:
        raise PassError(
            f"{op} measures its scale at every run (activation_type=abs_max), which Paddle Lite cannot do:"
            " quantize with activation_type=moving_average_abs_max or range_abs_max."
        )
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
