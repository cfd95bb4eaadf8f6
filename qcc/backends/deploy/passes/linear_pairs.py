"""linear-pairs: what rounds an activation in front of ops without a weight is written in linear ops."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.ir.graph import Graph
from qcc.ir.nodes import Var
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.fake_quant import DEQUANTIZE_OPS, FUSED_OPS, LINEAR_OPS
from qcc.passes.rewrite import free_name, remove_op
from qcc.passes.round_trip import RoundTrip, linear_attrs, round_trip

_ROUNDING = frozenset({*FUSED_OPS, *DEQUANTIZE_OPS})


@options(frozen=True, config=OPTIONS)
class LinearPairs(EnginePass):
    """Write fake quantization that no op with a weight has taken up as quantize_linear and dequantize_linear.

    Before:

        x.rounded, x@scale = fake_quantize_dequantize_moving_average_abs_max(X=x, InScale=x@scale)
        y = pool2d(X=x.rounded)

    After:

        x.rounded.integers = quantize_linear(X=x, Scale=x@scale, ZeroPoint=x.rounded@zero_point)
        x.rounded = dequantize_linear(X=x.rounded.integers, Scale=x@scale, ZeroPoint=x.rounded@zero_point)
        y = pool2d(X=x.rounded)

    PaddleSlim's `is_full_quantize` puts such ops in front of pools, sums and their like, and engines know
    none but linear ones. Those that measure their scale at every run stay.

    The PTQ of Paddle 3 gives linear ops scales and zero points without dimensions, which OpenVINO refuses:
    they get one. And it gives the two ops of a pair a scale each, of one value, where passes look for one.
    """

    name: ClassVar[str] = "linear-pairs"

    def apply(self, graph: Graph) -> PassResult:
        found = list(_left(graph))
        for trip in found:
            _write(graph, trip)
        joined = _join_scales(graph)
        return PassResult(_give_dimensions(graph) or joined or bool(found))


def _left(graph: Graph) -> Iterator[RoundTrip]:
    for op in graph.ops:
        trip = round_trip(op.output("Out")) if op.type in _ROUNDING else None
        if trip is None or trip.shape not in ("fused", "pair") or trip.is_weight:
            continue
        scale = trip.fixed_scale
        if scale is not None and scale.name in graph.weights and trip.quantizer.axis is None:
            yield trip


def _write(graph: Graph, trip: RoundTrip) -> None:
    last, result, scale = trip.ops[-1], trip.result, trip.fixed_scale
    assert scale is not None
    attrs = linear_attrs(trip.quantizer.bits, axis=-1)
    zero = graph.add_var(free_name(graph, result.name, "@zero_point"), "int32", (1,), np.zeros(1, np.int32))
    integers = graph.add_var(free_name(graph, result.name, ".integers"), "float32", result.shape)
    slots = {"Scale": scale, "ZeroPoint": zero}
    graph.add_op("quantize_linear", {"X": trip.source, **slots}, {"Y": integers}, attrs, before=last)
    graph.set_output(last, "Out", [])
    graph.add_op("dequantize_linear", {"X": integers, **slots}, {"Y": result}, attrs, before=last)
    for op in reversed(trip.ops):
        remove_op(graph, op, keep=result)


def _join_scales(graph: Graph) -> bool:
    """Let dequantize ops read the scales of the quantize ops in front; whether any had an equal one."""
    modified = False
    for op in graph.ops:
        source = op.input("X").producer if op.type == "dequantize_linear" else None
        if source is None or source.type != "quantize_linear":
            continue
        own, shared = op.input("Scale"), source.input("Scale")
        values = graph.weights.get(own.name), graph.weights.get(shared.name)
        if own is not shared and _equal(*values):
            graph.set_input(op, "Scale", [shared])
            modified = True
    return modified


def _equal(own: np.ndarray | None, shared: np.ndarray | None) -> bool:
    return own is not None and shared is not None and np.array_equal(own, shared)


def _give_dimensions(graph: Graph) -> bool:
    """Let linear ops read scales and zero points of one dimension; whether there were others."""
    with_one = dict[str, Var]()
    for op in graph.ops:
        for slot in ("Scale", "ZeroPoint") if op.type in LINEAR_OPS else ():
            var = op.input(slot)
            value = graph.weights.get(var.name)
            if value is None or value.shape:
                continue
            if var.name not in with_one:
                name = free_name(graph, var.name, ".row")
                with_one[var.name] = graph.add_var(name, str(value.dtype), (1,), value.reshape(1))
            graph.set_input(op, slot, [with_one[var.name]])
    return bool(with_one)
