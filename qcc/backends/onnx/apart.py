"""The ops of a model in QDQ form, each on inputs that are given, and rounded behind as in the model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qcc.backends.agreement import MOST, Distance
from qcc.backends.apart import ONE_OP, Apart, take_apart
from qcc.backends.cuts import culprit
from qcc.backends.deploy.points import pair_of
from qcc.backends.reference import Reference, write_opened
from qcc.numerics import max_int
from qcc.passes.integer_weights import dequantize_stored
from qcc.passes.round_trip import linear_attrs, linear_scale, round_trips

_ROUNDED = "@rounded"
_NOTHING = 1e-30
_TIE = 1 / max_int(8)
"""How far an element may be off whose value on a rounding boundary becomes the other integer."""


def apart_and_rounded(reference: Reference) -> Apart:
    """Cut a reference's graph where it quantizes, as `take_apart` does, but behind the rounding.

    Before: `x = conv2d(...)`, which is fetched. After: `x@rounded = dequantize(quantize(x))`, which is
    fetched. An engine that computes with integers where a quantize op follows would not do so without one.
    """
    apart = take_apart(reference)
    graph = apart.cut.graph
    ends: list[str] = []
    rounded: dict[int, str] = {}
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
    values = dict(zip(rounded, reference.values(list(rounded.values())), strict=True)) if rounded else {}
    wanted = [values.get(place, value) for place, value in enumerate(apart.wanted)]
    graph.fetches = tuple(ends)
    write_opened(graph, ends, apart.program)
    return replace(apart, cut=replace(apart.cut, ends=tuple(ends)), wanted=wanted)


def of_one_step(apart: Apart) -> list[Distance]:
    """How far each end may be off in a right run where one integer is the neighbouring one: a step of the
    activation times the largest weight, relative to the output's range; on average it is not seen."""
    return [_limit(apart, end, wanted) for end, wanted in zip(apart.cut.ends, apart.wanted, strict=True)]


def _limit(apart: Apart, end: str, wanted: np.ndarray) -> Distance:
    graph = apart.cut.graph
    op = culprit(graph.var(end))
    trips = None if op is None else round_trips(op)
    largest = _TIE
    if trips is not None and trips.data.shape == "linear" and trips.weight.shape == "stored":
        step = float(linear_scale(graph, trips.data)[0]) / max_int(trips.data.quantizer.bits)
        weight = float(np.abs(dequantize_stored(graph, trips.weight)).max(initial=0))
        largest = max(largest, step * weight / max(float(np.ptp(wanted)), _NOTHING))
    largest = min(largest, MOST)
    # Of few elements, one is seen on average and in the norm.
    spread, norm = float(np.ptp(wanted)), max(float(np.linalg.norm(wanted)), _NOTHING)
    return Distance(largest, max(ONE_OP, largest / max(wanted.size, 1)), max(ONE_OP, largest * spread / norm))
