"""lite-int8-bias: a bias for every grouped convolution that runs in int8."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc.backends.lite.passes.int8_op import int8_op
from qcc.backends.lite.passes.lite_pass import LitePass
from qcc.ir.graph import Graph
from qcc.passes.base import OPTIONS, PassResult


@options(frozen=True, config=OPTIONS)
class LiteInt8Bias(LitePass):
    """Give grouped convolutions that run in int8 a bias of zeros where they have none.

    Before:

        y = depthwise_conv2d(Input=x, Filter=w)  {enable_int8 = true, groups = 8, ...}

    After:

        y = depthwise_conv2d(Input=x, Filter=w, Bias=y.bias)  {enable_int8 = true, groups = 8, ...}

    The runtime's kernels for x86 read the bias of a group without asking whether there is one.
    """

    name: ClassVar[str] = "lite-int8-bias"

    def apply(self, graph: Graph) -> PassResult:
        modified = False
        for op in graph.ops:
            found = int8_op(op)
            if found is None or not found.is_grouped or op.inputs.get("Bias"):
                continue
            zeros = np.zeros(found.weight_steps.size, np.float32)
            bias = graph.add_var(f"{found.output.name}.bias", "float32", zeros.shape, zeros)
            graph.set_input(op, "Bias", [bias])
            modified = True
        return PassResult(modified)
