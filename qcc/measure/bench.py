"""Models in the engines of this machine, timed in turns, and compared with what Paddle computes op for op."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from qcc.backends.agreement import Distance, distances, furthest
from qcc.backends.predictor import PaddleExecutor
from qcc.errors import QccError
from qcc.measure.engines import ENGINES, Case, Inputs, Refusal, Running, find_cases
from qcc.measure.joined import small_places
from qcc.measure.subjects import Subject
from qcc.passes.quantizable import operands

_TURN = 0.05
"""Seconds of the processor that a turn is to take, of models that are faster than that."""
_MOST_RUNS = 10
_SPINNING = 0.25
"""Seconds that the threads of a run may go on waiting for work, and take time from the next one's."""


@dataclass(frozen=True)
class Spread:
    """The median of some numbers, and their first and third quartile."""

    median: float
    first: float
    third: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        first, median, third = np.quantile(values, (0.25, 0.5, 0.75))
        return cls(float(median), float(first), float(third))


@dataclass
class Row:
    """A case with a number of threads, and what was measured.

    `int8_layers`: how many of the model's `layers` ran on integers; what is not known is None.
    `wall` and `cpu`: seconds of a run, one for each turn, which is the median of the runs in it; `cpu` is
    that of all threads. `ratio`: `cpu` relative to that of the same engine's float model, turn by turn.
    `distance`: how far its outputs are from what Paddle's executor computes op for op from the float model,
    or from the frozen one, in float32. `reason`: why there is nothing.
    """

    engine: str
    subject: Subject | None
    threads: int
    int8: bool = False
    size: int = 0
    int8_layers: int | None = None
    layers: int | None = None
    distance: Distance | None = None
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    reason: str | None = None

    @property
    def is_slower(self) -> bool:
        """Whether it took more time than the float model in three quarters of the turns or more."""
        return bool(self.ratios) and Spread.of(self.ratios).first > 1


@dataclass
class Bench:
    """The subjects in engines, on inputs."""

    subjects: Sequence[Subject]
    engines: Sequence[str]
    inputs: Inputs
    threads: Sequence[int]
    rounds: int
    scratch: Path
    report: Callable[[int], None]

    def __post_init__(self) -> None:
        self._expected: dict[Path, _Expected] = {}

    def run(self) -> list[Row]:
        """Measure everything; an engine that refuses, or ends its process, is a row that says why."""
        found = find_cases(self.engines, self.subjects, self.scratch)
        rows: list[Row] = []
        for number, threads in enumerate(self.threads):
            ours = [one for one in found if ENGINES[one.engine].on_cpu or not number]
            with_cases = [(self._row(one, threads), one) for one in ours]
            self._measure([(row, one) for row, one in with_cases if isinstance(one, Case)], number)
            rows += [row for row, one in with_cases if isinstance(one, Case) or not number]
        _compare(rows)
        return rows

    def _row(self, found: Case | Refusal, threads: int) -> Row:
        if isinstance(found, Refusal):
            return Row(found.engine, found.subject, threads, reason=found.reason)
        return Row(found.engine, found.subject, threads, found.int8, found.size)

    def _measure(self, rows: Sequence[tuple[Row, Case]], number: int) -> None:
        opened: list[Running] = []
        ready: list[tuple[Row, Running, int]] = []
        try:
            for row, case in rows:
                try:
                    running = case.open(row.threads)
                    opened.append(running)
                    ready.append((row, running, self._first_runs(row, case, running)))
                except QccError as error:
                    row.reason = str(error).rstrip(".")
            self._take_turns(ready, number)
        finally:
            for running in opened:
                running.close()

    def _first_runs(self, row: Row, case: Case, running: Running) -> int:
        """Compare the outputs; how many runs a turn has."""
        row.distance = self._distance(case.subject, running.run(self.inputs))
        if not case.subject.is_float:
            row.int8_layers = case.int8_layers(running, self.inputs)
            row.layers = self._layers()
        return runs_of_a_turn(running, self.inputs)

    def _take_turns(self, ready: Sequence[tuple[Row, Running, int]], number: int) -> None:
        """So that whatever else the machine does at some moment meets all of them alike."""
        for turn in range(self.rounds):
            for row, running, runs in ready:
                if row.reason is not None:
                    continue
                if row.threads > 1:
                    time.sleep(_SPINNING)
                try:
                    found = running.times(self.inputs, 1, runs)
                except QccError as error:
                    row.reason = str(error).rstrip(".")
                    # Some turns are no measurement.
                    row.wall.clear()
                    row.cpu.clear()
                    continue
                row.wall.append(statistics.median(found.wall))
                row.cpu.append(statistics.median(found.cpu))
            self.report(number * self.rounds + turn + 1)

    def _layers(self) -> int | None:
        """The ops with a weight that can be quantized, of the first model that shows them as they are."""
        for subject in self.subjects:
            if subject.model is not None and subject.form in ("float", "frozen"):
                return sum(operands(op) is not None for op in subject.model.graph.ops)
        return None

    def _distance(self, subject: Subject, outputs: Sequence[np.ndarray]) -> Distance | None:
        simulation = simulation_of(subject, self.subjects)
        if simulation is None:
            return None
        if simulation.program not in self._expected:
            self._expected[simulation.program] = _Expected.of(simulation, self.inputs)
        return self._expected[simulation.program].distance(outputs)


