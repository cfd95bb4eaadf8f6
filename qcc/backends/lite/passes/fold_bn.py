"""lite-fold-bn: batch normalization into the convolution before it."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc.backends.lite.passes.lite_pass import LitePass
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.batch_norm import Affine, along_channels, is_affine
from qcc.passes.rewrite import (
    CONVOLUTIONS,
    absorb,
    follower,
    is_weight,
    set_weight,
    single_input,
)


@options(frozen=True, config=OPTIONS)
class LiteFoldBn(LitePass):
    """Fold batch normalization into the convolution before it, and its bias.

    Before:

        c = conv2d(Input=x, Filter=w)
        y = batch_norm(X=c, Scale=gamma, Bias=beta, Mean=mean, Variance=var)

    After, with a = gamma / sqrt(var + epsilon), w * a for `w` and beta - a * mean for `beta`:

        y = conv2d(Input=x, Filter=w, Bias=beta)

    Where the weight is INT8 (`enable_int8`), its integers stay, but for the signs of channels with a
    negative a, and its scales are multiplied by |a|. A bias of the convolution is multiplied by a. Where such
    a channel has an integer of -128, of which there is no negative, the norm stays.
    """

    name: ClassVar[str] = "lite-fold-bn"

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


def _can_fold(graph: Graph, conv: Op, norm: Op) -> bool:
    bias = single_input(conv, "Bias")
    return (
        is_affine(norm)
        and is_weight(graph, conv.input("Filter"))
        and (bias is None or is_weight(graph, bias))
        and not (conv.attr("enable_int8") and _has_no_negative(graph, conv, norm))
    )


def _has_no_negative(graph: Graph, conv: Op, norm: Op) -> bool:
    """Whether an INT8 weight holds -128 where its sign would have to change."""
    value = graph.weights[conv.input("Filter").name]
    return bool(np.any((along_channels(Affine.of(graph, norm).a, conv, value) < 0) & (value == -128)))


def _fold(graph: Graph, conv: Op, norm: Op) -> None:
    out = norm.output("Y")
    affine = Affine.of(graph, norm)
    bias = single_input(conv, "Bias")
    new_bias = affine.bias(None if bias is None else graph.weights[bias.name])
    bias_name = norm.input("Bias").name
    absorb(graph, conv, "Output", norm, "Y")
    weight = conv.input("Filter")
    value = graph.weights[weight.name]
    a = along_channels(affine.a, conv, value)
    if conv.attr("enable_int8"):
        scales = np.array(conv.attr("Filter0_scale"), np.float32) * np.abs(affine.a)
        graph.set_attr(conv, "Filter0_scale", scales.tolist())
        if (affine.a < 0).any():
            set_weight(graph, conv, "Filter", np.where(a < 0, -value, value), f"{out.name}.weight")
    else:
        set_weight(graph, conv, "Filter", value * a, f"{out.name}.weight")
    fresh = bias_name if bias_name not in graph else f"{out.name}.bias"
    set_weight(graph, conv, "Bias", new_bias, fresh)
