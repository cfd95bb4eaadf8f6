"""fold-bn: batch normalization into the convolution before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.passes.base import OPTIONS, Pass, PassResult, check_free, check_test_graph
from qcc.passes.batch_norm import Affine, added_per_channel, along_channels, has_own_filter, is_affine
from qcc.passes.integer_weights import integer_weight
from qcc.passes.rewrite import CONVOLUTIONS, absorb, follower, remove_op, set_weight


@options(frozen=True, config=OPTIONS)
class FoldBn(Pass):
    """Fold batch normalization into the convolution before it.

    Before:

        c = conv2d(Input=x, Filter=w)
        y = batch_norm(X=c, Scale=gamma, Bias=beta, Mean=mean, Variance=var)

    After, with a = gamma / sqrt(var + epsilon), w * a for `w` and beta - a * mean for `y.bias`:

        c = conv2d(Input=x, Filter=w)
        y = elementwise_add(X=c, Y=y.bias) {axis=1}

    So a quantized convolution rounds the weights that are computed with. An addition per channel between
    the two takes the new bias: a * b + beta - a * mean. Norms stay whose statistics are those of the batch,
    or whose input others read as well. In a frozen or transformed graph, whose weights are rounded already
    or about to be, all of them stay, and behind a convolution whose weight alone is integers, or where
    variables hold the size of its output.
    """

    name: ClassVar[str] = "fold-bn"

    def apply(self, graph: Graph) -> PassResult:
        check_test_graph(self, graph)
        found = [step for op in graph.ops if (step := _plan(graph, op)) is not None]
        for step in found:
            check_free(graph, step.norm, [_bias_name(step), _filter_name(step)])
        for step in found:
            _fold(graph, step)
        return PassResult(bool(found))


@dataclass(frozen=True)
class _Step:
    """A convolution, its norm, and the addition of a bias between them, if any."""

    conv: Op
    add: Op | None
    bias: np.ndarray | None
    norm: Op


def _plan(graph: Graph, conv: Op) -> _Step | None:
    if conv.type not in CONVOLUTIONS or not has_own_filter(graph, conv) or conv.inputs.get("Bias"):
        return None
    if integer_weight(conv) is not None:
        return None
    if conv.pointed:
        # With a bias behind such a one, `conv_transpose_bias_mkldnn_fuse_pass` ends the process.
        return None
    add = follower(graph, conv, "Output", "elementwise_add")
    norm = follower(graph, *((conv, "Output") if add is None else (add, "Out")), "batch_norm")
    if norm is None or not is_affine(norm):
        return None
    if add is None:
        return _Step(conv, None, None, norm)
    bias = added_per_channel(graph, add, len(graph.weights[norm.input("Scale").name]))
    return None if bias is None else _Step(conv, add, bias, norm)


def _bias_name(step: _Step) -> str:
    return f"{step.norm.output('Y').name}.bias"


def _filter_name(step: _Step) -> str:
    """The name of a filter that another convolution reads as it was."""
    return f"{step.norm.output('Y').name}.weight"


def _fold(graph: Graph, step: _Step) -> None:
    conv, norm, out = step.conv, step.norm, step.norm.output("Y")
    affine = Affine.of(graph, norm)
    filter_ = graph.weights[conv.input("Filter").name]
    folded = filter_ * along_channels(affine.a, conv, filter_)
    bias = affine.bias(step.bias)
    if step.add is None:
        between = conv.output("Output")
        remove_op(graph, norm, keep=out)
        added = graph.add_var(_bias_name(step), "float32", bias.shape, bias)
        attrs = {"axis": 1, "op_role": 0}
        graph.add_op("elementwise_add", {"X": between, "Y": added}, {"Out": out}, attrs, after=conv)
    else:
        absorb(graph, step.add, "Out", norm, "Y")
        set_weight(graph, step.add, "Y", bias, _bias_name(step))
        graph.set_attr(step.add, "axis", 1)
    set_weight(graph, conv, "Filter", folded, _filter_name(step))
