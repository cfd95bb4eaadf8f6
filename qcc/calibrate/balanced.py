"""A plan whose channels are balanced by a few of the batches, before statistics are collected on all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from pathlib import Path

from qcc.calibrate.collect import Numbered, numbered
from qcc.calibrate.data.batches import Batch, Batches, spread
from qcc.calibrate.data.sources import Source
from qcc.calibrate.equalization import balanced_octaves, with_octaves
from qcc.calibrate.memo import NO_MEMO, Memo
from qcc.calibrate.plan import Plan
from qcc.errors import DataError

FEW = 8
"""Batches tell which channels are large; how large they become, all of the data tells."""

_KEPT = "balanced"


def few_of(batches: Iterable[Batch]) -> tuple[list[Numbered], Iterable[Batch]]:
    """Some of the batches, evenly spread, and all of them; of those that come once the first ones, which are
    held."""
    if isinstance(batches, Batches | Sequence):
        return spread(list(numbered(batches)), FEW), batches
    rest = iter(batches)
    first = list(islice(rest, FEW))
    return list(numbered(first)), chain(first, rest)


def balanced_by(
    plan: Plan,
    source: Source,
    shared: Path | None = None,
    report: Callable[[int], None] = lambda done: None,
) -> tuple[Plan, Source]:
    """The plan balanced by a source, and what is to be read in place of that; `report` is called with the
    number of batches that were read. `shared`: a folder where processes that measure together leave what the
    first one has found. Raises DataError as `balanced` does."""
    few, batches = few_of(source.batches)
    memo = NO_MEMO if shared is None else Memo(shared / _KEPT)
    plan = balanced(plan, _reported(few, report), memo, [source.record, source.identity])
    return plan, replace(source, batches=batches)


def balanced(plan: Plan, few: Iterable[Numbered], memo: Memo = NO_MEMO, key: object = None) -> Plan:
    """The plan that first brings channels to like ranges, as these batches say; see the pass `equalize`.

    What the `memo` holds of the plan under a `key` is taken, without a look at the batches. Raises DataError
    when the network does not run on them.
    """
    kept = [plan.identity(), key]
    found = memo.load(kept)
    octaves = (
        balanced_octaves(plan.folded, plan.folded.graph.copy(), _readable(few)) if found is None else found[0]
    )
    memo.save(kept, octaves, {})
    return plan.equalized(with_octaves(octaves)) if octaves else plan


def _reported(batches: Iterable[Numbered], report: Callable[[int], None]) -> Iterator[Numbered]:
    for done, batch in enumerate(batches):
        report(done)
        yield batch


def _readable(batches: Iterable[Numbered]) -> Iterator[Numbered]:
    """What cannot be read is told of when all batches are."""
    for batch in batches:
        try:
            inputs = batch.read()
        except DataError:
            continue
        yield replace(batch, read=partial(_itself, inputs))


def _itself(batch: Batch) -> Batch:
    return batch