@dataclass(frozen=True)
class _Expected:
    """The outputs that are to come, and the small parts of them, which count by themselves."""

    outputs: list[np.ndarray]
    places: list[tuple[int, np.ndarray]]

    @staticmethod
    def of(simulation: Subject, inputs: Inputs) -> _Expected:
        executor = PaddleExecutor(simulation.program, simulation.params)
        assert simulation.model is not None
        places = small_places(simulation.model.graph, partial(executor.run, inputs))
        return _Expected(executor.run(inputs), list(places))

    def distance(self, outputs: Sequence[np.ndarray]) -> Distance:
        if len(self.outputs) != len(outputs):
            return Distance(np.inf, np.inf, np.inf, 0.0)
        found = distances(outputs, self.outputs)
        of_parts = [
            distances([outputs[number][place]], [self.outputs[number][place]])
            for number, place in self.places
            if found[number].sound
        ]
        return furthest(*found, *chain.from_iterable(of_parts))


def runs_of_a_turn(running: Running, inputs: Inputs) -> int:
    """How many runs a turn has, once the model has warmed up."""
    (seconds,) = running.times(inputs, warm_up=2, runs=1).cpu
    return max(1, min(_MOST_RUNS, round(_TURN / max(seconds, 1e-6))))


def simulation_of(subject: Subject, subjects: Sequence[Subject]) -> Subject | None:
    """What a subject is to compute, as a model that Paddle's executor runs op for op; None when it is not
    among the subjects.

    Of a float one the float model; of a quantized one the frozen model from the same folder, or else itself,
    if it is one of Paddle's, or else the float model.
    """
    own = subject if subject.model is not None else None
    of_float = next((one for one in subjects if one.is_float and one.model is not None), None)
    if subject.is_float:
        return own or of_float
    frozen = [one for one in subjects if one.form == "frozen" and one.model is not None]
    beside = next((one for one in frozen if one.home == subject.home), None)
    return beside or own or (frozen[0] if len(frozen) == 1 else of_float)


def _compare(rows: Sequence[Row]) -> None:
    """Set the ratios of what is quantized to the same engine's first float model."""
    for row in rows:
        base = next((one for one in rows if _is_base(one) and _place(one) == _place(row)), None)
        if base is not None and row.reason is None and row.subject is not None and not row.subject.is_float:
            row.ratios = [cpu / of_float for cpu, of_float in zip(row.cpu, base.cpu, strict=True)]


def _is_base(row: Row) -> bool:
    return row.reason is None and row.subject is not None and row.subject.is_float


def _place(row: Row) -> tuple[str, int]:
    return row.engine, row.threads


def fastest(rows: Sequence[Row]) -> list[Row]:
    """The fastest int8 model of each engine and number of threads, where it was compared with float."""
    found: dict[tuple[str, int], Row] = {}
    for row in rows:
        if row.int8 and row.ratios:
            best = found.setdefault(_place(row), row)
            if statistics.median(row.ratios) < statistics.median(best.ratios):
                found[_place(row)] = row
    return list(found.values())


def slower(rows: Sequence[Row]) -> list[Row]:
    """The fastest int8 model of each engine and number of threads in which even that is slower than float."""
    return [row for row in fastest(rows) if row.is_slower]
