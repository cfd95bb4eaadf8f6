"""whole-weights: float weights of whole numbers, which Paddle takes for quantized, become fractions."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc._paddle import VarType
from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.base import OPTIONS, PassResult, check_free
from qcc.passes.frozen import frozen_op
from qcc.passes.quantizable import KINDS
from qcc.passes.rewrite import is_weight, set_weight

# Stands in a weight of zeros, of which no multiple is a fraction; no result shows it.
_INVISIBLE = np.float32(1e-30)


@options(frozen=True, config=OPTIONS)
class WholeWeights(EnginePass):
    """Scale float weights that hold nothing but whole numbers by a power of two, and the output back.

    Before, with w = [0, 1, 2, 3]:

        out = matmul_v2(X=x, Y=w)

    After, with w = [0, 0.5, 1, 1.5]:

        out.scaled = matmul_v2(X=x, Y=w)
        out = scale(X=out.scaled) {scale=2}

    Paddle's `quant_dequant_mkldnn_pass` takes such a weight for quantized, looks for its scale, and ends with
    'Could not find threshold information'. Products by a power of two are exact.
    """

    name: ClassVar[str] = "whole-weights"

    def apply(self, graph: Graph) -> PassResult:
        chosen = [(op, weight) for op in graph.ops if (weight := _whole_weight(graph, op)) is not None]
        for op, weight in chosen:
            check_free(graph, op, [f"{_output(op).name}.scaled", f"{_output(op).name}.{weight.name}"])
        for op, weight in chosen:
            _convert(graph, op, weight)
        return PassResult(bool(chosen))


def _whole_weight(graph: Graph, op: Op) -> Var | None:
    kind = KINDS.get(op.type)
    if kind is None or frozen_op(op) is not None or len(op.inputs.get(kind.weight, ())) != 1:
        return None
    weight = op.input(kind.weight)
    if not is_weight(graph, weight) or weight.dtype != VarType.FP32:
        return None
    value = graph.weights[weight.name]
    return weight if np.array_equal(value, np.round(value)) else None


def _output(op: Op) -> Var:
    return op.output(KINDS[op.type].output)


def _convert(graph: Graph, op: Op, weight: Var) -> None:
    kind, out, value = KINDS[op.type], _output(op), graph.weights[weight.name]
    factor = _factor(value)
    fractions = value / np.float32(factor) if value.any() else np.full_like(value, _INVISIBLE)
    set_weight(graph, op, kind.weight, fractions, f"{out.name}.{weight.name}")
    scaled = graph.add_var_like(f"{out.name}.scaled", out)
    graph.set_output(op, kind.output, [scaled])
    attrs = {"scale": factor, "bias": 0.0, "op_role": 0}
    back = graph.add_op("scale", {"X": scaled}, {"Out": out}, attrs, after=op)
    graph.set_flag(back, "bias_after_scale", True)


def _factor(value: np.ndarray) -> float:
    """The smallest power of two that leaves a fraction of one of these whole numbers."""
    factor = 2.0
    while value.any() and not np.any(value % factor):
        factor *= 2
    return factor
