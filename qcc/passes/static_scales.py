"""static-scales: scales that are measured at every run, or were never observed, become fixed ones."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc.errors import PassError
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.numerics import UNOBSERVED_SCALE
from qcc.passes.base import OPTIONS, Pass, PassResult
from qcc.passes.fake_quant import BETWEEN, QUANTIZE_OPS
from qcc.passes.scales import observed
from qcc.shown import counted


@options(frozen=True, config=OPTIONS)
class StaticScales(Pass):
    """Fix the scales of activations that are measured at every run, or that no training has observed.

    Before:

        x.quantized, x@scale = fake_quantize_abs_max(X=x)

    After, with scales=["x=2.5"] and a weight `x@scale` that holds 2.5:

        x.quantized, x@scale = fake_quantize_moving_average_abs_max(X=x, InScale=x@scale)

    In a test graph the trained types (moving_average_abs_max, range_abs_max) keep their op; the weight
    `x@scale` of one that was never observed gets the value. Those that were trained keep their scale.

    `scales` has an entry `variable=scale` for each of them; `qcc.calibrate.activations.calibrated` measures
    them.
    """

    name: ClassVar[str] = "static-scales"

    scales: tuple[str, ...] = ()

    def apply(self, graph: Graph) -> PassResult:
        wanted = list(ops_to_calibrate(graph))
        scales = dict(parse_scale(entry) for entry in self.scales)
        missing = [op.input("X").name for op in wanted if op.input("X").name not in scales]
        if missing:
            others = f" and {counted(len(missing) - 1, 'more variable')}" if len(missing) > 1 else ""
            raise PassError(f"scales has no entry for {missing[0]!r}{others}.")
        for op in wanted:
            scale = _set_scale(scales[op.input("X").name])
            if measures_scale(op):
                _fix(graph, op, scale)
            else:
                graph.weights[op.input("InScale").name] = scale
        return PassResult(bool(wanted))


def measures_scale(op: Op) -> bool:
    """True for an op that measures the scale of an activation at every run."""
    return op.type == "fake_quantize_abs_max" and not op.input("X").persistable


def dynamic_ops(graph: Graph) -> Iterator[Op]:
    """All ops that do."""
    return filter(measures_scale, graph.ops)


def is_dynamic(graph: Graph) -> bool:
    """True when there is one."""
    return any(map(measures_scale, graph.ops))


def is_unobserved(graph: Graph, op: Op) -> bool:
    """True for an op that keeps the scale of an activation, which was never observed."""
    return op.type in QUANTIZE_OPS and not op.input("X").persistable and not observed(graph, op)


def ops_to_calibrate(graph: Graph) -> Iterator[Op]:
    """The ops that measure the scale of an activation at every run; in a test graph also those that keep one
    which was never observed."""
    for op in graph.ops:
        if measures_scale(op) or (graph.for_test and is_unobserved(graph, op)):
            yield op


def make_dynamic(graph: Graph) -> None:
    """Let scales that were never observed be measured at every run, so that the graph can be calibrated."""
    for op in list(graph.ops):
        if is_unobserved(graph, op):
            _measure(graph, op)


def parse_scale(entry: str) -> tuple[str, float]:
    """The variable and the scale of an entry of `scales`.  Raises PassError."""
    name, mark, text = entry.rpartition("=")
    try:
        scale = float(text)
    except ValueError:
        scale = math.nan
    if not mark or not name or not (math.isfinite(scale) and scale > 0):
        raise PassError(f"{entry!r} in scales is not of the form variable=scale, with a positive scale.")
    return name, scale


def _set_scale(scale: float) -> np.ndarray:
    """A scale as it is stored: in place of the one that means that none was observed, the next number."""
    stored = np.array([scale], np.float32)
    return np.where(stored == UNOBSERVED_SCALE, np.nextafter(UNOBSERVED_SCALE, np.float32(1)), stored)


def _fix(graph: Graph, op: Op, scale: np.ndarray) -> None:
    source, out, old = op.input("X"), op.output("Out"), op.output("OutScale")
    places = _places(old)
    attrs = {"bit_length": int(op.attr("bit_length", 8)), "is_test": True, "moving_rate": 0.9, "op_role": 0}
    fixed = graph.add_op("fake_quantize_moving_average_abs_max", {"X": source}, {}, attrs, before=op)
    _keep_mark(graph, op, fixed)
    graph.remove_op(op)
    for reader, slot, _ in places:
        graph.set_input(reader, slot, [])
    graph.remove_var(old)
    start = graph.add_var(old.name, "float32", (1,), scale)
    graph.set_input(fixed, "InScale", [start])
    result = graph.add_version(start)
    graph.set_output(fixed, "Out", [out])
    graph.set_output(fixed, "OutScale", [result])
    for reader, slot, variables in places:
        graph.set_input(reader, slot, [result if var is old else var for var in variables])


def _measure(graph: Graph, op: Op) -> None:
    source, out, old = op.input("X"), op.output("Out"), op.output("OutScale")
    places = _places(old)
    attrs = {"bit_length": int(op.attr("bit_length", 8)), "op_role": 0}
    dynamic = graph.add_op("fake_quantize_abs_max", {"X": source}, {}, attrs, before=op)
    _keep_mark(graph, op, dynamic)
    graph.remove_op(op)
    scale = graph.add_var(f"{old.name}.measured", "float32", (1,))
    graph.set_output(dynamic, "Out", [out])
    graph.set_output(dynamic, "OutScale", [scale])
    for reader, slot, variables in places:
        graph.set_input(reader, slot, [scale if var is old else var for var in variables])


def _keep_mark(graph: Graph, op: Op, successor: Op) -> None:
    if op.attr(BETWEEN, False):
        graph.set_flag(successor, BETWEEN, True)


def _places(var: Var) -> list[tuple[Op, str, list[Var]]]:
    """Where a variable is read: op, slot, and all that the slot reads."""
    return [
        (reader, slot, list(read))
        for reader in list(var.consumers)
        for slot, read in reader.inputs.items()
        if var in read
    ]
