"""Activations that cannot be negative, in files for engines that honour zero points.

Paddle's executor ignores the ZeroPoint of quantize_linear and dequantize_linear; OpenVINO computes with it
(`quantize_linear.cpp` and `dequantize_linear.cpp` in its `src/frontends/paddle/src/op`). With -128 all 256
integers of 8 bits stand for what is not negative:

    x.quantized = quantize_linear(X=x, Scale=2.0, ZeroPoint=-128) {bit_length=8}

stands for steps of 2.0 / 127, up to 255 of them. A graph means what Paddle computes, so that in a graph these
are 9 bits whose negative half is not used, with a scale for 255 steps:

    x.quantized = quantize_linear(X=x, Scale=4.016, ZeroPoint=0) {bit_length=9, qmin=-256, qmax=255}
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.numerics import linear_range, max_int
from qcc.passes.fake_quant import LINEAR_OPS

UNSIGNED = 9
"""The bits of a symmetric quantization whose half that is not negative is that of uint8."""

_LOWEST = -128
_STEPS = max_int(UNSIGNED) / max_int(8)


def right_instead(bits: int, trained: str) -> str:
    """What would be right in place of more bits than an engine knows; `trained`: what was to be trained."""
    if bits != UNSIGNED:
        return trained
    return (
        "so a form that is written for OpenVINO holds what is never negative: take float/ or int8/ beside it,"
        f" of which any form is made; where it was trained with {UNSIGNED} bits, {trained}"
    )


def with_zero_points(graph: Graph) -> Graph:
    """What a file for OpenVINO holds, of which Paddle would compute something else: a copy, or the graph
    itself where it has no such activation."""
    if not _unsigned(graph):
        return graph
    graph = graph.copy()
    _change(graph, _unsigned(graph), 8, _LOWEST, 1 / _STEPS)
    return graph


def read_zero_points(graph: Graph) -> None:
    """Change what such a file holds into a graph that means what OpenVINO computes."""
    _change(graph, list(_around_lowest(graph)), UNSIGNED, 0, _STEPS)


def _unsigned(graph: Graph) -> list[Op]:
    return [op for op in graph.ops if op.type in LINEAR_OPS and op.attr("bit_length", 8) == UNSIGNED]


def _around_lowest(graph: Graph) -> Iterator[Op]:
    for op in graph.ops:
        if op.type in LINEAR_OPS and op.attr("bit_length", 8) == 8 and op.inputs.get("ZeroPoint"):
            zero = graph.weights.get(op.input("ZeroPoint").name)
            if zero is not None and zero.size == 1 and zero.item() == _LOWEST:
                yield op


def _change(graph: Graph, ops: list[Op], bits: int, zero_point: int, factor: float) -> None:
    lowest, highest = linear_range(bits)
    for op in ops:
        for name, value in (("bit_length", bits), ("qmin", lowest), ("qmax", highest)):
            graph.set_attr(op, name, value)
    for name in {op.input("Scale").name for op in ops}:
        graph.weights[name] = (graph.weights[name].astype(np.float64) * factor).astype(np.float32)
    for name in {op.input("ZeroPoint").name for op in ops}:
        graph.weights[name] = np.full_like(graph.weights[name], zero_point)
