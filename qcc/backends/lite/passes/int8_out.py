"""lite-int8-out: int8 from op to op where nobody needs floats in between."""

from __future__ import annotations

from typing import ClassVar

from pydantic.dataclasses import dataclass as options

from qcc.backends.lite.passes.int8_op import Int8Op, int8_op
from qcc.backends.lite.passes.lite_pass import LitePass
from qcc.ir.graph import Graph
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.rewrite import is_fetched
from qcc.targets.lite import Arch

_WITH_INT8_OUTPUT = ("conv2d", "depthwise_conv2d", "conv2d_transpose", "fc")


@options(frozen=True, config=OPTIONS)
class LiteInt8Out(LitePass):
    """Let an op write integers where all readers of its output run in int8 with one and the same step.

    Before:

        y = conv2d(Input=x, Filter=w)  {enable_int8 = true, ...}
        z = conv2d(Input=y, Filter=v)  {enable_int8 = true, Input0_scale = [s], ...}

    After, `y.int8` of dtype INT8:

        y.int8 = conv2d(Input=x, Filter=w)  {enable_int8 = true, Output0_scale = [s], ...}
        z = conv2d(Input=y.int8, Filter=v)  {enable_int8 = true, Input0_scale = [s], ...}

    On x86 an op with a fused leaky_relu goes on writing floats: its kernel's integers are wrong.
    """

    name: ClassVar[str] = "lite-int8-out"

    arch: Arch = "arm"

    def apply(self, graph: Graph) -> PassResult:
        modified = False
        for op in graph.ops:
            found = int8_op(op)
            if found is None or not self._has_kernel(found):
                continue
            step = _readers_step(graph, found)
            if step is not None:
                _write_integers(graph, found, step)
                modified = True
        return PassResult(modified)

    def _has_kernel(self, found: Int8Op) -> bool:
        leaky = found.op.attr("with_act") and found.op.attr("act_type") == "leaky_relu"
        return found.op.type in _WITH_INT8_OUTPUT and not (self.arch == "x86" and leaky)


def _readers_step(graph: Graph, found: Int8Op) -> float | None:
    """The step with which all readers of an op's output read it as integers; None when one does not."""
    output = found.output
    if not output.consumers or is_fetched(graph, output) or found.op.attr(f"{found.output_slot}0_scale"):
        return None
    steps = set()
    for reader in output.consumers:
        reading = int8_op(reader)
        if reading is None or [var for var in reader.all_inputs() if var is output] != [reading.data]:
            return None
        steps.add(reading.data_step)
    return steps.pop() if len(steps) == 1 else None


def _write_integers(graph: Graph, found: Int8Op, step: float) -> None:
    floats = found.output
    integers = graph.add_var(f"{floats.name}.int8", "int8", floats.shape)
    graph.replace_uses(floats, integers)
    graph.set_output(found.op, found.output_slot, [integers])
    graph.set_attr(found.op, f"{found.output_slot}0_scale", [step])
    graph.remove_var(floats)
