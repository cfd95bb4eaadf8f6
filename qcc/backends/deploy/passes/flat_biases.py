"""flat-biases: biases of convolutions as weights of one dimension, as oneDNN passes of Paddle want them."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.batch_norm import added_per_channel
from qcc.passes.rewrite import CONVOLUTIONS, free_name, set_weight


@options(frozen=True, config=OPTIONS)
class FlatBiases(EnginePass):
    """Let what is added to each channel behind a convolution have one dimension.

    Before, with a weight b of [1, 8, 1, 1]:

        c = conv2d(Input=x, Filter=w)
        y = elementwise_add(X=c, Y=b) {axis=-1}

    After, with b of [8]:

        y = elementwise_add(X=c, Y=b) {axis=1}

    `conv_bias_mkldnn_fuse_pass` of Paddle takes no other one into the convolution, and no activation goes
    there without it. The biases of `paddle.nn.Conv2D` are saved with a reshape to four dimensions.
    """

    name: ClassVar[str] = "flat-biases"

    def apply(self, graph: Graph) -> PassResult:
        found = [(op, bias) for op in graph.ops if (bias := _bias(graph, op)) is not None]
        for op, bias in found:
            set_weight(graph, op, "Y", bias, free_name(graph, op.output("Out").name, ".bias"))
            graph.set_attr(op, "axis", 1)
        return PassResult(bool(found))


def _bias(graph: Graph, add: Op) -> np.ndarray | None:
    """What an op adds to each channel of what a convolution gives, where it does not stand as wanted yet."""
    if add.type != "elementwise_add":
        return None
    conv = add.input("X").producer
    if conv is None or conv.type not in CONVOLUTIONS:
        return None
    if add.attr("axis", -1) == 1 and len(add.input("Y").shape) == 1:
        return None
    return added_per_channel(graph, add, conv.output("Output").shape[1])
