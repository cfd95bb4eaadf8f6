"""skip-neutral: take ops out that change nothing, before pairs of Q and DQ are put around them."""

from __future__ import annotations

from typing import ClassVar

from pydantic.dataclasses import dataclass as options

from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.ir.graph import Graph
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.neutral import handed_on, is_bias
from qcc.passes.rewrite import keeps_name, remove_op


@options(frozen=True, config=OPTIONS)
class SkipNeutral(EnginePass):
    """Take out ops that hand on what they read: products with ones, sums with zeros, scale ops, dropout,
    assignments.

    Before, with ones = [1.0] and zeros = [0.0]:

        a = relu(X=x)
        b = elementwise_mul(X=ones, Y=a)
        c = elementwise_add(X=b, Y=zeros)
        c.quantized = quantize_linear(X=c, Scale=c@scale)

    After:

        a = relu(X=x)
        c.quantized = quantize_linear(X=a, Scale=c@scale)

    ONNX Runtime takes them out by itself, and where there are pairs of Q and DQ in front and behind, it makes
    one of the two, whose scale has a dimension then. Its additions, products and average pools refuse such a
    scale, and with it the file. What is fetched, or read in a block, keeps its op, and a layer a bias of
    zeros.
    """

    name: ClassVar[str] = "skip-neutral"

    def apply(self, graph: Graph) -> PassResult:
        modified = False
        for op in graph.ops:
            source = handed_on(graph, op)
            if source is None or keeps_name(graph, op.output("Out")):
                continue
            # With a bias, products run in other kernels than without.
            if is_bias(op, source):
                continue
            # What is written over has another value by the time that others read it.
            if len(graph.versions(source.name)) > 1:
                continue
            graph.replace_uses(op.output("Out"), source)
            remove_op(graph, op)
            modified = True
        return PassResult(modified)
