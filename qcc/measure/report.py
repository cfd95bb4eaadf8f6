"""What was measured, as rows of a table for people, and as a record for programs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from qcc import __version__
from qcc.backends.agreement import Distance
from qcc.files import all_finite
from qcc.measure.bench import Row, Spread, simulation_of, slower
from qcc.measure.engines import ENGINES
from qcc.measure.subjects import Subject
from qcc.targets.processor import int8_instructions, processor

COLUMNS = {
    "engine": "what has run it",
    "model": "the files",
    "form": "float, or how it is quantized",
    "wall, ms": "the median of a run by the clock on the wall, and half the distance of the quartiles",
    "CPU, ms": "the same of the processor's time, of all threads together",
    "to fp32": "CPU time relative to the engine's float model, turn by turn",
    "int8": "layers that ran on integers, of those that can be quantized",
    "off by": "the largest difference and the mean one, relative to the range, from what Paddle's executor"
    " computes op for op, in float32, from the float model or from the frozen one",
    "MB": "of the file that the engine loads",
}
"""The columns of the table, and words about each."""

LEGEND = """\
wall, CPU: medians of a run, and half the distance of their quartiles; CPU is of all threads together.
to fp32: CPU time relative to the engine's float model, turn by turn.
int8: layers that ran on integers.
off by: the largest difference and the mean one, relative to the range, from what Paddle's executor computes
op for op, in float32, from the float model or from the frozen one."""


MADE_UP = """\
the inputs are made up, and what is off by how much differs a lot by input, as does the time of a detector
with NMS: --data PHOTOS measures on yours."""

_WRONG = 0.1
"""From which mean difference on, relative to the range, an engine does not compute what it is given."""
_TARGETS = {"paddle": "paddle-x86", "openvino": "openvino"}
"""The engines that run a `qdq/`, and the target by which one is written for them."""


def machine() -> str:
    """The processor, and what it has for int8."""
    return f"{processor()}; for int8 it has {', '.join(int8_instructions()) or 'nothing that is known'}."


def cells(row: Row) -> tuple[str, ...]:
    """A row of the table, under `COLUMNS`, of what was measured."""
    assert row.subject is not None
    return (
        row.engine,
        row.subject.shown,
        row.subject.form,
        _spread([seconds * 1000 for seconds in row.wall]),
        _spread([seconds * 1000 for seconds in row.cpu]),
        _ratio(row.ratios),
        _int8(row),
        _distance(row),
        f"{row.size / 1e6:.2f}",
    )


def _int8(row: Row) -> str:
    if row.int8_layers is None:
        return ""
    return str(row.int8_layers) if row.layers is None else f"{row.int8_layers}/{row.layers}"


def _spread(values: Sequence[float]) -> str:
    if not values:
        return ""
    spread = Spread.of(values)
    # Three digits or more, of times between microseconds and seconds.
    few = ((0.1, 4), (1, 3), (100, 2), (1000, 1))
    decimals = next((count for limit, count in few if spread.median < limit), 0)
    return f"{spread.median:.{decimals}f} ±{(spread.third - spread.first) / 2:.{decimals}f}"


def _ratio(values: Sequence[float]) -> str:
    if not values:
        return ""
    spread = Spread.of(values)
    return f"{spread.median:.2f} ±{(spread.third - spread.first) / 2:.2f}"


def _distance(row: Row) -> str:
    if row.distance is None:
        return ""
    if not row.distance.sound:
        return "another shape, or not finite"
    return f"{_short(row.distance.largest)}, {_short(row.distance.mean)}"


def _short(value: float) -> str:
    """A number by its power of ten: 4e-3."""
    digit, power = f"{value:.0e}".split("e")
    return f"{digit}e{int(power)}" if value else "0"


def refusals(rows: Sequence[Row]) -> Iterator[str]:
    """Why there is no row of numbers."""
    for row in rows:
        if row.reason is not None:
            model = "" if row.subject is None else f", {row.subject.shown} ({row.subject.label})"
            yield f"not measured: {row.engine}{model}: {row.reason}."


def comparisons(rows: Sequence[Row], subjects: Sequence[Subject]) -> Iterator[str]:
    """What `off by` holds more than an engine's own error, since the frozen model was not given."""
    quantized = [row.subject for row in rows if row.distance is not None and row.subject is not None]
    for subject in dict.fromkeys(one.shown for one in quantized if not one.is_float):
        own = next(one for one in quantized if one.shown == subject)
        simulation = simulation_of(own, subjects)
        if simulation is not None and simulation.is_float:
            yield (
                f"{subject} is compared with the float model, so that what rounding does counts, too: give"
                " the folder of `qcc quantize` that it was exported from as well."
            )


