"""How an op that is to run in int8 looks in a lowered graph, and the calib ops at its borders.

    y = conv2d(Input=x, Filter=w)  {enable_int8 = true, bit_length = 8,
                                    Input0_scale = [step of x], Filter0_scale = [step per channel]}

`w` is INT8 (INT16 where it has more than 8 bits) in its usual layout. A step is what one integer stands
for: a scale divided by the largest integer, so that a real number is integer * step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qcc._paddle import VarType
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.numerics import max_int
from qcc.passes.quantizable import KINDS, Operands
from qcc.passes.rewrite import set_attrs

ENABLED = "enable_int8"
LOWEST = "qcc_lowest"
"""Attribute of int8 and calib ops, for qcc alone: the lowest integer, where it is not -127.

fake_quantize ops and Paddle Lite's kernels keep to -127 and 127; quantize_linear goes down to -128.
"""

ACTIVATION_BITS = 8
USUAL_LOWEST = -max_int(ACTIVATION_BITS)

# Slots of ops: activation, weight, output. After lowering there are fc ops besides the quantizable ones.
_SLOTS = {kind.type: (kind.data, kind.weight, kind.output) for kind in KINDS.values()}
_SLOTS["fc"] = ("Input", "W", "Out")


@dataclass(frozen=True)
class Int8Op:
    """An op with `enable_int8`."""

    op: Op

    @property
    def swapped(self) -> bool:
        """True when the weight stands in the activation's slot."""
        return self.op.input(_SLOTS[self.op.type][0]).persistable

    @property
    def data_slot(self) -> str:
        data, weight, _ = _SLOTS[self.op.type]
        return weight if self.swapped else data

    @property
    def weight_slot(self) -> str:
        data, weight, _ = _SLOTS[self.op.type]
        return data if self.swapped else weight

    @property
    def output_slot(self) -> str:
        return _SLOTS[self.op.type][2]

    @property
    def data(self) -> Var:
        return self.op.input(self.data_slot)

    @property
    def weight(self) -> Var:
        return self.op.input(self.weight_slot)

    @property
    def output(self) -> Var:
        return self.op.output(self.output_slot)

    @property
    def data_step(self) -> float:
        return float(self.op.attr(f"{self.data_slot}0_scale")[0])

    @property
    def lowest(self) -> int:
        """The lowest integer that the activation is quantized to."""
        return lowest_of(self.op)

    @property
    def weight_steps(self) -> np.ndarray:
        """float32 [output channels]."""
        return np.array(self.op.attr(f"{self.weight_slot}0_scale"), np.float32)

    @property
    def is_grouped(self) -> bool:
        return int(self.op.attr("groups", 1)) > 1


def lowest_of(op: Op) -> int:
    """The lowest integer that an int8 or calib op is meant to quantize to."""
    return int(op.attr(LOWEST, USUAL_LOWEST))


def int8_op(op: Op) -> Int8Op | None:
    """The op as one that is to run in int8, None when it is not."""
    return Int8Op(op) if op.type in _SLOTS and op.attr(ENABLED) else None


def step_of(scale: np.ndarray, bits: int) -> np.ndarray:
    """What one integer stands for: scale / max_int, float32."""
    return np.asarray(scale, np.float32) / np.float32(max_int(bits))


def weight_steps(operands: Operands, weight: Var, scale: np.ndarray, bits: int) -> np.ndarray:
    """The step of each output channel, float32: from scales along the weight's channel axis, or one [1]."""
    if operands.why_not_per_channel() is not None:
        return step_of(scale, bits)
    along_axis = np.broadcast_to(scale, weight.shape[operands.channel_axis])
    return step_of(operands.output_scales(along_axis), bits)


def enable_int8(graph: Graph, operands: Operands, source: Var, step: float, steps: np.ndarray) -> None:
    """Let an op read `source`, whose integers have this step, and carry the steps of both its operands."""
    op = operands.op
    graph.set_input(op, operands.data_slot, [source])
    attrs: dict[str, Any] = {
        ENABLED: True,
        "bit_length": ACTIVATION_BITS,
        f"{operands.data_slot}0_scale": [step],
        f"{operands.weight_slot}0_scale": steps.tolist(),
    }
    set_attrs(graph, op, attrs)


def disable_int8(graph: Graph, op: Op) -> None:
    """Take off what `enable_int8` has put on an op."""
    data, weight, output = _SLOTS[op.type]
    for name in (ENABLED, LOWEST, "bit_length", f"{data}0_scale", f"{weight}0_scale", f"{output}0_scale"):
        graph.remove_attr(op, name)


class Calibs:
    """The calib ops of a graph: one per variable, step and direction, whoever reads its output."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._made: dict[tuple[Var, str, float, int], Var] = {}
        for op in graph.ops:
            if op.type == "calib":
                source, result = op.input("Input"), op.output("Out")
                dtype = "int8" if result.dtype == VarType.INT8 else "float32"
                self._made[source, dtype, op.attr("scale"), lowest_of(op)] = result

    def quantized(self, var: Var, step: float, lowest: int, reader: Op) -> Var:
        """The INT8 form of a float variable, for an op that reads it."""
        return self._converted(var, "int8", step, lowest, reader)

    def dequantized(self, var: Var, step: float, reader: Op) -> Var:
        """The float form of an INT8 variable, for an op that reads it."""
        return self._converted(var, "float32", step, USUAL_LOWEST, reader)

    def _converted(self, var: Var, dtype: str, step: float, lowest: int, reader: Op) -> Var:
        # What the op's attribute, a float32, will hold.
        key = (var, dtype, float(np.float32(step)), lowest)
        if key not in self._made:
            name = f"{var.name}.{dtype}"
            if name in self._graph:
                # The same variable, read with another step.
                name = f"{name}.{next(reader.all_outputs()).name}"
            result = self._graph.add_var(name, dtype, var.shape)
            attrs: dict[str, Any] = {"scale": step}
            if lowest != USUAL_LOWEST:
                attrs[LOWEST] = lowest
            self._graph.add_op("calib", {"Input": var}, {"Out": result}, attrs, before=reader)
            self._made[key] = result
        return self._made[key]
