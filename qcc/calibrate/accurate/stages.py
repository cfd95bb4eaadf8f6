"""A network that is run part by part over many images: up to each layer in turn, from where it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from qcc._paddle import VarType
from qcc.errors import DataError, PaddleError
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.model import Model, Runner

Values = dict[str, np.ndarray]


@dataclass(frozen=True)
class Stage:
    """The ops in front of a layer, behind the layer before (the first of them): their places in the graph's
    order; what they read that others have written, what of theirs is read later on, and what anything
    later reads."""

    ops: tuple[int, ...]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    kept: frozenset[str]


def parts(graph: Graph, layers: Sequence[Op]) -> list[Stage]:
    """A stage for each of some ops of a graph, in its order, which ends in front of it. Ops that none of them
    depends on are in none.

    Raises DataError where a variable between two stages is no dense tensor.
    """
    ops = graph.ops
    needed = _ancestors(layers)
    places = {op: place for place, op in enumerate(ops)}
    bounds = [0, *(places[op] for op in layers)]
    chosen = [
        tuple(place for place in range(start, end) if ops[place] in needed) for start, end in pairwise(bounds)
    ]
    inner = set(graph.shell.names_read_in_blocks())
    stages: list[Stage] = []
    later: set[str] = set()
    for layer, part in zip(reversed(layers), reversed(chosen), strict=True):
        later |= {var.name for var in layer.all_inputs() if not _is_constant(graph, var.name)}
        reads, writes = _interface(graph, [ops[place] for place in part], inner)
        _check_dense(graph, writes & later)
        stages.append(Stage(part, tuple(sorted(reads)), tuple(sorted(writes & later)), frozenset(later)))
        later = (later - writes) | reads
    return stages[::-1]


def _ancestors(ops: Sequence[Op]) -> set[Op]:
    found: set[Op] = set()
    waiting = [var.producer for op in ops for var in op.all_inputs()]
    while waiting:
        op = waiting.pop()
        if op is not None and op not in found:
            found.add(op)
            waiting += [var.producer for var in op.all_inputs()]
    return found | set(ops)


def _is_constant(graph: Graph, name: str) -> bool:
    return graph.versions(name)[0].persistable


def _interface(graph: Graph, ops: Sequence[Op], inner: set[str]) -> tuple[set[str], set[str]]:
    """What ops read that they have not written before, and what they write, by name; no weights."""
    reads: set[str] = set()
    writes: set[str] = set()
    for op in ops:
        names = {var.name for var in op.all_inputs()} | (inner if op.has_block else set())
        reads |= {name for name in names if name in graph and not _is_constant(graph, name)} - writes
        writes |= {var.name for var in op.all_outputs() if not _is_constant(graph, var.name)}
    return reads, writes


def _check_dense(graph: Graph, names: set[str]) -> None:
    for name in sorted(names):
        for var in graph.versions(name):
            if var.is_declared and var.desc.type() != VarType.LOD_TENSOR:
                raise DataError(
                    f"the model cannot be run in parts: {name!r}, between two layers, is no dense tensor."
                )


class Advance:
    """A stage that is run image by image."""

    def __init__(self, graph: Graph, stage: Stage) -> None:
        self._stage = stage
        part = graph.part([graph.ops[place] for place in stage.ops])
        part.feeds, part.fetches = stage.reads, stage.writes
        self._runner = Runner(Model(part)) if stage.writes else None

    def __call__(self, values: Mapping[str, np.ndarray]) -> Values:
        """What is held of an image behind the stage, from what is held in front of it.

        Raises DataError when it does not run.
        """
        held = {name: value for name, value in values.items() if name in self._stage.kept}
        if self._runner is not None:
            given = {name: values[name] for name in self._stage.reads}
            try:
                found = self._runner.run(given)
            except PaddleError as error:
                raise DataError(f"the model does not run in parts: {error}") from error
            held.update(zip(self._stage.writes, found, strict=True))
        return held


def size(values: Mapping[str, np.ndarray]) -> int:
    """The bytes that are held."""
    return sum(value.nbytes for value in values.values())
