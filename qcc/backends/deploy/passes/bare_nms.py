"""bare-nms: let a non-maximum suppression write what is fetched."""

from __future__ import annotations

from typing import ClassVar

from pydantic.dataclasses import dataclass as options

from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.ir.graph import Graph
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.rewrite import bypass, scales_nothing


@options(frozen=True, config=OPTIONS)
class BareNms(EnginePass):
    """Take out scale ops that change nothing behind a suppression, which Paddle puts in front of each fetch
    when it saves an inference model.

    Before, with fetches [found, number]:

        rows, index, count = multiclass_nms3(BBoxes=boxes, Scores=scores)
        found = scale(X=rows)  {scale = 1.0, bias = 0.0}
        number = scale(X=count)  {scale = 1.0, bias = 0.0}

    After:

        found, index, number = multiclass_nms3(BBoxes=boxes, Scores=scores)
    """

    name: ClassVar[str] = "bare-nms"

    def apply(self, graph: Graph) -> PassResult:
        modified = False
        for op in graph.ops:
            if scales_nothing(op):
                source = op.input("X")
                if source.producer is not None and "nms" in source.producer.type:
                    modified |= bypass(graph, op, source, op.output("Out"))
        return PassResult(modified)
