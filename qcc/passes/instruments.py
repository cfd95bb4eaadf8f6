"""Instruments: what watches a pipeline from outside."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qcc.files import write_text
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.ir.verify import verify_changes
from qcc.ir.weights import Weights
from qcc.passes.base import Pass, PassResult


class Instrument:
    """Called at the start, before and after each pass, and at the end; does nothing by itself."""

    def start(self, graph: Graph, passes: Sequence[Pass]) -> None:
        """Before the first pass."""

    def before(self, step: Pass, graph: Graph) -> None:
        """Before a pass."""

    def after(self, step: Pass, graph: Graph, result: PassResult) -> None:
        """After a pass that succeeded."""

    def finish(self, graph: Graph) -> None:
        """After the last pass."""


class Verification(Instrument):
    """Check the graph's rules before the first pass and after each, on all that was touched.

    What comes from a frontend has been checked as a whole; what was edited since is checked at the
    start, and what a pass did not touch, it did not break.
    """

    def start(self, graph: Graph, passes: Sequence[Pass]) -> None:
        verify_changes(graph)

    def after(self, step: Pass, graph: Graph, result: PassResult) -> None:
        verify_changes(graph)


@dataclass
class Timing(Instrument):
    """Wall-clock seconds of each pass, in order; of the passes alone when it is the last instrument."""

    seconds: list[tuple[str, float]] = field(default_factory=list)
    _began: float = 0.0

    def before(self, step: Pass, graph: Graph) -> None:
        self._began = time.perf_counter()

    def after(self, step: Pass, graph: Graph, result: PassResult) -> None:
        self.seconds.append((step.name, time.perf_counter() - self._began))


@dataclass(frozen=True)
class OpChange:
    """Ops of each type that a pass added, removed and changed, and whether it says that it did anything.

    An op is changed when its attributes are, the variables that it names, or a weight that it reads.
    """

    name: str
    added: Counter[str]
    removed: Counter[str]
    changed: Counter[str]
    result: PassResult


@dataclass
class OpCount(Instrument):
    """What each pass added, removed and changed, by op type."""

    changes: list[OpChange] = field(default_factory=list)
    _ops: dict[Op, bytes] = field(default_factory=dict)
    _weights: Weights = field(default_factory=Weights)

    def before(self, step: Pass, graph: Graph) -> None:
        self._ops = {op: op.desc.serialize_to_string() for op in graph.ops}
        self._weights = graph.weights.copy()

    def after(self, step: Pass, graph: Graph, result: PassResult) -> None:
        now = frozenset(graph.ops)
        added = Counter(op.type for op in now - self._ops.keys())
        removed = Counter(op.type for op in self._ops.keys() - now)
        changed = Counter(
            op.type
            for op, text in self._ops.items()
            if op in now and (op.desc.serialize_to_string() != text or self._reads_other_weights(op, graph))
        )
        self.changes.append(OpChange(step.name, added, removed, changed, result))

    def _reads_other_weights(self, op: Op, graph: Graph) -> bool:
        return any(self._weights.get(var.name) is not graph.weights.get(var.name) for var in op.all_inputs())


@dataclass
class Dump(Instrument):
    """Write the graph's text before the first pass and after each: `00-input.txt`, `01-freeze.txt` ..."""

    folder: Path
    printer: Callable[[Graph], str]
    _number: int = 0

    def start(self, graph: Graph, passes: Sequence[Pass]) -> None:
        self._number = 0
        self._write("input", graph)

    def after(self, step: Pass, graph: Graph, result: PassResult) -> None:
        self._number += 1
        self._write(step.name, graph)

    def _write(self, label: str, graph: Graph) -> None:
        write_text(self.folder / f"{self._number:02}-{label}.txt", self.printer(graph))


@dataclass
class Progress(Instrument):
    """Report each pass as it begins: `report(done, total, name)`."""

    report: Callable[[int, int, str], None]
    _total: int = 0
    _done: int = 0

    def start(self, graph: Graph, passes: Sequence[Pass]) -> None:
        self._total, self._done = len(passes), 0

    def before(self, step: Pass, graph: Graph) -> None:
        self.report(self._done, self._total, step.name)

    def after(self, step: Pass, graph: Graph, result: PassResult) -> None:
        self._done += 1
        self.report(self._done, self._total, step.name)
