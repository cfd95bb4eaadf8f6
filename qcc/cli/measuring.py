"""Measuring a network on data for `qcc quantize MODEL`: in one process or several, and gone on with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.exceptions import Exit
from rich.console import Console

from qcc.cli.progress import progress
from qcc.cli.stdout import echo
from qcc.shown import counted, listed

if TYPE_CHECKING:
    from qcc.calibrate.collect import Numbered
    from qcc.calibrate.collection import Part, State
    from qcc.calibrate.data.sources import Source
    from qcc.calibrate.plan import Plan
    from qcc.calibrate.statistics import Statistics

_BALANCED = "balanced"


@dataclass(frozen=True)
class Measured:
    """The `statistics` of the `plan` as it was balanced, `state`, where they are kept, and `notices` for the
    user; `source`: what can be read behind that."""

    plan: Plan
    source: Source
    state: State
    statistics: Statistics
    notices: tuple[str, ...] = ()


def measured(
    plan: Plan, source: Source, folder: Path, *, balance: bool, nproc: int, skip_bad: bool
) -> Measured:
    """Measure a plan, which is balanced first where that is wanted; see `qcc.calibrate.balanced`. Ends the
    process where it is one of several that measure together."""
    from qcc.calibrate.balanced import balanced, balanced_statistics, come_once, few_of
    from qcc.calibrate.collection import Part, State
    from qcc.calibrate.memo import Memo
    from qcc.train.parallel.environment import place

    worker = place()
    if worker is None:
        _tell_source(source)
    memo, key = Memo(folder / _BALANCED), [source.record, source.identity]
    shown = None
    if balance:
        few, batches = few_of(source.batches)
        shown, source = _shown(few), replace(source, batches=batches)
    found = balanced(plan, shown, memo, key, keep=nproc > 1)
    if worker is not None:
        part = Part(worker.rank, worker.size)
        _collect(found.plan, source, State(folder, found.plan, source), part, skip_bad)
        raise Exit

    def collect(plan: Plan) -> Statistics:
        return _statistics(plan, source, State(folder, plan, source), nproc, skip_bad)

    once = come_once(source.batches)
    plan, statistics, notices = balanced_statistics(found, collect, memo, key, once=once)
    return Measured(plan, source, State(folder, plan, source), statistics, notices)


def _shown(batches: Sequence[Numbered]) -> Iterator[Numbered]:
    with progress("balancing", len(batches), Console(stderr=True)) as report:
        for done, batch in enumerate(batches):
            report(done)
            yield batch
        report(len(batches))


def _tell_source(source: Source) -> None:
    from qcc.calibrate.report import told
    from qcc.grammar.yaml_text import value_as_yaml

    echo(f"measures activations on {told(source.record)}.")
    if others := source.record.get("others"):
        echo(f"passes over {counted(sum(others.values()), 'other file')} there: {listed(others)}.")
    if "preprocess" in source.record:
        echo(f"images are prepared as {source.record['preprocess_from']} says:")
        for key, value in source.record["preprocess"].items():
            echo(f"  {key}: {value_as_yaml(value)}")


def _statistics(plan: Plan, source: Source, state: State, nproc: int, skip_bad: bool) -> Statistics:
    """Collect, in several processes where that is wanted; what an earlier run has left is gone on with."""
    from qcc.calibrate.collection import Part, check_skipped
    from qcc.train.parallel.launch import launch, qcc_command

    before = len(state.gather().done)
    if before:
        batches = "one batch" if before == 1 else f"{before} batches"
        echo(f"goes on behind {batches} that an earlier run has measured.")
    if nproc > 1:
        words = click.get_current_context().obj
        code = launch(qcc_command(words), nproc, state.folder / "log")
        if code:
            raise Exit(code)
    else:
        _collect(plan, source, state, Part(), skip_bad)
    statistics = state.gather()
    check_skipped(statistics)
    return statistics


def _collect(plan: Plan, source: Source, state: State, part: Part, skip_bad: bool) -> None:
    from qcc.calibrate.collection import collect
    from qcc.interrupts import Stopped, StopRequest
    from qcc.starting import INTERRUPTED_EXIT_CODE
    from qcc.train.parallel.watched import stop_with_launcher

    stop_with_launcher()
    stop = StopRequest()
    with progress("measuring", source.total, Console(stderr=True)) as report, stop.listening():
        try:
            collect(
                plan,
                source,
                state,
                part,
                skip_bad=skip_bad,
                stop=lambda: stop.requested,
                report=lambda done: report(done * part.count),
            )
        except Stopped:
            if part.rank == 0:
                echo("interrupted; the same command goes on with what was measured.", err=True)
            raise Exit(INTERRUPTED_EXIT_CODE) from None
