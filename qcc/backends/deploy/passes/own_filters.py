"""own-filters: a filter of its own for a convolution that an engine computes wrongly with a shared one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from pydantic.dataclasses import dataclass as options

from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.rewrite import free_name, is_weight, set_attrs
from qcc.passes.round_trip import rounded_from

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

    With reader=onednn, for Paddle's oneDNN kernels: a filter, in integers or float, that convolutions of one
    map read is copied for all but the first of these, as in a pyramid of dilations with one filter. Paddle
    2.6 keeps a kernel, with how it is laid, its bias and what is computed behind, under the names of both,
    and takes it for them all.
    """

    name: ClassVar[str] = "own-filters"

    reader: Literal["openvino", "onednn"] = "openvino"

    def apply(self, graph: Graph) -> PassResult:
        separate = _grouped if self.reader == "openvino" else _on_one_map
        found = [(filters, readers) for filters in _filters(graph) for readers in separate(filters)]
        for filters, readers in found:
            _give_own(graph, filters, readers)
        return PassResult(bool(found))


def _filters(graph: Graph) -> Iterator[Var]:
    """What several ops read, and convolutions as their filter."""
    seen = set[Var]()
    for op in graph.ops:
        filters = op.input("Filter") if op.type in _CONVOLUTIONS else None
        if filters is not None and filters not in seen and len(filters.consumers) > 1:
            seen.add(filters)
            if _is_kept(graph, filters):
                yield filters


def _is_kept(graph: Graph, filters: Var) -> bool:
    made = filters.producer
    if made is None:
        return is_weight(graph, filters)
    return made.type == "dequantize_linear" and is_weight(graph, made.input("X"))


def _grouped(filters: Var) -> list[list[Op]]:
    """Each grouped convolution that reads integers beside the first reader of them."""
    if filters.producer is None:
        return []
    readers = list(filters.consumers)[1:]
    return [[op] for op in readers if op.type in _CONVOLUTIONS and int(op.attr("groups", 1)) > 1]


def _on_one_map(filters: Var) -> list[list[Op]]:
    """The convolutions that read a map together with the filter as the second ones, the third ones, and so
    on: those of several maps may share a copy."""
    turns = defaultdict[int, list[Op]](list)
    read = Counter[str]()
    for op in filters.consumers:
        if op.type in _CONVOLUTIONS:
            name = rounded_from(op.input("Input")).name
            turns[read[name]].append(op)
            read[name] += 1
    return list(turns.values())[1:]


def _give_own(graph: Graph, filters: Var, readers: Sequence[Op]) -> None:
    """One copy for these readers."""
    name = free_name(graph, readers[0].output("Output").name, ".filter")
    dequantize = filters.producer
    if dequantize is None:
        own = graph.add_weight_like(name, filters, graph.weights[filters.name])
    else:
        inputs = {}
        for slot, suffix in (("X", ""), ("Scale", "@scale"), ("ZeroPoint", "@zero_point")):
            shared = dequantize.input(slot)
            inputs[slot] = graph.add_weight_like(name + suffix, shared, graph.weights[shared.name])
        own = graph.add_var_like(f"{name}.dequantized", filters)
        attrs = {key: dequantize.attr(key) for key in ("bit_length", "quant_axis", "round_type")}
        made = graph.add_op("dequantize_linear", inputs, {"Y": own}, {"op_role": 0}, before=readers[0])
        set_attrs(graph, made, {key: value for key, value in attrs.items() if value is not None})
    for reader in readers:
        graph.replace_input(reader, filters, own)
