"""The ops of a model in QDQ form, each on inputs that are given, and rounded behind as in the model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from qcc.backends.apart import Apart, beyond_ties, take_apart
from qcc.backends.deploy.points import pair_of
from qcc.backends.reference import Reference, write_opened
from qcc.numerics import max_int
from qcc.passes.round_trip import linear_attrs

_ROUNDED = "@rounded"


def apart_and_rounded(reference: Reference) -> Iterator[Apart]:
    """Cut a reference's graph where it quantizes, as `take_apart` does, but behind the rounding.

    Before: `x = conv2d(...)`, which is fetched. After: `x@rounded = dequantize(quantize(x))`, which is
    fetched. An engine that computes with integers where a quantize op follows would not do so without one.
    """
    return (_rounded(reference, apart) for apart in take_apart(reference))


def unrounded(end: str) -> str:
    """The variable of the reference that an end is made of."""
    return end.removesuffix(_ROUNDED)


def _rounded(reference: Reference, apart: Apart) -> Apart:
    graph = apart.cut.graph
    ends: list[str] = []
    rounded: dict[int, str] = {}
    steps: dict[int, float] = {}
    for place, end in enumerate(apart.cut.ends):
        pair = pair_of(reference.graph.var(end))
        ends.append(end)
        if pair is None:
            continue
        quantize, dequantize = pair
        attrs = linear_attrs(int(quantize.attr("bit_length", 8)), -1)
        slots = {slot: graph.var(quantize.input(slot).name) for slot in ("Scale", "ZeroPoint")}
        source = graph.var(end)
        integers = graph.add_var_like(f"{end}{_ROUNDED}.integers", source)
        result = graph.add_var_like(f"{end}{_ROUNDED}", source)
        graph.add_op("quantize_linear", {"X": source, **slots}, {"Y": integers}, attrs)
        graph.add_op("dequantize_linear", {"X": integers, **slots}, {"Y": result}, attrs)
        ends[place] = result.name
        rounded[place] = dequantize.output("Y").name
        scale = reference.graph.weights[quantize.input("Scale").name]
        steps[place] = float(scale.max()) / max_int(int(quantize.attr("bit_length", 8)))
    values = dict(zip(rounded, reference.values(list(rounded.values())), strict=True)) if rounded else {}
    wanted = [values.get(place, value) for place, value in enumerate(apart.wanted)]
    other_side = {
        place: beyond_ties(apart.wanted[place], value, steps[place]) for place, value in values.items()
    }
    graph.fetches = tuple(ends)
    write_opened(graph, ends, apart.program)
    cut = replace(apart.cut, ends=tuple(ends))
    return replace(apart, cut=cut, wanted=wanted, other_side=other_side)
