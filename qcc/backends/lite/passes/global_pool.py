"""global-pool: adaptive pooling to one pixel is global pooling."""

from __future__ import annotations

from typing import ClassVar

from pydantic.dataclasses import dataclass as options

from qcc.backends.lite.passes.lite_pass import LitePass
from qcc.ir.graph import Graph
from qcc.passes.base import OPTIONS, PassResult


@options(frozen=True, config=OPTIONS)
class GlobalPool(LitePass):
    """Say that adaptive pooling to one pixel is global pooling, for which there is a faster kernel.

    Before:

        y = pool2d(X=x)  {adaptive = true, ksize = [1, 1]}

    After:

        y = pool2d(X=x)  {adaptive = false, global_pooling = true, ksize = [1, 1]}
    """

    name: ClassVar[str] = "global-pool"
    runs_in_paddle: ClassVar[bool] = True

    def apply(self, graph: Graph) -> PassResult:
        modified = False
        for op in graph.ops:
            if op.type == "pool2d" and op.attr("adaptive", False) and list(op.attr("ksize")) == [1, 1]:
                graph.set_attr(op, "adaptive", False)
                graph.set_attr(op, "global_pooling", True)
                modified = True
        return PassResult(modified)
