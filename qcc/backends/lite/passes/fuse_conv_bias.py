"""fuse-conv-bias: an addition per channel into the convolution before it."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc.backends.lite.passes.lite_pass import LitePass
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.batch_norm import added_per_channel
from qcc.passes.rewrite import (
    CONVOLUTIONS,
    absorb,
    follower,
    is_weight,
    set_weight,
    single_input,
)


@options(frozen=True, config=OPTIONS)
class FuseConvBias(LitePass):
    """Make the addition of a weight to each channel a bias of the convolution before it.

    Before:

        c = conv2d(Input=x, Filter=w)
        y = elementwise_add(X=c, Y=b)  {axis = 1}

    After:

        y = conv2d(Input=x, Filter=w, Bias=b)

    A bias that the convolution has already is added to `b`; one number for all channels is repeated.
    """

    name: ClassVar[str] = "fuse-conv-bias"

    def apply(self, graph: Graph) -> PassResult:
        modified = False
        for conv in graph.ops:
            if conv.type not in CONVOLUTIONS or not graph.has_op(conv):
                continue
            while (add := follower(graph, conv, "Output", "elementwise_add")) is not None:
                bias = _bias(graph, conv, add)
                if bias is None:
                    break
                _fuse(graph, conv, add, bias)
                modified = True
        return PassResult(modified)


def _bias(graph: Graph, conv: Op, add: Op) -> np.ndarray | None:
    """What the addition adds, one number per channel; None when it is no such addition."""
    present = single_input(conv, "Bias")
    if present is not None and not is_weight(graph, present):
        return None
    return added_per_channel(graph, add, conv.output("Output").shape[1])


def _fuse(graph: Graph, conv: Op, add: Op, bias: np.ndarray) -> None:
    out, operand, present = add.output("Out"), add.input("Y"), single_input(conv, "Bias")
    if present is not None:
        bias = bias + graph.weights[present.name].reshape(-1)
    absorb(graph, conv, "Output", add, "Out")
    name = operand.name if operand.name not in graph else f"{out.name}.bias"
    set_weight(graph, conv, "Bias", bias, name)
