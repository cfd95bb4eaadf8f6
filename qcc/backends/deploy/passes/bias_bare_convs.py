"""bias-bare-convs: a bias behind convolutions that have none."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.base import OPTIONS, PassResult, check_free, check_test_graph
from qcc.passes.rewrite import added_weight, adds_a_bias, only_reader, set_weight

_CONVS = ("conv2d", "depthwise_conv2d")
_DUST = np.float32(1e-30)
"""Of a size that changes no sum of float32 but one that is zero, and that OpenVINO does not drop as it drops
zeros."""


@options(frozen=True, config=OPTIONS)
class BiasBareConvs(EnginePass):
    """Add almost nothing to a quantized convolution without a norm, whose bias is missing or zero.

    Before, in QDQ form:

        y = conv2d(Input=x.dequantized, Filter=w.dequantized)
        p = pool2d(X=y)

    After, with y@bias = [1e-30, 1e-30, ...]:

        y.bare = conv2d(Input=x.dequantized, Filter=w.dequantized)
        y = elementwise_add(X=y.bare, Y=y@bias) {axis=1}
        p = pool2d(X=y)

    OpenVINO 2026.4 multiplies by the scale of such a convolution behind it, and loses that in several cases:
    where it is read several times and a dimension is not known when the model is compiled, or where a factor
    follows, with or without a pool between. The output is then about 1e-5 of what is right, or goes on
    unscaled. With a bias the scale is part of the convolution. One of zeros, which OpenVINO drops, is set to
    1e-30.
    """

    name: ClassVar[str] = "bias-bare-convs"

    def apply(self, graph: Graph) -> PassResult:
        check_test_graph(self, graph)
        chosen = [op for op in graph.ops if _fits(graph, op)]
        for op in chosen:
            out = op.output("Output")
            check_free(graph, op, (_raw(out), _bias(out)))
        for op in chosen:
            _add_bias(graph, op)
        return PassResult(bool(chosen))


def _fits(graph: Graph, op: Op) -> bool:
    if op.type not in _CONVS or op.attr("data_format", "NCHW") == "NHWC":
        return False
    source, out = op.input("Input").producer, op.output("Output")
    if source is None or source.type != "dequantize_linear":
        return False
    reader = only_reader(graph, out)
    normed = reader is not None and reader.type == "batch_norm"
    return not normed and not adds_a_bias(graph, out)


def _raw(out: Var) -> str:
    return f"{out.name}.bare"


def _bias(out: Var) -> str:
    return f"{out.name}@bias"


def _add_bias(graph: Graph, op: Op) -> None:
    out = op.output("Output")
    zeros, add = added_weight(graph, out), only_reader(graph, out)
    if zeros is not None and add is not None:
        set_weight(graph, add, "Y", np.full_like(zeros, _DUST), _bias(out))
        return
    raw = graph.add_var_like(_raw(out), out)
    graph.set_output(op, "Output", [raw])
    add = graph.add_op("elementwise_add", {"X": raw}, {"Out": out}, {"axis": 1, "op_role": 0}, after=op)
    set_weight(graph, add, "Y", np.full(out.shape[1], _DUST, np.float32), _bias(out))
