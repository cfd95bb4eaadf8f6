"""The page docs/speed.md, made from the record of a run of `bench/compile.py`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

# Steps of the way in, over and out, and whose work they are.
TRAINING_STEPS = (
    "load",
    "verify",
    "transform",
    "order after transform",
    "verify transformed",
    "to_program",
)
INFERENCE_STEPS = ("load", "transform", "freeze", "prune", "int8", "unpack", "copy", "qdq", "to_program")
CALLS = ("run", "load, to_program")
OUTSIDE = ("to_program",)
PASSES = ("transform", "freeze", "int8", "unpack", "qdq", "prune")
PADDLE_PASSES = ("transform", "freeze", "int8")

Record = dict[str, Any]


@dataclass(frozen=True)
class Times:
    """Seconds of one section on one chain, over all rounds and repetitions."""

    wall: tuple[float, ...]
    cpu: tuple[float, ...]

    def __str__(self) -> str:
        return f"{seconds(median(self.wall))} ({seconds(min(self.wall))} to {seconds(max(self.wall))})"


class Measured:
    """A record's numbers by case, kind of chain, layers and section."""

    def __init__(self, record: Record) -> None:
        self._entries = record["measured"]

    def times(self, case: str, training: bool, layers: int, section: str) -> Times | None:
        """None when it was not measured."""
        wall = self._seconds("wall", case, training, layers, section)
        return Times(wall, self.cpu(case, training, layers, section)) if wall else None

    def cpu(self, case: str, training: bool, layers: int, section: str) -> tuple[float, ...]:
        """Processor seconds, user and system, of all repetitions."""
        return self._seconds("cpu", case, training, layers, section)

    def _seconds(self, clock: str, case: str, training: bool, layers: int, section: str) -> tuple[float, ...]:
        return tuple(
            run[section][clock]
            for entry in self._select(case, training, layers)
            for run in entry["runs"]
            if section in run
        )

    def ops(self, case: str, training: bool, layers: int) -> int:
        return next(iter(self._select(case, training, layers)))["ops"]

    def layers(self, case: str, training: bool) -> list[int]:
        """The chains on which a case was measured, shortest first."""
        return sorted(
            {
                entry["layers"]
                for entry in self._entries
                if entry["case"] == case and entry["training"] == training
            }
        )

    def peak(self, case: str, training: bool, layers: int) -> float:
        """The largest size of the process, in bytes."""
        (entry,) = self._select(case, training, layers)
        return entry["runs"][0]["peak"]["bytes"]

    def op_counts(self, training: bool) -> dict[str, dict[str, int]]:
        """Ops by type after `transform`, of "qcc" and of "paddle"."""
        (entry,) = (e for e in self._entries if e["case"] == "same_ops" and e["training"] == training)
        return entry["runs"][0]

    def _select(self, case: str, training: bool, layers: int) -> Iterable[Record]:
        wanted = (case, training, layers)
        return [e for e in self._entries if (e["case"], e["training"], e["layers"]) == wanted]


def growth(points: Iterable[tuple[int, float]]) -> float:
    """The exponent e of seconds ~ ops ** e: the slope of the line through the points, both logarithmic."""
    ops, values = zip(*points, strict=True)
    return float(np.polyfit(np.log(ops), np.log(values), 1)[0])


def seconds(value: float) -> str:
    """Three digits that count."""
    return f"{value:.3g} s" if value < 100 else f"{value:.0f} s"


