"""Which ops can be quantized, and where their activation and weight stand."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

import numpy as np

from qcc._paddle import VarType
from qcc.ir.nodes import Op, Var

QUANTIZATION_TYPE = "quantization_type"
WITH_WEIGHT = "qat_with_weight"


@dataclass(frozen=True)
class OpKind:
    """One row of the table: slots of an op type, and the axis of its weight's output channels.

    `transpose` names the attribute that turns a two-dimensional weight's axes round.
    """

    type: str
    data: str
    weight: str
    output: str
    axis: int
    transpose: str | None = None


KINDS = {
    kind.type: kind
    for kind in (
        OpKind("conv2d", "Input", "Filter", "Output", axis=0),
        OpKind("depthwise_conv2d", "Input", "Filter", "Output", axis=0),
        OpKind("conv2d_transpose", "Input", "Filter", "Output", axis=1),
        OpKind("mul", "X", "Y", "Out", axis=1),
        OpKind("matmul", "X", "Y", "Out", axis=1, transpose="transpose_Y"),
        OpKind("matmul_v2", "X", "Y", "Out", axis=1, transpose="trans_y"),
    )
}
OP_TYPES = tuple(KINDS)
MATRIX_OPS = ("mul", "matmul", "matmul_v2")


def multiplies_by(var: Var) -> bool:
    """Whether a product of matrices reads a variable as its right operand."""
    return any(op.type in MATRIX_OPS and var in op.inputs.get("Y", ()) for op in var.consumers)


@dataclass(frozen=True)
class Operands:
    """An op's activation, weight and output. `swapped`: the weight stands in the activation's slot."""

    op: Op
    data: Var
    weight: Var
    output: Var
    swapped: bool

    @property
    def data_slot(self) -> str:
        """The input slot of the activation."""
        kind = KINDS[self.op.type]
        return kind.weight if self.swapped else kind.data

    @property
    def weight_slot(self) -> str:
        """The input slot of the weight."""
        kind = KINDS[self.op.type]
        return kind.data if self.swapped else kind.weight

    @property
    def channel_axis(self) -> int:
        """The weight's axis that runs along the output's channels."""
        return channel_axis(self.op)

    def why_not_per_channel(self) -> str | None:
        """Why one scale per output channel is impossible here; None when it is possible."""
        if self.swapped:
            return f"its weight {self.weight.name!r} is the left operand, whose rows are no channels"
        if self.op.type in MATRIX_OPS and len(self.weight.shape) != 2:
            return f"its weight {self.weight.name!r} has {len(self.weight.shape)} dimensions, not 2"
        if self.op.type == "mul" and self.op.attr("y_num_col_dims", 1) != 1:
            return "its y_num_col_dims is not 1"
        if self.op.type in MATRIX_OPS and len(self.output.shape) < 2:
            return f"its output {self.output.name!r} has no dimension besides the channels"
        return None

    def output_scales(self, weight_scales: np.ndarray) -> np.ndarray:
        """Scales of the output's channels, float32 [channels], from those along the weight's axis.

        A grouped transposed convolution has the weight [in, out / groups, h, w]: each group repeats
        the scales.
        """
        if self.op.type == "conv2d_transpose":
            return np.tile(weight_scales, self.op.attr("groups", 1))
        return weight_scales

    @property
    def output_channel_dim(self) -> int:
        """The `x_num_col_dims` of the dequantize op after this one: where its channels stand."""
        if self.op.type == "mul":
            return int(self.op.attr("x_num_col_dims", 1))
        if self.op.type in MATRIX_OPS or self.op.attr("data_format") == "NHWC":
            return len(self.output.shape) - 1
        return 1


def channel_axis(op: Op) -> int:
    """The axis of the weight of an op of one of `KINDS` that runs along the output's channels."""
    kind = KINDS[op.type]
    if kind.transpose is not None and op.attr(kind.transpose, False):
        return 0
    return kind.axis


def layer_of(var: Var, others: Container[str] = ()) -> Op | None:
    """The op that what writes a variable belongs to: the one with a weight in front of its bias, its norm and
    its activation function, which read nothing else; what writes it where there is none. `others`: variables
    that belong to layers of their own. None for what no op writes."""
    op = var.producer
    while op is not None and op.type not in KINDS:
        read = [one for one in op.all_inputs() if not one.persistable]
        if len(read) != 1 or read[0].name in others:
            return var.producer
        op = read[0].producer
    return op or var.producer


def operands(op: Op) -> Operands | None:
    """The operands of an op that can be quantized: exactly one of two is a float32 weight."""
    kind = KINDS.get(op.type)
    if kind is None or len(op.inputs.get(kind.data, ())) != 1 or len(op.inputs.get(kind.weight, ())) != 1:
        return None
    # A third input, such as the Bias of a fused convolution, would be added to integers.
    if sum(1 for _ in op.all_inputs()) > 2:
        return None
    left, right = op.input(kind.data), op.input(kind.weight)
    if left.persistable == right.persistable:
        return None
    swapped = left.persistable
    if swapped and op.type not in MATRIX_OPS:
        return None
    data, weight = (right, left) if swapped else (left, right)
    # What an op of the program writes is no weight, persistable or not.
    if weight.producer is not None or data.dtype != VarType.FP32 or weight.dtype != VarType.FP32:
        return None
    return Operands(op, data, weight, op.output(kind.output), swapped)
