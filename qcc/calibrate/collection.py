"""Collecting that can be stopped and gone on with, in one process or several."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from qcc.calibrate.collect import Collector, Numbered, numbered
from qcc.calibrate.data.batches import Batches, digest_of
from qcc.calibrate.data.sources import Source
from qcc.calibrate.plan import Plan
from qcc.calibrate.statistics import Statistics
from qcc.errors import DataError
from qcc.interrupts import Stopped
from qcc.shown import counted

_SECONDS_BETWEEN_SAVES = 20.0
_BEFORE = "before.npz"


@dataclass(frozen=True)
class Part:
    """Which batches a process collects: those whose number leaves `rank` when divided by `count`."""

    rank: int = 0
    count: int = 1

    def __str__(self) -> str:
        return f"{self.rank}/{self.count}"


class State:
    """The folder in which processes leave what they have collected so far.

    What was collected of another model, of other data or with another preprocessing is not found again.
    """

    def __init__(self, folder: Path, plan: Plan, source: Source) -> None:
        self.folder = folder
        content = json.dumps([plan.identity(), source.record, source.identity])
        self.identity = hashlib.sha256(content.encode()).hexdigest()
        self._empty = plan.statistics

    def gather(self) -> Statistics:
        """All that is there; kept as what was there before, for the processes that go on."""
        whole = self._empty()
        files = sorted(self.folder.glob("*.npz")) if self.folder.is_dir() else []
        for file in files:
            whole.load(file, self.identity)
        if whole.done:
            whole.save(self.folder / _BEFORE, self.identity)
        for file in files:
            if file.name != _BEFORE or not whole.done:
                file.unlink()
        return whole

    def before(self) -> Statistics:
        """What was there before this run."""
        found = self._empty()
        found.load(self.folder / _BEFORE, self.identity)
        return found

    def save(self, statistics: Statistics, part: Part) -> None:
        """Leave what a process has collected in this run.  Raises OutputError."""
        statistics.save(self.folder / f"part-{part.rank}-of-{part.count}.npz", self.identity)

    def remove(self) -> None:
        """Forget everything, when it was used."""
        shutil.rmtree(self.folder, ignore_errors=True)


def collect(
    plan: Plan,
    source: Source,
    state: State,
    part: Part = Part(),
    *,
    skip_bad: bool = False,
    stop: Callable[[], bool] = lambda: False,
    report: Callable[[int], None] = lambda done: None,
) -> None:
    """Collect what is left of a part of the data, and leave it in the state's folder.

    `skip_bad`: leave out what cannot be read; `report` is called with the number of batches that are done, by
    whomever. Raises Stopped when `stop` says so, DataError as `Collector.run` does, and for data of code that
    is not what an earlier run has collected.
    """
    before = state.before()
    done, statistics = before.done, plan.statistics()
    collector = Collector(plan.folded, statistics)
    saved = time.monotonic()
    report(len(done))
    for batch in _checked(source, before, collector, state):
        if batch.number in done or batch.number % part.count != part.rank:
            continue
        if stop():
            state.save(statistics, part)
            raise Stopped
        try:
            inputs = batch.read()
        except DataError as error:
            if not skip_bad and source.total == 1:
                raise  # nothing else is left
            if not skip_bad:
                raise DataError(
                    f"{str(error).rstrip('.')}; --skip-bad leaves out what cannot be read."
                ) from error
            statistics.skipped[batch.number] = str(error)
        else:
            collector.run(batch, inputs)
            if not isinstance(source.batches, Batches):
                statistics.digests[batch.number] = digest_of([collector.fitting(batch, inputs)])
        report(len(done) + len(statistics.done))
        if time.monotonic() - saved > _SECONDS_BETWEEN_SAVES:
            state.save(statistics, part)
            saved = time.monotonic()
    state.save(statistics, part)


def _checked(source: Source, before: Statistics, collector: Collector, state: State) -> Iterator[Numbered]:
    """The batches of a source. The name of code does not tell what it yields, but all of it is gone through
    again: what an earlier run has collected has to come again."""
    if isinstance(source.batches, Batches):
        yield from numbered(source.batches)
        return
    done, count = before.done, 0
    for batch in numbered(source.batches):
        if batch.number in done:
            digest = digest_of([collector.fitting(batch, batch.read())])
            if digest != before.digests.get(batch.number):
                raise _other_data(f"{batch.name} is not the one that", state)
        yield batch
        count += 1
    if count <= max(done, default=-1):
        raise _other_data(f"the data ends behind {counted(count, 'batch')}, fewer than", state)


def _other_data(what: str, state: State) -> DataError:
    return DataError(f"{what} an earlier run has measured: remove {state.folder} to measure all anew.")


def check_skipped(statistics: Statistics) -> None:
    """Raise DataError when nothing could be read, with the first reason."""
    if statistics.skipped and not statistics.batches:
        first = next(iter(statistics.skipped.values()))
        raise DataError(f"none of the data could be read; the first: {first}")
