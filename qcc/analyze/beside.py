"""The page that `qcc quantize MODEL` leaves beside its report: what is known without running much."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from qcc.analyze.findings import Analysis
from qcc.analyze.page import write_page
from qcc.analyze.page.frame import PAGE
from qcc.analyze.page.write import keep_float
from qcc.analyze.run import Phase, Sample, Wanted, analyze
from qcc.analyze.twins import twins
from qcc.calibrate.data.batches import digest_of
from qcc.calibrate.parts import Values
from qcc.calibrate.plan import Plan
from qcc.calibrate.report import told
from qcc.errors import DataError, MissingDependencyError
from qcc.files import waiting
from qcc.model import Model

_JOURNAL = ".analysis"
_BATCHES = 2
_COARSE = 20.0
"""Decibels: an op whose output is off by a tenth. Ops of networks that lose little have 25 or more, where a
single one of 17 was nearly all that a recognizer of text lost, and one of 6 the most of what another did."""
_NAMED = 3


@dataclass(frozen=True)
class Beside:
    """`line`: where the page is, or why there is none; `notices`: of ops that lose much by themselves."""

    line: str
    notices: tuple[str, ...] = ()


def write_beside(
    folder: Path,
    title: str,
    plan: Plan,
    quantized: Model,
    batches: Sequence[Values],
    data: dict[str, Any],
    phase: Phase,
) -> Beside:
    """Write the page of a model that was just quantized, and say where it is, or why there is none. On a few
    of the batches each op is measured; what it does to the network's output is left to `qcc analyze`.
    `phase`: see `Wanted`.

    Raises OutputError.
    """
    # Inside a change, with the page.
    journal = waiting(folder / _JOURNAL)
    if not batches:
        return Beside(f"no {PAGE}: the data can be gone through only once; `qcc analyze` writes one.")
    try:
        found = _measured(journal, title, plan, quantized, batches, data, phase)
        write_page(found, folder / PAGE)
    except (DataError, MissingDependencyError) as error:
        return Beside(f"no {PAGE}: {error}")
    finally:
        journal.unlink(missing_ok=True)
    line = f"{folder / PAGE} has what each op loses; `qcc analyze` tells what that does to the output."
    return Beside(line, tuple(_coarse(found)))


def _coarse(found: Analysis) -> Iterator[str]:
    ops = sorted((one for one in found.ops if one.damage.both < _COARSE), key=lambda one: one.damage.both)
    if ops:
        named = ops[:_NAMED]
        words = ", ".join(f"{one.layer.output!r} is {_how_far(one.damage.both)}" for one in named)
        more = len(ops) - len(named)
        others = f", and {more} more by over {_off(_COARSE):.0%}" if more else ""
        yield (
            f"quantized by itself, {words}{others}, which may be most of what the network loses. Keep such"
            f" layers float with {' '.join(map(keep_float, named))}, or give a budget."
        )


def _how_far(decibels: float) -> str:
    # Beside next to nothing, or zeros, the noise is any number of times as large, or infinitely many.
    off = _off(decibels)
    return f"off by {off:.0%}" if off < 1 else "lost"


def _off(decibels: float) -> float:
    return float(10 ** (-decibels / 20))


def _measured(
    journal: Path,
    title: str,
    plan: Plan,
    quantized: Model,
    batches: Sequence[Values],
    data: dict[str, Any],
    phase: Phase,
) -> Analysis:
    chosen = batches[:_BATCHES]
    found, _ = analyze(
        Path(title).name,
        twins(quantized, plan.folded),
        Sample([partial(_itself, batch) for batch in chosen], digest_of(chosen)),
        journal,
        Wanted(0, phase),
        facts={"model": title, "data": told(data)},
    )
    return found


def _itself(batch: Values) -> Values:
    return batch
