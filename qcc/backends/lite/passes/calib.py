"""lite-calib: quantize what an int8 op reads from a float one."""

from __future__ import annotations

from typing import ClassVar

from pydantic.dataclasses import dataclass as options

from qcc._paddle import VarType
from qcc.backends.lite.passes.int8_op import Calibs, int8_op
from qcc.backends.lite.passes.lite_pass import LitePass
from qcc.ir.graph import Graph
from qcc.passes.base import OPTIONS, PassResult


@options(frozen=True, config=OPTIONS)
class LiteCalib(LitePass):
    """Put a calib op where a float variable meets an op that runs in int8.

    Before:

        y = conv2d(Input=x, Filter=w)  {enable_int8 = true, Input0_scale = [s], ...}

    After:

        x.int8 = calib(Input=x)  {scale = s}
        y = conv2d(Input=x.int8, Filter=w)  {enable_int8 = true, Input0_scale = [s], ...}

    A variable gets one calib op per step, however many ops read it.
    """

    name: ClassVar[str] = "lite-calib"

    def apply(self, graph: Graph) -> PassResult:
        calibs = Calibs(graph)
        modified = False
        for op in graph.ops:
            found = int8_op(op)
            if found is not None and found.data.dtype == VarType.FP32:
                integers = calibs.quantized(found.data, found.data_step, found.lowest, op)
                graph.set_input(op, found.data_slot, [integers])
                modified = True
        return PassResult(modified)
