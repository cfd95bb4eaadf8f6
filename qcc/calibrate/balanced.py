"""Channels balanced by a few of the batches, before statistics are collected on all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice

from qcc.calibrate.collect import Numbered, numbered
from qcc.calibrate.data.batches import Batch, Batches, spread
from qcc.calibrate.equalization import balanced_octaves, revised_octaves, with_octaves
from qcc.calibrate.memo import NO_MEMO, Memo
from qcc.calibrate.moments import measure
from qcc.calibrate.plan import Plan
from qcc.calibrate.statistics import Statistics
from qcc.errors import DataError

FEW = 8
"""Batches tell which channels are large; how large they become, all of the data tells."""

COME_ONCE = (
    f"some channels become much larger on the data than on the first {FEW} batches, by which channels were"
    " balanced: give batches that can be gone through twice, such as a list"
)


@dataclass(frozen=True)
class Balanced:
    """`plan`, which brings the channels of the plan `base` to like ranges first; see the pass `equalize`.
    `memo` keeps the octaves, under a `key`."""

    base: Plan
    plan: Plan
    memo: Memo = NO_MEMO
    key: object = None

    def revised(self, statistics: Statistics) -> Balanced | None:
        """Balanced by all of the data, where that has channels that are much larger than the few batches
        told; None where it has none."""
        seen = ((name, statistics.channels(name)) for name in self.plan.activations)
        largest = {name: one.largest for name, one in seen if one is not None}
        octaves = revised_octaves(self.plan.folded.graph.copy(), largest)
        if self.plan is self.base or not octaves:
            return None
        self.memo.save(self.key, octaves, {})
        return replace(self, plan=self.base.equalized(with_octaves(octaves)))


def balanced(
    plan: Plan, few: Iterable[Numbered], memo: Memo = NO_MEMO, key: object = None, *, keep: bool = True
) -> Balanced:
    """A plan balanced by a few batches.

    What the `memo` holds of the plan under a `key` is taken, without a look at the batches; it is told what
    was found if it is to `keep` that. Raises DataError when the network does not run on them.
    """
    whole = [plan.identity(), key]
    found = memo.load(whole)
    if found is not None:
        octaves = found[0]
    else:
        octaves = balanced_octaves(plan.folded, plan.folded.graph.copy(), _readable(few))
        if keep:
            memo.save(whole, octaves, {})
    return Balanced(plan, plan.equalized(with_octaves(octaves)) if octaves else plan, memo, whole)


def balanced_statistics(plan: Plan, batches: Iterable[Batch]) -> tuple[Plan, Statistics, tuple[str, ...]]:
    """A plan balanced by batches, what was collected on all of them, and notices for the user. Batches that
    can be gone through again are, where it takes that."""
    few, batches = few_of(batches)
    found = balanced(plan, few)
    statistics = _collected(found.plan, batches)
    revised = found.revised(statistics)
    if revised is None:
        return found.plan, statistics, ()
    if come_once(batches):
        return found.plan, statistics, (COME_ONCE,)
    return revised.plan, _collected(revised.plan, batches), ()


def few_of(batches: Iterable[Batch]) -> tuple[list[Numbered], Iterable[Batch]]:
    """Some of the batches, evenly spread, and all of them; of those that come once the first ones, which are
    held."""
    if not come_once(batches):
        return spread(list(numbered(batches)), FEW), batches
    rest = iter(batches)
    first = list(islice(rest, FEW))
    return list(numbered(first)), chain(first, rest)


def come_once(batches: Iterable[Batch]) -> bool:
    """Whether batches cannot be gone through again."""
    return not isinstance(batches, Batches | Sequence)


def _collected(plan: Plan, batches: Iterable[Batch]) -> Statistics:
    statistics = plan.statistics()
    measure(plan.folded, statistics, numbered(batches))
    return statistics


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
