"""relax-relu6: a relu6 that never reaches its limit is a relu."""

from __future__ import annotations

from typing import ClassVar

from pydantic.dataclasses import dataclass as options

from qcc.errors import PassError
from qcc.ir.graph import Graph
from qcc.passes.base import OPTIONS, Pass, PassResult, check_test_graph


@options(frozen=True, config=OPTIONS)
class RelaxRelu6(Pass):
    """Turn chosen relu6 into relu.

    Before:

        y = relu6(X=x)

    After, with variables=[y]:

        y = relu(X=x)

    For those whose input stays below the limit on all data: a positive factor per channel passes through
    relu, and not through relu6 (see `equalize`).
    """

    name: ClassVar[str] = "relax-relu6"

    variables: tuple[str, ...] = ()

    def apply(self, graph: Graph) -> PassResult:
        check_test_graph(self, graph)
        producers = {}
        for name in self.variables:
            op = graph.var(name).producer if name in graph else None
            if op is None or op.type not in ("relu6", "relu"):
                raise PassError(f"variables names {name!r}, which no relu6 of the graph writes.")
            producers[name] = op
        changed = [op for op in producers.values() if op.type == "relu6"]
        for op in changed:
            source, out = op.input("X"), op.output("Out")
            relu = graph.add_op("relu", {"X": source}, {}, {"op_role": 0}, before=op)
            graph.remove_op(op)
            graph.set_output(relu, "Out", [out])
        return PassResult(bool(changed))
