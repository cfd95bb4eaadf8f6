"""Paddle's own quantization passes, the peer of qcc's."""

from __future__ import annotations

from typing import Any

from paddle.static.quantization import (
    ConvertToInt8Pass,
    QuantizationFreezePass,
    QuantizationTransformPass,
)

from qcc._paddle import IrGraph, core, paddle
from qcc.passes.quantizable import OP_TYPES

PLACE = paddle.CPUPlace()


def ir_graph(program: paddle.static.Program, for_test: bool) -> IrGraph:
    return IrGraph(core.Graph(program.desc), for_test=for_test)


def paddle_transform(
    program: paddle.static.Program,
    scope: paddle.static.Scope,
    *,
    for_test: bool,
    weight_type: str,
    activation_type: str,
    weight_bits: int = 8,
    activation_bits: int = 8,
    **options: Any,
) -> IrGraph:
    """A transformed graph; what the quantizers need is put into the scope."""
    graph = ir_graph(program, for_test)
    with paddle.utils.unique_name.guard():
        QuantizationTransformPass(
            scope=scope,
            place=PLACE,
            weight_bits=weight_bits,
            activation_bits=activation_bits,
            weight_quantize_type=weight_type,
            activation_quantize_type=activation_type,
            quantizable_op_type=list(OP_TYPES),
            **options,
        ).apply(graph)
    return graph


def paddle_freeze(
    graph: IrGraph,
    scope: paddle.static.Scope,
    *,
    weight_type: str,
    weight_bits: int = 8,
    activation_bits: int = 8,
    **options: Any,
) -> None:
    """Freeze a graph; integers overwrite the weights in the scope."""
    with paddle.utils.unique_name.guard():
        QuantizationFreezePass(
            scope=scope,
            place=PLACE,
            weight_bits=weight_bits,
            activation_bits=activation_bits,
            weight_quantize_type=weight_type,
            **options,
        ).apply(graph)


def paddle_int8(graph: IrGraph, scope: paddle.static.Scope) -> None:
    ConvertToInt8Pass(scope=scope, place=PLACE).apply(graph)


def run_program(
    program: paddle.static.Program, scope: paddle.static.Scope, feed: Any, fetch: list[str]
) -> list[Any]:
    return list(paddle.static.Executor(PLACE).run(program, feed=feed, fetch_list=fetch, scope=scope))
