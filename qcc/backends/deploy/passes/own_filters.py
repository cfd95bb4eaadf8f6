"""own-filters: a filter of its own for each grouped convolution in int8."""

from __future__ import annotations

from typing import ClassVar

from pydantic.dataclasses import dataclass as options

from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.rewrite import free_name, is_weight, set_attrs

_CONVOLUTIONS = ("conv2d", "depthwise_conv2d")


@options(frozen=True, config=OPTIONS)
class OwnFilters(EnginePass):
    """Copy the integers of a filter that a grouped convolution reads and another op reads as well.

    Before:

        wd = dequantize_linear(X=w, Scale=s, ZeroPoint=z)
        y = depthwise_conv2d(Input=x, Filter=wd)
        v = depthwise_conv2d(Input=y, Filter=wd)

    After, with a weight `v.filter` equal to w, and likewise `@scale` and `@zero_point`:

        wd = dequantize_linear(X=w, Scale=s, ZeroPoint=z)
        y = depthwise_conv2d(Input=x, Filter=wd)
        v.filter.dequantized = dequantize_linear(X=v.filter, ...)
        v = depthwise_conv2d(Input=y, Filter=v.filter.dequantized)

    OpenVINO 2026.4 gives one of two grouped convolutions that read the same integers other numbers.
    """

    name: ClassVar[str] = "own-filters"

    def apply(self, graph: Graph) -> PassResult:
        found = [
            (op, reader)
            for op in graph.ops
            if op.type == "dequantize_linear" and is_weight(graph, op.input("X"))
            for reader in list(op.output("Y").consumers)[1:]
            if reader.type in _CONVOLUTIONS and int(reader.attr("groups", 1)) > 1
        ]
        for dequantize, reader in found:
            _give_own(graph, dequantize, reader)
        return PassResult(bool(found))


def _give_own(graph: Graph, dequantize: Op, reader: Op) -> None:
    name = free_name(graph, reader.output("Output").name, ".filter")
    inputs = {}
    for slot, suffix in (("X", ""), ("Scale", "@scale"), ("ZeroPoint", "@zero_point")):
        shared = dequantize.input(slot)
        inputs[slot] = graph.add_weight_like(name + suffix, shared, graph.weights[shared.name])
    filters = graph.add_var_like(f"{name}.dequantized", dequantize.output("Y"))
    attrs = {key: dequantize.attr(key) for key in ("bit_length", "quant_axis", "round_type")}
    made = graph.add_op("dequantize_linear", inputs, {"Y": filters}, {"op_role": 0}, before=reader)
    set_attrs(graph, made, {key: value for key, value in attrs.items() if value is not None})
    graph.replace_input(reader, dequantize.output("Y"), filters)
