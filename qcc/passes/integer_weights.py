"""Weights alone stored as integers, as Paddle's `WeightQuantization` does; the op computes in float.

    y = conv2d(Input=x, Filter=w)  {quantize_weight_bits = 8, w_quant_scale = [...]}

`w` is INT8 or INT16, and `w_quant_scale` what one integer stands for, per output channel or for all. Paddle
has no kernels for it; Paddle Lite turns the integers into floats when it loads the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qcc._paddle import VarType
from qcc.errors import PassError
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.quantizable import KINDS

WEIGHT_BITS = "quantize_weight_bits"
_INTEGERS = (VarType.INT8, VarType.INT16)


@dataclass(frozen=True)
class IntegerWeight:
    """An op and its weight; `axis` is that of the channels with a scale each, None for one scale."""

    op: Op
    weight: Var
    axis: int | None

    @property
    def bits(self) -> int:
        return int(self.op.attr(WEIGHT_BITS))

    @property
    def steps(self) -> np.ndarray:
        """What one integer stands for, float32."""
        return np.array(self.op.attr(_steps_attr(self.weight)), np.float32)

    def value(self, graph: Graph) -> np.ndarray:
        """The float32 values that the integers stand for.  Raises PassError."""
        q, steps = graph.weights[self.weight.name], self.steps
        if self.axis is None:
            return q.astype(np.float32) * steps
        if steps.size != q.shape[self.axis]:
            raise PassError(
                f"{self.op} has {steps.size} scales for its weight {self.weight.name!r}, which has"
                f" {q.shape[self.axis]} channels: the model is damaged; quantize it again."
            )
        shape = [-1 if dim == self.axis else 1 for dim in range(q.ndim)]
        return q.astype(np.float32) * steps.reshape(shape)


def integer_weight(op: Op) -> IntegerWeight | None:
    """The op as one whose weight alone is integers; None for every other op."""
    kind = KINDS.get(op.type)
    if kind is None or op.attr(WEIGHT_BITS) is None:
        return None
    for var in op.inputs.get(kind.weight, ()):
        steps = op.attr(_steps_attr(var))
        if var.persistable and var.producer is None and var.dtype in _INTEGERS and steps is not None:
            return IntegerWeight(op, var, None if len(steps) == 1 else kind.axis)
    return None


def integer_weights(graph: Graph) -> Iterator[IntegerWeight]:
    """All of a graph, in order."""
    for op in graph.ops:
        found = integer_weight(op)
        if found is not None:
            yield found


def to_floats(graph: Graph) -> bool:
    """Store such weights as the floats that they stand for.  Raises PassError before the first edit."""
    found = list(integer_weights(graph))
    values = {one.weight: one.value(graph) for one in found}
    places = [
        (reader, slot, list(variables))
        for weight in values
        for reader in weight.consumers
        for slot, variables in reader.inputs.items()
        if weight in variables
    ]
    for reader, slot, _ in places:
        graph.set_input(reader, slot, [])
    floats = {}
    for weight, value in values.items():
        graph.remove_var(weight)
        floats[weight] = graph.add_weight_like(weight.name, weight, value)
    for reader, slot, variables in places:
        graph.set_input(reader, slot, [floats.get(var, var) for var in variables])
    for one in found:
        drop_marks(graph, one.op)
    return bool(found)


def is_marked_float(op: Op) -> bool:
    """True for an op that has the attributes, but a float weight: the model that the tool makes for tests."""
    return op.type in KINDS and op.attr(WEIGHT_BITS) is not None and integer_weight(op) is None


def drop_marks(graph: Graph, op: Op) -> None:
    """Take the attributes off, so that nobody multiplies floats by the scale once more."""
    for name in (WEIGHT_BITS, "quantization_type", *map(_steps_attr, op.all_inputs())):
        graph.remove_attr(op, name)


def _steps_attr(weight: Var) -> str:
    return f"{weight.name}_quant_scale"
