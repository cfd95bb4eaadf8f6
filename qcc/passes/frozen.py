"""How a frozen op looks, and how the frozen ops of a graph are found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qcc._paddle import VarType
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.numerics import bits_for, max_int
from qcc.passes.fake_quant import DEQUANTIZE_OPS, QUANTIZE_OPS, Quantizer, read_quantizer
from qcc.passes.quantizable import KINDS, Operands, is_marked


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
    """The op as a frozen one, None when it is not."""
    kind = KINDS.get(op.type)
    if kind is None or not is_marked(op):
        return None
    left, right = op.input(kind.data), op.input(kind.weight)
    swapped = left.persistable
    data, weight = (right, left) if swapped else (left, right)
    quantize = data.producer
    if quantize is None or quantize.type not in QUANTIZE_OPS or not weight.persistable:
        return None
    if weight.dtype not in (VarType.FP32, VarType.INT8):
        return None
    readers = [reader for reader in op.output(kind.output).consumers if reader.type in DEQUANTIZE_OPS]
    if len(readers) != 1:
        return None
    found = Operands(op, quantize.input("X"), weight, op.output(kind.output), swapped)
    return FrozenOp(found, quantize, readers[0])


def frozen_ops(graph: Graph) -> Iterator[FrozenOp]:
    """The frozen ops of a graph, in order."""
    for op in graph.ops:
        found = frozen_op(op)
        if found is not None:
            yield found
