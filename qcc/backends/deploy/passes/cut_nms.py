"""cut-nms: end in front of the non-maximum suppression."""

from __future__ import annotations

from typing import ClassVar

from pydantic.dataclasses import dataclass as options

from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.backends.heads import last_suppressions
from qcc.errors import PassError
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.prune import Prune


@options(frozen=True, config=OPTIONS)
class CutNms(EnginePass):
    """Fetch what goes into a non-maximum suppression, in place of what comes out of it.

    Before, with fetches [rows, count]:

        rows, index, count = multiclass_nms3(BBoxes=boxes, Scores=scores)

    After, with fetches [boxes, scores]: nothing.

    Fetches that are not behind a suppression stay. Of several, one behind the other, the last is cut: a
    detector of two stages ends in front of that of its second.
    """

    name: ClassVar[str] = "cut-nms"

    def apply(self, graph: Graph) -> PassResult:
        fetches: dict[str, None] = {}
        cut: list[Op] = []
        for name in graph.fetches:
            behind = last_suppressions(graph.var(name))
            cut += behind
            inputs = [var for op in behind for var in op.all_inputs() if var.producer is not None]
            hidden = [var.name for var in inputs if graph.var(var.name) is not var]
            if hidden:
                raise PassError(f"{behind[0]} reads {hidden[0]!r}, which is overwritten behind it.")
            fetches.update((kept, None) for kept in ([var.name for var in inputs] if behind else [name]))
        if not cut:
            return PassResult(False, ("there is no non-maximum suppression in front of what is fetched.",))
        graph.fetches = tuple(fetches)
        Prune().apply(graph)
        return PassResult(True)
