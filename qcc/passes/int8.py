"""int8: store the integers of frozen weights as INT8."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc._paddle import VarType
from qcc.errors import PassError
from qcc.ir.graph import Graph
from qcc.ir.nodes import Var
from qcc.numerics import bits_for
from qcc.passes.base import OPTIONS, Pass, PassResult, check_free
from qcc.passes.frozen import FrozenOp, check_frozen, frozen_op, frozen_ops, no_frozen_op
from qcc.passes.round_trip import is_qdq

_BITS = 8


@options(frozen=True, config=OPTIONS)
class Int8(Pass):
    """Store the weights of frozen ops as INT8: a quarter of the size.

    Before, `w` holding integers as float32:

        out.accumulator = conv2d(Input=x.quantized, Filter=w)

    After, `w.int8` of dtype INT8:

        out.accumulator = conv2d(Input=x.quantized, Filter=w.int8)

    Paddle's own kernels do not run this form; `unpack` turns it back, and `qdq` makes the form that
    runtimes execute in int8.
    """

    name: ClassVar[str] = "int8"

    def apply(self, graph: Graph) -> PassResult:
        frozen = list(frozen_ops(graph))
        if not frozen:
            if is_qdq(graph):
                return PassResult(False, ("the graph is in QDQ form, whose weights are integers already.",))
            raise no_frozen_op(graph)
        weights = {found.weight: found for found in frozen if found.weight.dtype == VarType.FP32}
        for weight, found in weights.items():
            check_can_be_int8(graph, weight, found)
        for weight in weights:
            to_int8(graph, weight)
        return PassResult(bool(weights))


def check_can_be_int8(graph: Graph, weight: Var, found: FrozenOp) -> None:
    """Raise PassError when a weight is not made of integers that INT8 holds, or needed as it is."""
    others = [op for op in weight.consumers if frozen_op(op) is None]
    if others or weight.name in graph.fetches:
        needed = f"{others[0]} reads it as well" if others else "it is fetched"
        raise PassError(f"{found.op} reads {weight.name!r}, which cannot become INT8, since {needed}.")
    check_free(graph, found.op, [int8_name(weight)])
    check_frozen(graph, found)
    q = graph.weights[weight.name]
    if bits_for(q) > _BITS:
        raise PassError(
            f"{found.op} reads {weight.name!r}, quantized to {found.weight_bits(graph)} bits, which INT8"
            " cannot hold: quantize with weight_bits of at most 8, or save the float form."
        )


def int8_name(weight: Var) -> str:
    """The variable that `to_int8` makes."""
    return f"{weight.name}.int8"


def to_int8(graph: Graph, weight: Var) -> Var:
    """Let every reader of a weight read its INT8 copy instead, and drop the weight."""
    q = graph.weights[weight.name].astype(np.int8)
    packed = graph.add_weight_like(int8_name(weight), weight, q)
    graph.replace_uses(weight, packed)
    graph.remove_var(weight)
    return packed
