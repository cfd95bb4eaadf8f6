"""channel-gains: products with ones in front of layers, which `equalize` divides channels by."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc.errors import PassError
from qcc.ir.graph import Graph
from qcc.passes.base import OPTIONS, Pass, PassResult, check_test_graph
from qcc.passes.channels import Unlinked, unlinked
from qcc.passes.rewrite import free_name, slot_of


@options(frozen=True, config=OPTIONS)
class ChannelGains(Pass):
    """Put a product with a factor per channel, which is 1, behind chosen variables.

    Before:

        e = hard_swish(X=d)
        y = conv2d(Input=e, Filter=w)

    After, with variables=[e]:

        e.plain = hard_swish(X=d)
        e = elementwise_mul(X=e.plain, Y=e.gain) {axis=1}
        y = conv2d(Input=e, Filter=w)

    No factor per channel passes through hard_swish, swish, gelu, sums or concatenations: where one channel is
    much larger than the others, one scale for all drowns these. Of the product, `equalize` divides what the
    layers take in. What they read keeps its name. Left is what `equalize` comes to anyway.
    """

    name: ClassVar[str] = "channel-gains"

    variables: tuple[str, ...] = ()

    def apply(self, graph: Graph) -> PassResult:
        check_test_graph(self, graph)
        found = {one.var.name: one for one in unlinked(graph)}
        modified = False
        for name in self.variables:
            if name in found:
                _insert(graph, found[name])
                modified = True
            elif name not in graph:
                raise PassError(f"variables names {name!r}, which is no variable of the graph.")
        return PassResult(modified)


def _insert(graph: Graph, found: Unlinked) -> None:
    var, op = found.var, found.op
    plain = graph.add_var_like(free_name(graph, var.name, ".plain"), var)
    ones = np.ones(found.channels, np.float32)
    factor = graph.add_var(free_name(graph, var.name, ".gain"), "float32", ones.shape, ones)
    slot = slot_of(op, var)
    written = [plain if one is var else one for one in op.outputs[slot]]
    graph.set_output(op, slot, written)
    attrs = {"axis": -1 if found.last_axis else 1, "op_role": 0}
    graph.add_op("elementwise_mul", {"X": plain, "Y": factor}, {"Out": var}, attrs, after=op)
