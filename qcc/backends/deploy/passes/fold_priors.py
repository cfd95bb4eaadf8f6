"""fold-priors: compute the boxes that a detector starts from once."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass as options

from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.ir.dtypes import numpy_dtype
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
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
        folded = 0
        for op in graph.ops:
            if op.type in _OF_SIZES and can_be_folded(graph, op):
                folded += self._fold(graph, op)
        return PassResult(bool(folded), (f"prior boxes of {folded} maps computed once.",) if folded else ())

    def _fold(self, graph: Graph, op: Op) -> bool:
        maps = {}
        for slot in _OF_SIZES[op.type]:
            source = op.input(slot)
            sizes = source.shape[2:]
            if len(source.shape) != 4 or min(sizes) < 1 or sizes[0] * sizes[1] > self.max_elements:
                return False
            # How many channels and images there are does not matter.
            maps[source.name] = np.zeros((1, 1, *sizes), numpy_dtype(source.dtype))
        outputs = [var for var in op.all_outputs() if var.consumers]
        values = compute(graph, [op], outputs, maps)
        if any(value.size > self.max_elements for value in values):
            return False
        for var, value in zip(outputs, values, strict=True):
            become_weight(graph, var, value)
        return True
