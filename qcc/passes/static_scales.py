"""static-scales: scales that were measured at every run become fixed ones."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc.errors import PassError
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.passes.base import OPTIONS, Pass, PassResult


@options(frozen=True, config=OPTIONS)
class StaticScales(Pass):
    """Fix the scales of activations that are measured at every run (activation_type=abs_max).

    Before:

        x.quantized, x@scale = fake_quantize_abs_max(X=x)

    After, with scales=["x=2.5"] and a weight `x@scale` that holds 2.5:

        x.quantized, x@scale = fake_quantize_moving_average_abs_max(X=x, InScale=x@scale)

    `scales` has an entry `variable=scale` for each of them; `qcc.calibrate.activations.calibrated` measures
    them.
    """

    name: ClassVar[str] = "static-scales"

    scales: tuple[str, ...] = ()

    def apply(self, graph: Graph) -> PassResult:
        dynamic = list(dynamic_ops(graph))
        scales = dict(_parse(entry) for entry in self.scales)
        missing = [op.input("X").name for op in dynamic if op.input("X").name not in scales]
        if missing:
            others = f" and {len(missing) - 1} more variables" if len(missing) > 1 else ""
            raise PassError(f"scales has no entry for {missing[0]!r}{others}.")
        for op in dynamic:
            _fix(graph, op, scales[op.input("X").name])
        return PassResult(bool(dynamic))


def measures_scale(op: Op) -> bool:
    """True for an op that measures the scale of an activation at every run."""
    return op.type == "fake_quantize_abs_max" and not op.input("X").persistable


def dynamic_ops(graph: Graph) -> Iterator[Op]:
    """All ops that do."""
    return filter(measures_scale, graph.ops)


def is_dynamic(graph: Graph) -> bool:
    """True when there is one."""
    return any(map(measures_scale, graph.ops))


def _parse(entry: str) -> tuple[str, float]:
    name, mark, text = entry.rpartition("=")
    try:
        scale = float(text)
    except ValueError:
        scale = math.nan
    if not mark or not name or not (math.isfinite(scale) and scale > 0):
        raise PassError(f"{entry!r} in scales is not of the form variable=scale, with a positive scale.")
    return name, scale


def _fix(graph: Graph, op: Op, scale: float) -> None:
    source, out, old = op.input("X"), op.output("Out"), op.output("OutScale")
    readers = list(old.consumers)
    places = [
        (reader, slot, list(vs)) for reader in readers for slot, vs in reader.inputs.items() if old in vs
    ]
    attrs = {"bit_length": int(op.attr("bit_length", 8)), "is_test": True, "moving_rate": 0.9, "op_role": 0}
    fixed = graph.add_op("fake_quantize_moving_average_abs_max", {"X": source}, {}, attrs, before=op)
    graph.remove_op(op)
    for reader, slot, _ in places:
        graph.set_input(reader, slot, [])
    graph.remove_var(old)
    start = graph.add_var(old.name, "float32", (1,), np.array([scale], np.float32))
    graph.set_input(fixed, "InScale", [start])
    result = graph.add_version(start)
    graph.set_output(fixed, "Out", [out])
    graph.set_output(fixed, "OutScale", [result])
    for reader, slot, variables in places:
        graph.set_input(reader, slot, [result if var is old else var for var in variables])
