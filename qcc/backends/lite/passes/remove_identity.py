"""remove-identity: take ops out that change nothing."""

from __future__ import annotations

from typing import ClassVar

from pydantic.dataclasses import dataclass as options

from qcc.backends.lite.passes.lite_pass import LitePass
from qcc.ir.graph import Graph
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.neutral import is_identity
from qcc.passes.rewrite import bypass


@options(frozen=True, config=OPTIONS)
class RemoveIdentity(LitePass):
    """Take out scale ops that multiply by 1 and add 0, and dropout that drops nothing in a test graph.

    Before:

        b = scale(X=a)  {scale = 1.0, bias = 0.0}
        c = dropout(X=b)  {dropout_implementation = "upscale_in_train"}
        d = relu(X=c)

    After:

        d = relu(X=a)

    An identity whose input and output both have to keep their names, as from a feed to a fetch, stays.
    """

    name: ClassVar[str] = "remove-identity"
    runs_in_paddle: ClassVar[bool] = True

    def apply(self, graph: Graph) -> PassResult:
        modified = False
        for op in graph.ops:
            if is_identity(graph, op):
                modified |= bypass(graph, op, op.input("X"), op.output("Out"))
        return PassResult(modified)
