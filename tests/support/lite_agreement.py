"""When a file run by Paddle Lite agrees with the model that it was made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nb_dump import read_nb

from qcc._paddle import VarType
from qcc.backends.lite.export import lower
from qcc.backends.lite.file import NaiveBuffer, parse_naive_buffer, write_naive_buffer
from qcc.backends.lite.passes.round import ROUNDING_SHIFT
from qcc.backends.lite.rules.view import Rows
from qcc.backends.lite.runtime import LiteRuntime
from qcc.backends.lite.translate import to_naive_buffer
from qcc.backends.lite.verifier import complaints_about
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.model import Model, Runner
from qcc.passes.fake_quant import QUANTIZE_OPS
from qcc.targets.lite import Arch

Arrays = Mapping[str, np.ndarray]
ROUNDING = 1e-5
_NEAR_A_TIE = 2e-3
_COPIES = ("flatten_contiguous_range", "dropout", "scale")


def written(graph: Graph, path: Path, rows: Rows = "declared", arch: Arch | None = None) -> NaiveBuffer:
    """Write a lowered graph, read it back by two readers, and let the verifier look at it."""
    with path.open("wb") as stream:
        write_naive_buffer(to_naive_buffer(graph), stream)
    parsed = parse_naive_buffer(path)
    assert [*parsed.complaints, *complaints_about(parsed.buffer, rows, arch)] == []
    program, params = read_nb(path.read_bytes())
    assert [op["type"] for op in program["blocks"][0]["ops"]] == [op.type for op in parsed.buffer.ops]
    assert [param["name"] for param in params] == [param.name for param in parsed.buffer.params]
    return parsed.buffer


def lowered(model: Model, path: Path, arch: Arch = "x86", **options: Any) -> NaiveBuffer:
    """Lower a model and write it."""
    graph = lower(model, arch, **options).graph
    return written(graph, path, options.get("rows", "declared"), arch)


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


# ---------------------------------------------------------------------- layer by layer


@dataclass(frozen=True)
class Seen:
    """What a comparison layer by layer has seen: activations, the elements of them all, and how many of their
    integers are off by one."""

    activations: int
    elements: int
    ties: int


def assert_same_layers(model: Model, inputs: Arrays, path: Path, tolerance: float = ROUNDING) -> Seen:
    """On Paddle Lite's x86 runtime each layer of a frozen model computes what Paddle computes.

    In a deep net one value on a rounding boundary moves all later layers. Here each layer starts from
    Paddle's integers: the file's activations are fed between quantizing and what reads them. Then the
    floats that are quantized must be Paddle's up to float rounding, their integers equal but for ties,
    and the outputs equal up to float rounding.
    """
    graph = lower(model, "x86").graph
    cuts = _cuts(model.graph, graph)
    outputs = len(graph.fetches)
    names = tuple(cut.quantize.input("X").name for cut in cuts)
    names += tuple(cut.quantize.output("Out").name for cut in cuts)
    wanted = Runner(model).run(inputs, (*model.fetches, *names))
    integers = wanted[outputs + len(cuts) :]
    feeds = _feed_dequantized(graph, cuts, integers)
    graph.fetches += tuple(cut.source for cut in cuts) + tuple(cut.integers for cut in cuts)
    written(graph, path)
    fed = {feed: array * cut.step for feed, array, cut in zip(feeds, integers, cuts, strict=True)}
    with LiteRuntime(path) as runtime:
        found = runtime.run({**inputs, **fed})
    assert_close(found[:outputs], wanted[:outputs], tolerance)
    ties = 0
    for number, cut in enumerate(cuts, outputs):
        floats, theirs = found[number].reshape(-1), wanted[number].reshape(-1)
        assert_close([floats], [theirs], tolerance)
        ties += _count_ties(cut, theirs, found[number + len(cuts)], wanted[number + len(cuts)])
    return Seen(len(cuts), sum(array.size for array in integers), ties)


@dataclass(frozen=True)
class _Cut:
    """Where a graph quantizes: Paddle's op, and the lowered graph's variables before, in and behind it."""

    quantize: Op
    source: str
    integers: str
    dequantized: Var
    step: np.float32


def _cuts(frozen: Graph, graph: Graph) -> list[_Cut]:
    found = {cut[0]: cut for cut in _quantizing(graph)}
    # Where a copy is fetched, lowering keeps its name, and takes out what it is a copy of.
    copied = {_original(frozen.var(name)).name: name for name in found if name in frozen}
    known = {**copied, **{name: name for name in found}}
    quantize: dict[str, Op] = {}
    for op in frozen.ops:
        if op.type in QUANTIZE_OPS:
            # What is quantized as it is and as a copy is quantized once after lowering.
            quantize.setdefault(known[_source(op.input("X"), known)], op)
    assert quantize, "nothing is quantized"
    return [_Cut(op, *found[name]) for name, op in quantize.items()]


def _quantizing(graph: Graph) -> Iterator[tuple[str, str, Var, np.float32]]:
    for op in graph.ops:
        if op.type == "calib" and op.output("Out").dtype == VarType.INT8:
            integers = op.output("Out")
            (reader,) = integers.consumers
            yield op.input("Input").name, integers.name, reader.output("Out"), np.float32(op.attr("scale"))
        elif op.type == "scale" and op.attr("bias") == -ROUNDING_SHIFT:
            scale = op.input("X").producer.input("X").producer.input("X").producer
            (reader,) = op.output("Out").consumers
            step = np.float32(reader.attr("scale"))
            yield scale.input("X").name, op.output("Out").name, reader.output("Out"), step


def _original(var: Var) -> Var:
    while var.producer is not None and var.producer.type in _COPIES:
        if var.producer.attr("scale", 1.0) != 1 or var.producer.attr("bias", 0.0) != 0:
            break
        var = var.producer.input("X")
    return var


def _source(var: Var, known: Mapping[str, object]) -> str:
    """The variable's name; that of what it is a copy of, where lowering has taken the copy out."""
    while var.name not in known:
        assert var.producer is not None
        assert var.producer.type in _COPIES, f"{var.name} is not quantized after lowering"
        var = var.producer.input("X")
    return var.name


def _feed_dequantized(graph: Graph, cuts: list[_Cut], integers: list[np.ndarray]) -> list[str]:
    """Let what reads a dequantized activation read a feed instead, of the integers' size; the feeds, in the
    order of the cuts."""
    feeds = []
    for cut, values in zip(cuts, integers, strict=True):
        fed = graph.add_var(f"{cut.dequantized.name}.fed", "float32", values.shape)
        graph.replace_uses(cut.dequantized, fed)
        feeds.append(fed.name)
    graph.feeds += tuple(feeds)
    return feeds


def _count_ties(cut: _Cut, floats: np.ndarray, found: np.ndarray, wanted: np.ndarray) -> int:
    """How many integers differ, all of them by one, and where the float lies between the two."""
    apart = wanted.reshape(-1) - found.reshape(-1).astype(np.float32)
    if not apart.any():
        return 0
    assert np.abs(apart).max() <= 1, f"{cut.source}: off by {np.abs(apart).max()}"
    positions = np.abs(floats[apart != 0]) / cut.step
    distance = np.abs(positions - np.floor(positions) - 0.5).max()
    assert distance <= _NEAR_A_TIE, f"{cut.source}: another integer {distance} away from a tie"
    return int(np.count_nonzero(apart))
