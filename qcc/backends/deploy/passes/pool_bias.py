"""pool-bias: an invisible bias for convolutions that an average pool and something else read."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.backends.deploy.points import is_quantized_convolution
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.passes.base import OPTIONS, PassResult, check_free
from qcc.passes.quantizable import KINDS
from qcc.passes.rewrite import is_fetched

# No result shows it, and yet no optimizer takes it for zero.
_INVISIBLE = np.float32(1e-30)


@options(frozen=True, config=OPTIONS)
class PoolBias(EnginePass):
    """Add a bias of 1e-30 behind quantized convolutions that are pooled, and read by others as well.

    Before, in QDQ form:

        y = conv2d(Input=x.dequantized, Filter=w.dequantized)
        p = pool2d(X=y) {pooling_type=avg}
        z = elementwise_mul(X=y, Y=p)

    After:

        y.unbiased = conv2d(Input=x.dequantized, Filter=w.dequantized)
        y = elementwise_add(X=y.unbiased, Y=y.bias) {axis=1}
        p = pool2d(X=y) {pooling_type=avg}
        z = elementwise_mul(X=y, Y=p)

    OpenVINO moves the scales behind such a convolution, one copy through the pool, and then multiplies what
    is pooled by them twice. It does not where there is a bias.
    """

    name: ClassVar[str] = "pool-bias"

    def apply(self, graph: Graph) -> PassResult:
        found = [op for op in graph.ops if _is_pooled(graph, op)]
        for op in found:
            name = _output(op)
            check_free(graph, op, [f"{name}.unbiased", f"{name}.bias"])
        for op in found:
            _add_bias(graph, op)
        return PassResult(bool(found))


def _output(op: Op) -> str:
    return op.output(KINDS[op.type].output).name


def _is_pooled(graph: Graph, op: Op) -> bool:
    if not is_quantized_convolution(op) or op.attr("data_format", "NCHW") == "NHWC":
        return False
    out = op.output(KINDS[op.type].output)
    pooled = any(reader.type == "pool2d" and reader.attr("pooling_type") == "avg" for reader in out.consumers)
    return pooled and (len(out.consumers) > 1 or is_fetched(graph, out)) and out.shape[1] > 0


def _add_bias(graph: Graph, op: Op) -> None:
    slot = KINDS[op.type].output
    out = op.output(slot)
    unbiased = graph.add_var_like(f"{out.name}.unbiased", out)
    graph.set_output(op, slot, [unbiased])
    value = np.full(out.shape[1], _INVISIBLE)
    bias = graph.add_var(f"{out.name}.bias", "float32", value.shape, value)
    attrs = {"axis": 1, "op_role": 0}
    graph.add_op("elementwise_add", {"X": unbiased, "Y": bias}, {"Out": out}, attrs, after=op)
