"""fuse-conv-conv: two convolutions in a row as one, where that is less work."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc.backends.lite.passes.int8_op import ENABLED
from qcc.backends.lite.passes.lite_pass import LitePass
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.rewrite import absorb, follower, is_weight, set_weight, single_input


@options(frozen=True, config=OPTIONS)
class FuseConvConv(LitePass):
    """Multiply a convolution of one pixel into the convolution before it, where that saves products.

    Before, with nothing between the two:

        c = conv2d(Input=x, Filter=w, Bias=b)
        y = conv2d(Input=c, Filter=v, Bias=d)  {strides = [1, 1], paddings = [0, 0]}, v of [n, m, 1, 1]

    After, with v w for `w` and v b + d for the bias:

        y = conv2d(Input=x, Filter=w, Bias=d)

    A graph in which anything is quantized is left alone.
    """

    name: ClassVar[str] = "fuse-conv-conv"

    def apply(self, graph: Graph) -> PassResult:
        if any(op.attr(ENABLED) for op in graph.ops):
            return PassResult(False)
        modified = False
        for conv in graph.ops:
            while conv.type == "conv2d" and graph.has_op(conv):
                pixelwise = follower(graph, conv, "Output", "conv2d", into="Input")
                if pixelwise is None or not _can_fuse(graph, conv, pixelwise):
                    break
                _fuse(graph, conv, pixelwise)
                modified = True
        return PassResult(modified)


def _can_fuse(graph: Graph, conv: Op, pixelwise: Op) -> bool:
    used = [op.input("Filter") for op in (conv, pixelwise)]
    used += [bias for op in (conv, pixelwise) if (bias := single_input(op, "Bias")) is not None]
    plain = not conv.attr("with_act") and conv.attr("groups", 1) == pixelwise.attr("groups", 1) == 1
    if not plain or not all(is_weight(graph, var) for var in used):
        return False
    in_channels = conv.input("Filter").shape[1]
    out_channels, between, *kernel = pixelwise.input("Filter").shape
    saved = between * out_channels - in_channels * (out_channels - between)
    return kernel == [1, 1] and _is_pixelwise(pixelwise) and out_channels > between and saved >= 0


def _is_pixelwise(conv: Op) -> bool:
    unpadded = conv.attr("padding_algorithm", "EXPLICIT") == "VALID" or not any(conv.attr("paddings"))
    return set(conv.attr("strides")) == {1} and set(conv.attr("dilations")) == {1} and unpadded


def _fuse(graph: Graph, conv: Op, pixelwise: Op) -> None:
    out = pixelwise.output("Output")
    outer = graph.weights[pixelwise.input("Filter").name][:, :, 0, 0]
    inner = graph.weights[conv.input("Filter").name]
    biases = [single_input(op, "Bias") for op in (conv, pixelwise)]
    first, second = (None if bias is None else graph.weights[bias.name].reshape(-1) for bias in biases)
    bias = second
    if first is not None:
        bias = _product(outer, first) if second is None else _product(outer, first) + second
    bias_name = next((var.name for var in reversed(biases) if var is not None), "")
    absorb(graph, conv, "Output", pixelwise, "Output")
    set_weight(graph, conv, "Filter", _product(outer, inner), f"{out.name}.weight")
    if bias is not None:
        name = bias_name if bias_name not in graph else f"{out.name}.bias"
        set_weight(graph, conv, "Bias", bias, name)


def _product(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """The matrix `outer` times `inner` along its first axis, summed in order as float32."""
    total = np.zeros((outer.shape[0], *inner.shape[1:]), np.float32)
    column = (-1, *[1] * (inner.ndim - 1))
    for index in range(outer.shape[1]):
        total += outer[:, index].reshape(column) * inner[index]
    return total
