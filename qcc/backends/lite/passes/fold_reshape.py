"""fold-reshape: a reshaped weight becomes a weight of that shape."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc.backends.lite.passes.lite_pass import LitePass
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.rewrite import become_weight, is_weight

_RESHAPES = ("reshape2", "unsqueeze2", "squeeze2", "flatten_contiguous_range")


@options(frozen=True, config=OPTIONS)
class FoldReshape(LitePass):
    """Let a reshape of a weight be a weight: Paddle adds a bias of a convolution as one.

    Before:

        c = reshape2(X=b)  {shape = [1, 16, 1, 1]}
        y = elementwise_add(X=x, Y=c)

    After, with a weight `c` of shape [1, 16, 1, 1]:

        y = elementwise_add(X=x, Y=c)
    """

    name: ClassVar[str] = "fold-reshape"
    runs_in_paddle: ClassVar[bool] = True

    def apply(self, graph: Graph) -> PassResult:
        modified = False
        for op in graph.ops:
            if _reshapes_weight(graph, op):
                out = op.output("Out")
                become_weight(graph, out, graph.weights[op.input("X").name].reshape(out.shape))
                modified = True
        return PassResult(modified)


def _reshapes_weight(graph: Graph, op: Op) -> bool:
    if op.type not in _RESHAPES or len(list(op.all_inputs())) != 1 or not is_weight(graph, op.input("X")):
        return False
    out = op.output("Out")
    value = graph.weights[op.input("X").name]
    known = all(size > 0 for size in out.shape) and int(np.prod(out.shape)) == value.size
    unread = not any(var.consumers for var in op.outputs.get("XShape", ()))
    return known and unread and len(graph.versions(out.name)) == 1