def verdicts(rows: Sequence[Row]) -> Iterator[str]:
    """Where int8 computes something else, and where it does not pay; or that it cannot be told."""
    yield from _wrong(rows)
    for row in slower(rows):
        assert row.subject is not None
        yield (
            f"{row.engine}, {threads_of(row.threads)}: int8 is slower than float:"
            f" {row.subject.shown} takes {Spread.of(row.ratios).median:.2f} times the CPU time."
        )
    alone = {(row.engine, row.threads) for row in rows if row.int8 and row.cpu and not row.ratios}
    for engine, threads in sorted(alone):
        place = f"{engine}, {threads_of(threads)}"
        yield f"{place}: int8 is compared with nothing, since no float model ran there."
    if not any(row.ratios for row in rows):
        yield "nothing to compare: give the float MODEL and a quantized one that an engine runs."


def _wrong(rows: Sequence[Row]) -> Iterator[str]:
    """What an engine computes wrongly, however fast; once for all numbers of threads."""
    seen: set[tuple[str, str]] = set()
    for row in rows:
        subject, distance = row.subject, row.distance
        if subject is None or distance is None or subject.is_float or (row.engine, subject.shown) in seen:
            continue
        if distance.sound and distance.mean <= _WRONG:
            continue
        seen.add((row.engine, subject.shown))
        line = f"{row.engine}: {subject.shown} gives {_how_wrong(distance)}: look at that before its times."
        target = _TARGETS.get(row.engine)
        if target is not None and subject.form == "qdq" and subject.target is None:
            line += f" `qcc quantize ... --target {target}` writes the form that it computes rightly."
        yield line


def _how_wrong(distance: Distance) -> str:
    if not distance.sound:
        return "outputs of another shape, or not finite"
    if math.isinf(distance.ratio):  # relative to nothing
        return "other outputs where all are to be zero"
    return f"outputs that are off by {distance.mean:.0%} of the range on average"


def threads_of(number: int) -> str:
    """A number of threads in words."""
    return "1 thread" if number == 1 else f"{number} threads"


def record(rows: Sequence[Row], subjects: Sequence[Subject], **settings: Any) -> dict[str, Any]:
    """Everything, for JSON; times in milliseconds, one for each turn."""
    return {
        "qcc": __version__,
        "processor": processor(),
        "int8_instructions": int8_instructions(),
        **settings,
        "engines": {
            name: ENGINES[name].title for name in dict.fromkeys(row.engine for row in rows if row.cpu)
        },
        "rows": [_content(row, subjects) for row in rows],
        "slower": [[row.engine, row.threads, row.subject and row.subject.shown] for row in slower(rows)],
    }


def _content(row: Row, subjects: Sequence[Subject]) -> dict[str, Any]:
    subject = row.subject
    content: dict[str, Any] = {"engine": row.engine, "threads": row.threads}
    if subject is not None:
        content |= {
            "model": subject.shown,
            "form": subject.form,
            "target": subject.target,
        }
    if row.reason is not None:
        return content | {"reason": row.reason}
    assert subject is not None
    simulation = simulation_of(subject, subjects)
    sound = row.distance is not None and row.distance.sound
    return content | {
        "bytes": row.size,
        "int8": row.int8,
        "int8_layers": row.int8_layers,
        "layers": row.layers,
        "simulation": None if simulation is None else simulation.shown,
        "off_by": all_finite(asdict(row.distance)) if row.distance is not None and sound else None,
        "wall_ms": _measured([value * 1000 for value in row.wall]),
        "cpu_ms": _measured([value * 1000 for value in row.cpu]),
        "cpu_to_float": _measured(row.ratios) if row.ratios else None,
    }


def _measured(values: Sequence[float]) -> dict[str, Any]:
    return {**asdict(Spread.of(values)), "turns": list(values)}
