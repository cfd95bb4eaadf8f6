"""unpack: store INT8 weights as float32 again."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc._paddle import VarType
from qcc.ir.graph import Graph
from qcc.ir.nodes import Var
from qcc.passes.base import OPTIONS, Pass, PassResult, check_free
from qcc.passes.frozen import frozen_ops
from qcc.passes.integer_weights import to_floats


@options(frozen=True, config=OPTIONS)
class Unpack(Pass):
    """Store INT8 weights of frozen ops as float32 integers again, for kernels that need it.

    Where weights alone are integers, they become the floats that they stand for, and the model a float one.

    Before:

        out.accumulator = conv2d(Input=x.quantized, Filter=w.int8)

    After:

        out.accumulator = conv2d(Input=x.quantized, Filter=w)
    """

    name: ClassVar[str] = "unpack"

    def apply(self, graph: Graph) -> PassResult:
        packed = {found.weight: found.op for found in frozen_ops(graph) if found.weight.dtype == VarType.INT8}
        for weight, op in packed.items():
            check_free(graph, op, [_unpacked_name(weight)])
        turned = to_floats(graph)
        for weight in packed:
            q = graph.weights[weight.name].astype(np.float32)
            unpacked = graph.add_weight_like(_unpacked_name(weight), weight, q)
            graph.replace_uses(weight, unpacked)
            graph.remove_var(weight)
        return PassResult(turned or bool(packed))


def _unpacked_name(weight: Var) -> str:
    name = weight.name.removesuffix(".int8")
    return name if name != weight.name else f"{name}.float32"
