"""fold-priors: compute the boxes that a detector starts from once."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass as options

from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.ir.dtypes import numpy_dtype
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.fold_constants import can_be_folded, compute
from qcc.passes.rewrite import become_weight

# They read the sizes of these and no values.
_OF_SIZES = {
    "prior_box": ("Input", "Image"),
    "density_prior_box": ("Input", "Image"),
    "anchor_generator": ("Input",),
}


@options(frozen=True, config=OPTIONS)
class FoldPriors(EnginePass):
    """Replace the ops that make prior boxes and anchors from the sizes of feature maps by weights that hold
    them, where these sizes are declared. ONNX has no such ops.

    Before, with maps of [-1, 512, 19, 19] and images of [-1, 3, 300, 300]:

        boxes, variances = prior_box(Input=map, Image=image) {min_sizes=[60.0], aspect_ratios=[2.0]}
        found = box_coder(PriorBox=boxes, PriorBoxVar=variances, TargetBox=offsets)

    After, with the weights `boxes` and `variances`:

        found = box_coder(PriorBox=boxes, PriorBoxVar=variances, TargetBox=offsets)

    Paddle's own kernels compute them. Maps and results of more than `max_elements` are left.
    """

    name: ClassVar[str] = "fold-priors"

    max_elements: Annotated[int, Field(ge=1)] = 1 << 20

    def apply(self, graph: Graph) -> PassResult:
        chosen = [op for op in graph.ops if op.type in _OF_SIZES and can_be_folded(graph, op)]
        # All are computed before the first one goes: what Paddle refuses leaves the graph as it was.
        found = [values for op in chosen if (values := self._values(graph, op))]
        for values in found:
            for var, value in values.items():
                become_weight(graph, var, value)
        return PassResult(bool(found), (f"prior boxes of {len(found)} maps computed once.",) if found else ())

    def _values(self, graph: Graph, op: Op) -> dict[Var, np.ndarray]:
        """What is read of what an op gives; nothing where a size is open or too large."""
        maps = {}
        for slot in _OF_SIZES[op.type]:
            source = op.input(slot)
            sizes = source.shape[2:]
            if len(source.shape) != 4 or min(sizes) < 1 or sizes[0] * sizes[1] > self.max_elements:
                return {}
            # How many channels and images there are does not matter.
            maps[source.name] = np.zeros((1, 1, *sizes), numpy_dtype(source.dtype))
        outputs = [var for var in op.all_outputs() if var.consumers]
        values = dict(zip(outputs, compute(graph, [op], outputs, maps), strict=True))
        return {} if any(value.size > self.max_elements for value in values.values()) else values
