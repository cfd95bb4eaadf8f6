"""When a file run by Paddle Lite agrees with the model that it was made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qcc._paddle import VarType
from qcc.backends.lite.export import lower
from qcc.backends.lite.file import NaiveBuffer, parse_naive_buffer, write_naive_buffer
from qcc.backends.lite.runtime import LiteRuntime
from qcc.backends.lite.translate import to_naive_buffer
from qcc.backends.lite.verifier import complaints_about
from qcc.graph import Graph
from qcc.model import Model, Runner
from qcc.nodes import Op, Var
from qcc.passes.fake_quant import QUANTIZE_OPS

Arrays = Mapping[str, np.ndarray]
ROUNDING = 1e-5


def written(graph: Graph, path: Path) -> NaiveBuffer:
    """Write a lowered graph, read it back, and let the verifier look at it."""
    with path.open("wb") as stream:
        write_naive_buffer(to_naive_buffer(graph), stream)
    parsed = parse_naive_buffer(path)
    assert [*parsed.complaints, *complaints_about(parsed.buffer)] == []
    return parsed.buffer


def lowered(model: Model, path: Path, **options: Any) -> NaiveBuffer:
    """Lower a model (for x86 unless options say otherwise) and write it."""
    return written(lower(model, **{"arch": "x86", **options}).graph, path)


def lite_outputs(model: Model, inputs: Arrays, path: Path, **options: Any) -> list[np.ndarray]:
    """What Paddle Lite's x86 runtime computes from a model's file."""
    lowered(model, path, **options)
    with LiteRuntime(path) as runtime:
        return runtime.run(inputs)


def assert_close(found: list[np.ndarray], wanted: list[np.ndarray], tolerance: float = ROUNDING) -> None:
    """Equal up to float rounding, relative to the largest value of an array."""
    assert len(found) == len(wanted)
    for number, (left, right) in enumerate(zip(found, map(np.asarray, wanted), strict=True)):
        # Paddle has numbers without dimensions, Paddle Lite has not.
        assert left.shape == (right.shape or (1,)), f"output {number}: {left.shape} and {right.shape}"
        assert left.dtype == right.dtype, f"output {number}: {left.dtype} and {right.dtype}"
        scale = np.max(np.abs(right.astype(np.float64)), initial=1e-30)
        distance = np.max(np.abs(left.astype(np.float64) - right.astype(np.float64)), initial=0.0)
        assert distance <= tolerance * scale, f"output {number}: off by {distance} of {scale}"


# ---------------------------------------------------------------------- ties


@dataclass(frozen=True)
class Ties:
    """What a comparison of integers has seen: activations in all, of them compared, elements off by one."""

    activations: int
    compared: int
    off: int

    @property
    def none(self) -> bool:
        return self.off == 0 and self.compared == self.activations


def assert_ties_only(model: Model, inputs: Arrays, path: Path, near: float = 2e-3) -> Ties:
    """The integers of all activations are those of the frozen model, up to ties, on Paddle Lite's x86 runtime.

    Where two integers differ, they do so by one, and the float that was rounded lies within `near` of the
    boundary between the two. What is computed from such an element may differ by more, so that an
    activation that depends on one which differs is not compared.
    """
    graph = lower(model, "x86").graph
    pairs = _pairs(model.graph, graph)
    graph.fetches = tuple(integers for _, integers in pairs)
    written(graph, path)
    with LiteRuntime(path) as runtime:
        found = runtime.run(inputs)
    names = tuple(op.output("Out").name for op, _ in pairs) + tuple(op.input("X").name for op, _ in pairs)
    wanted = Runner(model).run(inputs, names)
    differing: set[Var] = set()
    off = compared = 0
    for number, (op, _) in enumerate(pairs):
        if _ancestors(op) & differing:
            differing.add(op.output("Out"))
            continue
        compared += 1
        apart = wanted[number].reshape(-1) - found[number].reshape(-1).astype(np.float32)
        if not apart.any():
            continue
        _assert_ties(model, op, wanted[len(pairs) + number].reshape(-1), apart, near)
        off += np.count_nonzero(apart)
        differing.add(op.output("Out"))
    return Ties(len(pairs), compared, off)


def _pairs(frozen: Graph, graph: Graph) -> list[tuple[Op, str]]:
    """Quantize ops of the frozen graph, in order, with the variable of the lowered graph that holds the integers."""
    integers: dict[str, str] = {}
    for op in graph.ops:
        if op.type == "calib" and op.output("Out").dtype == VarType.INT8:
            integers[op.input("Input").name] = op.output("Out").name
        elif op.type == "round":
            scale = op.input("X").producer.input("X").producer
            integers[scale.input("X").name] = op.output("Out").name
    found = [op for op in frozen.ops if op.type in QUANTIZE_OPS and op.input("X").name in integers]
    assert found, "nothing is quantized"
    return [(op, integers[op.input("X").name]) for op in found]


def _ancestors(op: Op) -> set[Var]:
    """All variables that an op's result depends on."""
    seen: set[Var] = set()
    waiting = list(op.all_inputs())
    while waiting:
        var = waiting.pop()
        if var not in seen:
            seen.add(var)
            waiting += [] if var.producer is None else list(var.producer.all_inputs())
    return seen


def _assert_ties(model: Model, op: Op, floats: np.ndarray, apart: np.ndarray, near: float) -> None:
    name = op.input("X").name
    assert np.abs(apart).max() <= 1, f"{name}: off by {np.abs(apart).max()}"
    scale = model.weights[op.input("InScale").name].reshape(-1)[0]
    positions = np.abs(floats[apart != 0]) / scale * (2 ** (op.attr("bit_length") - 1) - 1)
    distance = np.abs(positions - np.floor(positions) - 0.5).max()
    assert distance <= near, f"{name}: a difference where the float is {distance} away from a tie"
