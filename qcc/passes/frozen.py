"""How a frozen op looks, how the frozen ops of a graph are found, and how an op becomes one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qcc._paddle import VarType
from qcc.errors import PassError
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.numerics import bits_for, max_int
from qcc.passes.fake_quant import DEQUANTIZE_OPS, QUANTIZE_OPS, Quantizer, read_quantizer
from qcc.passes.quantizable import KINDS, Operands


@dataclass(frozen=True)
class FrozenOp:
    """A quantized op with the activation's quantize op in front and its one dequantize op behind."""

    operands: Operands
    quantize: Op
    dequantize: Op

    @property
    def op(self) -> Op:
        return self.operands.op

    @property
    def weight(self) -> Var:
        """The integers, stored as float32 or INT8."""
        return self.operands.weight

    @property
    def activation_quantizer(self) -> Quantizer:
        return read_quantizer(self.quantize)

    @property
    def per_channel(self) -> bool:
        return self.dequantize.type == "fake_channel_wise_dequantize_max_abs"

    def weight_bits(self, graph: Graph) -> int:
        """Bits of the weight. Where a per-tensor op does not record them, the fewest that hold its
        integers: `weight_scale` for these bits gives the same values."""
        if self.per_channel:
            return int(self.dequantize.attr("quant_bits")[0])
        return bits_for(graph.weights[self.weight.name])

    def weight_scale(self, graph: Graph) -> np.ndarray:
        """The weight's scale, float32: [channels] along its channel axis, or [1]."""
        if self.per_channel:
            scales = graph.weights[self.dequantize.inputs["Scales"][0].name]
            return scales[: self.weight.shape[self.operands.channel_axis]]
        product = max_int(self.weight_bits(graph)) * max_int(self.activation_quantizer.bits)
        return np.array([product / self.dequantize.attr("max_range")], np.float32)


def frozen_op(op: Op) -> FrozenOp | None:
    """The op as a frozen one, None when it is not: what stands around it tells, whoever has made it."""
    found = integer_op(op)
    if found is None:
        return None
    readers = [reader for reader in found.output.consumers if reader.type in DEQUANTIZE_OPS]
    if len(readers) != 1:
        return None
    (quantized,) = op.inputs[found.data_slot]
    assert quantized.producer is not None
    return FrozenOp(found, quantized.producer, readers[0])


def integer_op(op: Op) -> Operands | None:
    """An op with a weight that reads what a fake quantize op has made, whether frozen or broken."""
    kind = KINDS.get(op.type)
    if kind is None or len(op.inputs.get(kind.data, ())) != 1 or len(op.inputs.get(kind.weight, ())) != 1:
        return None
    left, right = op.input(kind.data), op.input(kind.weight)
    swapped = left.persistable
    data, weight = (right, left) if swapped else (left, right)
    quantize = data.producer
    if quantize is None or quantize.type not in QUANTIZE_OPS:
        return None
    if not weight.persistable or weight.producer is not None:
        return None
    if weight.dtype not in (VarType.FP32, VarType.INT8):
        return None
    return Operands(op, quantize.input("X"), weight, op.output(kind.output), swapped)


def frozen_ops(graph: Graph) -> Iterator[FrozenOp]:
    """The frozen ops of a graph, in order."""
    for op in graph.ops:
        found = frozen_op(op)
        if found is not None:
            yield found


def are_whole(graph: Graph, found: FrozenOp) -> bool:
    """Whether the weights of a frozen op are the integers that they stand for."""
    weight = graph.weights[found.weight.name]
    return bool(np.isfinite(weight).all()) and np.array_equal(weight, np.round(weight))


def check_frozen(graph: Graph, found: FrozenOp) -> None:
    """Raise PassError when a frozen op does not compute what it looks like."""
    if not are_whole(graph, found):
        raise PassError(
            f"{found.op} stands between a quantize and a dequantize op, but its weight {found.weight.name!r}"
            " holds no integers: the parameters are those of another model, or Paddle's round_type='adaround'"
            " has left them unrounded, in which case quantize with round_type='round'."
        )
    scales = found.dequantize.inputs["Scales" if found.per_channel else "Scale"]
    wanted = found.quantize.output("OutScale")
    if scales[-1].name != wanted.name and not _equal_values(graph, scales[-1], wanted):
        raise PassError(
            f"{found.dequantize} multiplies by the scale {scales[-1].name!r}, but {found.quantize} quantizes"
            f" by {wanted.name!r}, which is another one: the model is not what was evaluated; save it again."
        )


def _equal_values(graph: Graph, left: Var, right: Var) -> bool:
    if left.name not in graph.weights or right.name not in graph.weights:
        return False
    return np.array_equal(graph.weights[left.name].reshape(-1), graph.weights[right.name].reshape(-1))


def no_frozen_op(graph: Graph) -> PassError:
    """What to say of a graph without a frozen op, where one is needed."""
    return broken_op(graph) or PassError("the graph has no frozen op: run freeze first.")


def broken_op(graph: Graph) -> PassError | None:
    """Why the first op that reads integers is not frozen; None when there is no such op."""
    for op in graph.ops:
        found = integer_op(op)
        if found is None or frozen_op(op) is not None:
            continue
        return PassError(
            f"{op} reads the integers of a fake quantize op, but no dequantize op follows it, so that what it"
            " writes means nothing: the model was cut, or is damaged; export it again."
        )
    return None


@dataclass(frozen=True)
class Integers:
    """The integers of a weight: the variable that holds them, and what they stand for.

    `scale` is float32 [channels] along `axis`, or [1] where that is None; `scale_name` is what the variable
    is to be called that holds the scales of channels.
    """

    name: str
    scale_name: str
    scale: np.ndarray
    bits: int
    axis: int | None

    def channel_scale_name(self, found: Operands) -> str:
        """The variable of the scales along the output's channels."""
        # Transposed convolutions of several groups have the weight's scales several times.
        copies = found.output_scales(self.scale).size // self.scale.size
        return self.scale_name + (f".{copies}" if copies > 1 else "")


def dequantize_behind(
    graph: Graph, found: Operands, weight: Integers, data_scale: Var, data_bits: int
) -> None:
    """Let an op whose data are integers read those of its weight, too, and dequantize what it writes."""
    op, out = found.op, found.output
    graph.set_input(op, found.weight_slot, [graph.var(weight.name)])
    accumulator = graph.add_var_like(f"{out.name}.accumulator", out)
    kind = KINDS[op.type]
    graph.set_output(op, kind.output, [accumulator])
    if weight.axis is None:
        # In float64, as Paddle computes it; the attribute itself is a float32.
        max_range = max_int(weight.bits) * max_int(data_bits) / float(weight.scale[0])
        graph.add_op(
            "fake_dequantize_max_abs",
            {"X": accumulator, "Scale": data_scale},
            {"Out": out},
            {"max_range": max_range, "op_role": 0},
            after=op,
        )
        return
    attrs = {
        "quant_bits": [weight.bits, data_bits],
        "quant_axis": kind.axis,
        "x_num_col_dims": found.output_channel_dim,
        "op_role": 0,
    }
    graph.add_op(
        "fake_channel_wise_dequantize_max_abs",
        {"X": accumulator, "Scales": [_channel_scale(graph, found, weight), data_scale]},
        {"Out": out},
        attrs,
        after=op,
    )


def _channel_scale(graph: Graph, found: Operands, weight: Integers) -> Var:
    """The scales along the output's channels; ops that share the weight share them."""
    name = weight.channel_scale_name(found)
    if name in graph:
        return graph.var(name)
    value = found.output_scales(weight.scale)
    return graph.add_var(name, "float32", value.shape, value)
