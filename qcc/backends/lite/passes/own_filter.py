"""lite-own-filter: a filter of its own for each int8 transposed convolution."""

from __future__ import annotations

from typing import ClassVar

from pydantic.dataclasses import dataclass as options

from qcc.backends.lite.passes.graph_op import GraphOp
from qcc.backends.lite.passes.lite_pass import LitePass
from qcc.backends.lite.rules.arm import meets
from qcc.ir.graph import Graph
from qcc.passes.base import OPTIONS, PassResult


@options(frozen=True, config=OPTIONS)
class LiteOwnFilter(LitePass):
    """Copy the filter of an int8 transposed convolution that another op reads as well.

    Before:

        y = conv2d_transpose(Input=x, Filter=w)  {enable_int8 = true, ...}
        z = conv2d_transpose(Input=y, Filter=w)  {enable_int8 = true, ...}

    After, with a weight `y.filter` equal to `w`:

        y = conv2d_transpose(Input=x, Filter=y.filter)  {enable_int8 = true, ...}
        z = conv2d_transpose(Input=y, Filter=w)  {enable_int8 = true, ...}

    The ARM kernel packs the filter in its place, so that the next reader takes packed numbers for a filter.
    """

    name: ClassVar[str] = "lite-own-filter"

    def apply(self, graph: Graph) -> PassResult:
        modified = False
        for op in graph.ops:
            if meets(GraphOp(graph, op), "shared-transposed-filter"):
                shared = op.input("Filter")
                name = f"{op.output('Output').name}.filter"
                copy = graph.add_weight_like(name, shared, graph.weights[shared.name])
                graph.set_input(op, "Filter", [copy])
                modified = True
        return PassResult(modified)
