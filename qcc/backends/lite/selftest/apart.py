"""A lowered graph cut apart where integers pass from op to op: each op runs on integers that are given.

In a deep network one value on a rounding boundary moves all that follows, on the device as in Paddle itself:
only on equal inputs can it be told whether an op is right.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qcc._paddle import VarType
from qcc.backends.lite.passes.int8_op import Int8Op, int8_op, lowest_of
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var

_GIVEN = ".given"
_INT8 = ".int8"


@dataclass(frozen=True)
class Integers:
    """An INT8 variable of a lowered graph: the float variable `source` of the model, quantized by `step`."""

    name: str
    source: str
    step: float
    lowest: int

    def of(self, values: np.ndarray) -> np.ndarray:
        """int8: round(values / step), ties away from zero, as Paddle Lite's calib kernels do."""
        scaled = np.asarray(values, np.float64) / self.step
        rounded = np.copysign(np.floor(np.abs(scaled) + 0.5), scaled)
        return np.clip(rounded, self.lowest, 127).astype(np.int8)


def take_apart(lowered: Graph, model: Graph) -> list[Integers]:
    """Before: `y.int8 = conv2d(x.int8); z = conv2d(y.int8)`, after: `y.int8 = conv2d(x.int8.given)` and
    `z = conv2d(y.int8.given)`, with the feeds `*.given` and the fetches `*.int8`.

    The integers that are fed and fetched, in the order of the new feeds and fetches, which follow those of
    before. `lowered` is changed.
    """
    found = list(_integers(lowered, model))
    for one in found:
        var = lowered.var(one.name)
        # What a variable inside of a model is declared as need not be the size that it has.
        fed = lowered.add_var(one.name + _GIVEN, "int8", (-1,) * len(var.shape))
        lowered.replace_uses(var, fed)
    lowered.feeds += tuple(one.name + _GIVEN for one in found)
    lowered.fetches += tuple(one.name for one in found)
    return found


def _integers(lowered: Graph, model: Graph) -> Iterator[Integers]:
    for op in lowered.ops:
        for var in op.all_outputs():
            if var.dtype == VarType.INT8 and var.consumers:
                found = _described(op, var)
                if found is not None and found.source in model:
                    yield found


def _described(op: Op, var: Var) -> Integers | None:
    if op.type == "calib":
        return Integers(var.name, op.input("Input").name, op.attr("scale"), lowest_of(op))
    writer = int8_op(op)
    if writer is None or not var.name.endswith(_INT8):
        return None
    return Integers(var.name, var.name.removesuffix(_INT8), _output_step(writer), lowest_of(op))


def _output_step(writer: Int8Op) -> float:
    return float(writer.op.attr(f"{writer.output_slot}0_scale")[0])
