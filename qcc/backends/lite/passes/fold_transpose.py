"""fold-transpose: a product with a transposed weight becomes one with the weight's transpose."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc.backends.lite.passes.lite_pass import LitePass
from qcc.ir.graph import Graph
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.rewrite import is_weight, set_weight

_TRANSPOSE = {"matmul": "transpose_Y", "matmul_v2": "trans_y"}


@options(frozen=True, config=OPTIONS)
class FoldTranspose(LitePass):
    """Store a weight that a product reads transposed the other way round.

    Before:

        y = matmul_v2(X=x, Y=w)  {trans_y = true}

    After, `w` being the transpose of what it was:

        y = matmul_v2(X=x, Y=w)  {trans_y = false}

    Weights of more than two dimensions are left alone.
    """

    name: ClassVar[str] = "fold-transpose"
    runs_in_paddle: ClassVar[bool] = True

    def apply(self, graph: Graph) -> PassResult:
        modified = False
        for op in graph.ops:
            flag = _TRANSPOSE.get(op.type)
            if flag is None or not op.attr(flag, False):
                continue
            weight = op.input("Y")
            if is_weight(graph, weight) and len(weight.shape) == 2:
                transposed = np.ascontiguousarray(graph.weights[weight.name].T)
                set_weight(graph, op, "Y", transposed, f"{op.output('Out').name}.weight")
                graph.set_flag(op, flag, False)
                modified = True
        return PassResult(modified)