def table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown."""
    lines = [list(headings)]
    lines += [["---"] * len(lines[0]), *(list(row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


# ---------------------------------------------------------------------- the page


def render(record: Record) -> str:
    """The page for a record."""
    return "\n\n".join(_parts(record)) + "\n"


def _parts(record: Record) -> Iterator[str]:
    measured, plan = Measured(record), record["plan"]
    yield "# Speed of the compiler"
    yield "```\nmake bench     # measures again, and writes this page\n```"
    yield _surroundings(record)
    yield "## Targets"
    yield table(("what", "wanted", "measured", "met"), _targets(measured, plan))
    yield "## Beside Paddle's own passes"
    yield _paddle_text(measured, record)
    yield table(("chain", "ops", "pass", "Paddle", "qcc", "Paddle : qcc"), _paddle_rows(measured))
    if measured.layers("as_called", True):
        yield "## As users call it"
        yield (
            "`run` is `PassManager.run` with `transform`: copying the model, the pass, verification before"
            " and after it. `load, to_program` is `qcc.from_program` and `Model.to_program`, without a pass"
            " between; beside it Paddle's `IrGraph(core.Graph(program.desc))` and `IrGraph.to_program`."
            " Processor seconds, medians, training graphs."
        )
        yield _calls_table(measured, plan)
    yield "## Growth"
    yield (
        "Processor seconds (medians) by the number of ops that the chain has before the pass. The exponent is"
        " the slope of the line through them, both logarithmic: 1 is linear, 2 quadratic. After edits the ops"
        " are ordered anew when somebody asks for them: `order after transform`. `to_program` is for the most"
        " part Paddle's own code; `load` includes the verification of the whole graph."
    )
    yield "Training graphs:"
    yield _growth_table(measured, plan, True)
    yield "Inference graphs:"
    yield _growth_table(measured, plan, False)
    yield "## Verification"
    yield (
        "A pipeline as users call it, which works on a copy of the model and verifies it after each pass."
        " Processor seconds, medians. The order of the ops, which verification checks and the next pass needs"
        " anyway, is not counted as verification."
    )
    yield table(("pipeline", "ops", "whole", "copying", "verification", "its share"), _shares(measured, plan))
    yield "## Memory"
    yield _MEMORY_TEXT
    yield table(
        ("chain", "Paddle's program", "after load", "from load to program"), _memory_rows(measured, plan)
    )


def _surroundings(record: Record) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    loads = ", ".join(f"{record[key][0]:.1f}" for key in ("load_average_at_start", "load_average_at_end"))
    return (
        "Made by `make bench` from `docs/records/compile-bench.json`, which has every raw number. Chains of"
        " convolution, batch norm and relu with an fc layer at the end, as training graphs (with backward ops"
        " and SGD) and as inference graphs; weights per channel, activations by moving average. Times are the"
        f" medians of all repetitions in {record['plan']['rounds']} rounds, with smallest and largest."
        " Each case runs in a process of its own, each repetition on a fresh graph, with Python's garbage"
        " collector on.\n\n"
        f"* Command: `{record['command']}`, {record['date'][:10]}\n"
        f"* Processor: {record['processor']}, {record['cores']} cores, 1 thread used;"
        f" load average at start and end: {loads}\n"
        f"* {versions}"
    )


def _targets(measured: Measured, plan: Record) -> Iterator[tuple[str, ...]]:
    training = [
        layers for layers in plan["paddle_layers"] if measured.times("training", True, layers, "load")
    ]
    largest = max(training)
    ratio = _ratio(measured, True, largest, "transform")
    ops = measured.ops("training", True, largest)
    yield (
        f"transform of the training graph with {ops} ops, times faster than Paddle's",
        ">= 300",
        f"{ratio:.0f}",
        _met(ratio >= 300),
    )
    target = plan["target_layers"]
    if measured.layers("as_called", True):
        yield from _call_targets(measured, plan, largest)
    way = measured.times("whole_way", True, target, "load, transform, verify, to_program")
    ops = measured.ops("whole_way", True, target)
    yield f"load, transform, verify and to_program, training graph with {ops} ops", "< 3 s", *_limit(way, 3)
    pipe = measured.times("pipeline", False, target, "pipeline")
    ops = measured.ops("pipeline", False, target)
    yield f"transform, freeze, int8, prune, inference graph with {ops} ops", "< 1.5 s", *_limit(pipe, 1.5)
    worst = max(
        (exponent, step)
        for training_graph in (True, False)
        for step, exponent in _exponents(measured, plan, training_graph).items()
        if step in PASSES
    )
    yield "largest growth exponent of a pass", "<= 1.1", f"{worst[0]:.2f} ({worst[1]})", _met(worst[0] <= 1.1)
    share = max(_share(measured, target, training_graph) for training_graph in (True, False))
    yield "verification's share of a pipeline", "<= 10 %", f"{share:.1%}", _met(share <= 0.1)


def _call_targets(measured: Measured, plan: Record, paddle_layers: int) -> Iterator[tuple[str, ...]]:
    """What is wanted of calls, copy and verification included; by processor time."""
    own, paddle = "as_called", "paddle_as_called"
    ratio = _cpu(measured, "paddle_passes", paddle_layers, "transform") / _cpu(
        measured, own, paddle_layers, "run"
    )
    yield (
        f"`PassManager.run` with transform, {measured.ops(own, True, paddle_layers)} ops: copy, pass and"
        " verification, times faster than Paddle's pass alone",
        ">= 300",
        f"{ratio:.0f}",
        _met(ratio >= 300),
    )
    layers = plan["target_layers"]
    step = "load, to_program"
    share = _cpu(measured, own, layers, step) / _cpu(measured, paddle, layers, step)
    yield (
        f"load and to_program, {measured.ops(own, True, layers)} ops, times as long as Paddle's own",
        "<= 1.5",
        f"{share:.2f}",
        _met(share <= 1.5),
    )
    worst = max((growth(_medians(measured, plan, True, step, own)), step) for step in CALLS)
    yield (
        "largest growth exponent of these two",
        "<= 1.1",
        f"{worst[0]:.2f} ({worst[1]})",
        _met(worst[0] <= 1.1),
    )


def _cpu(measured: Measured, case: str, layers: int, section: str) -> float:
    return median(measured.cpu(case, True, layers, section))


def _calls_table(measured: Measured, plan: Record) -> str:
    sizes = [f"{ops:,} ops" for ops, _ in _medians(measured, plan, True, "run", "as_called")]
    rows = []
    for step in CALLS:
        points = _medians(measured, plan, True, step, "as_called")
        rows.append((step, *(seconds(value) for _, value in points), f"{growth(points):.2f}"))
    target = plan["target_layers"]
    theirs = [
        seconds(_cpu(measured, "paddle_as_called", layers, "load, to_program")) if layers == target else ""
        for layers in plan["layers"]
    ]
    rows.append(("Paddle's load, to_program", *theirs, ""))
    return table(("call", *sizes, "exponent"), rows)


def _met(yes: bool) -> str:
    return "yes" if yes else "no"


def _limit(times: Times | None, limit: float) -> tuple[str, str]:
    assert times is not None
    return str(times), _met(median(times.wall) < limit)


def _ratio(measured: Measured, training: bool, layers: int, section: str) -> float:
    paddle = measured.times("paddle_passes", training, layers, section)
    own = measured.times("training" if training else "inference", training, layers, section)
    assert paddle is not None
    assert own is not None
    return median(paddle.wall) / median(own.wall)


def _paddle_text(measured: Measured, record: Record) -> str:
    for training in (True, False):
        counts = measured.op_counts(training)
        if counts["qcc"] != counts["paddle"]:
            return f"**The two do not do the same work**: {counts}"
    text = (
        "`QuantizationTransformPass`, `QuantizationFreezePass` and `ConvertToInt8Pass` with the same options,"
        " in the same run. After transform both have the same number of ops of each type."
    )
    if not record["plan"]["full"]:
        layers = record["plan"]["target_layers"]
        text += (
            f" Not measured in this run: Paddle's passes on {layers} layers, which take half an hour"
            " (`python bench/compile.py --full`)."
        )
    return text


def _paddle_rows(measured: Measured) -> Iterator[tuple[str, ...]]:
    for training in (True, False):
        kind = "training" if training else "inference"
        for layers in measured.layers("paddle_passes", training):
            for name in PADDLE_PASSES:
                paddle = measured.times("paddle_passes", training, layers, name)
                if paddle is not None:
                    ops = measured.ops("paddle_passes", training, layers)
                    own = measured.times(kind, training, layers, name)
                    ratio = f"{_ratio(measured, training, layers, name):.0f}"
                    yield f"{layers} layers, {kind}", str(ops), name, str(paddle), str(own), ratio


def _growth_layers(plan: Record, training: bool) -> list[int]:
    return [layers if training else 3 * layers + 2 for layers in plan["layers"]]


def _medians(
    measured: Measured, plan: Record, training: bool, step: str, case: str | None = None
) -> list[tuple[int, float]]:
    case = case or ("training" if training else "inference")
    points = []
    for layers in _growth_layers(plan, training):
        times = measured.times(case, training, layers, step)
        assert times is not None
        points.append((measured.ops(case, training, layers), median(times.cpu)))
    return points


def _exponents(measured: Measured, plan: Record, training: bool) -> dict[str, float]:
    steps = TRAINING_STEPS if training else INFERENCE_STEPS
    return {step: growth(_medians(measured, plan, training, step)) for step in steps}


def _growth_table(measured: Measured, plan: Record, training: bool) -> str:
    exponents = _exponents(measured, plan, training)
    sizes = [f"{ops:,} ops" for ops, _ in _medians(measured, plan, training, "load")]
    rows = []
    for step, exponent in exponents.items():
        values = [seconds(value) for _, value in _medians(measured, plan, training, step)]
        rows.append((f"{step} (Paddle's)" if step in OUTSIDE else step, *values, f"{exponent:.2f}"))
    return table(("step", *sizes, "exponent"), rows)


def _share(measured: Measured, layers: int, training: bool) -> float:
    """Verification's share of a pipeline's processor time; the median over all repetitions."""
    verification = measured.cpu("pipeline", training, layers, "verification")
    whole = measured.cpu("pipeline", training, layers, "pipeline")
    return median(part / all_ for part, all_ in zip(verification, whole, strict=True))


def _shares(measured: Measured, plan: Record) -> Iterator[tuple[str, ...]]:
    layers = plan["target_layers"]
    for training, name in (
        (True, "transform, training"),
        (False, "transform, freeze, int8, prune, inference"),
    ):
        cells = [
            seconds(median(measured.cpu("pipeline", training, layers, section)))
            for section in ("pipeline", "copy", "verification")
        ]
        ops = measured.ops("pipeline", training, layers)
        yield name, str(ops), *cells, f"{_share(measured, layers, training):.1%}"


_MEMORY_TEXT = (
    "KiB per op at the peak: the difference between the peaks (VmHWM) of processes that do the same work on"
    " the longest and on the shortest chain of the growth table, by the difference of their ops. Every column"
    " holds what the one before it holds."
)


def _memory_rows(measured: Measured, plan: Record) -> Iterator[tuple[str, ...]]:
    for training in (True, False):
        short, *_, long = _growth_layers(plan, training)
        cells = []
        for case in ("memory_of_program", "memory_of_load", "memory_of_all"):
            added = measured.peak(case, training, long) - measured.peak(case, training, short)
            ops = measured.ops(case, training, long) - measured.ops(case, training, short)
            cells.append(f"{added / ops / 1024:.1f}")
        yield "training" if training else "inference", *cells
