"""fold-bn: batch normalization into the convolution before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc.backends.lite.passes.lite_pass import LitePass
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.rewrite import (
    CONVOLUTIONS,
    absorb,
    follower,
    is_weight,
    set_weight,
    single_input,
)


@options(frozen=True, config=OPTIONS)
class FoldBn(LitePass):
    """Fold batch normalization into the convolution before it.

    Before:

        c = conv2d(Input=x, Filter=w)
        y = batch_norm(X=c, Scale=gamma, Bias=beta, Mean=mean, Variance=var)

    After, with a = gamma / sqrt(var + epsilon), w * a for `w` and beta - a * mean for `beta`:

        y = conv2d(Input=x, Filter=w, Bias=beta)

    Where the weight is INT8 (`enable_int8`), its integers stay, but for the signs of channels with a
    negative a, and its scales are multiplied by |a|. A bias of the convolution is multiplied by a.
    """

    name: ClassVar[str] = "fold-bn"

    def apply(self, graph: Graph) -> PassResult:
        modified = False
        for conv in graph.ops:
            if conv.type not in CONVOLUTIONS or not graph.has_op(conv):
                continue
            norm = follower(graph, conv, "Output", "batch_norm")
            if norm is not None and _can_fold(graph, conv, norm):
                _fold(graph, conv, norm)
                modified = True
        return PassResult(modified)


@dataclass(frozen=True)
class _Affine:
    """y = a * x + b per channel, in the order of arithmetic that Paddle Lite's optimizer has: float32."""

    a: np.ndarray
    shift: np.ndarray
    beta: np.ndarray

    @staticmethod
    def of(graph: Graph, norm: Op) -> _Affine:
        gamma, beta, mean, variance = (
            graph.weights[norm.input(slot).name] for slot in ("Scale", "Bias", "Mean", "Variance")
        )
        a = gamma / np.sqrt(variance + np.float32(norm.attr("epsilon", 1e-5)))
        return _Affine(a, -mean * a, beta)

    def bias(self, conv_bias: np.ndarray | None) -> np.ndarray:
        """The bias behind the convolution."""
        start = self.beta if conv_bias is None else self.beta + self.a * conv_bias.reshape(-1)
        return start + self.shift


def _can_fold(graph: Graph, conv: Op, norm: Op) -> bool:
    """All values are weights, statistics are not taken from the batch, and nobody reads them."""
    if norm.attr("data_layout", "NCHW") not in ("NCHW", "AnyLayout"):
        return False
    if not (norm.attr("is_test", False) or norm.attr("use_global_stats", False)):
        return False
    # A test graph writes its running statistics onto themselves.
    sources = [norm.input(slot) for slot in ("Scale", "Bias", "Mean", "Variance")]
    if any(not var.persistable or var.producer is not None for var in sources):
        return False
    if any(var.consumers for slot, vs in norm.outputs.items() if slot != "Y" for var in vs):
        return False
    weight, bias = conv.input("Filter"), single_input(conv, "Bias")
    return is_weight(graph, weight) and (bias is None or is_weight(graph, bias))


def _fold(graph: Graph, conv: Op, norm: Op) -> None:
    out = norm.output("Y")
    affine = _Affine.of(graph, norm)
    bias = single_input(conv, "Bias")
    new_bias = affine.bias(None if bias is None else graph.weights[bias.name])
    bias_name = norm.input("Bias").name
    absorb(graph, conv, "Output", norm, "Y")
    weight = conv.input("Filter")
    value = graph.weights[weight.name]
    a = _along_channels(affine.a, conv, value)
    if conv.attr("enable_int8"):
        scales = np.array(conv.attr("Filter0_scale"), np.float32) * np.abs(affine.a)
        graph.set_attr(conv, "Filter0_scale", scales.tolist())
        if (affine.a < 0).any():
            set_weight(graph, conv, "Filter", np.where(a < 0, -value, value), f"{out.name}.weight")
    else:
        set_weight(graph, conv, "Filter", value * a, f"{out.name}.weight")
    fresh = bias_name if bias_name not in graph else f"{out.name}.bias"
    set_weight(graph, conv, "Bias", new_bias, fresh)


def _along_channels(a: np.ndarray, conv: Op, weight: np.ndarray) -> np.ndarray:
    """Shape one value per output channel so that it broadcasts over the weight."""
    if "transpose" not in conv.type:
        return a.reshape(-1, *[1] * (weight.ndim - 1))
    # [in, out / groups, h, w]: the inputs of a group meet the outputs of that group.
    groups = conv.attr("groups", 1)
    per_input = np.repeat(a.reshape(groups, 1, -1), weight.shape[0] // groups, axis=1)
    return per_input.reshape(weight.shape[0], -1, *[1] * (weight.ndim - 2))
