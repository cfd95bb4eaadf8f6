"""Channels balanced by a few of the batches, before statistics are collected on all of them, and then by
these."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from typing import Any

import numpy as np

from qcc.calibrate.choose import MUCH as LOST
from qcc.calibrate.collect import Numbered, holding, numbered, unnamed
from qcc.calibrate.data.batches import Batch, Batches, spread
from qcc.calibrate.equalization import balanced_octaves, revised_octaves, with_octaves
from qcc.calibrate.memo import NO_MEMO, Memo
from qcc.calibrate.observers import mse
from qcc.calibrate.own_steps import own_steps, with_steps
from qcc.calibrate.plan import Plan
from qcc.calibrate.statistics import Statistics
from qcc.calibrate.weights import BITS
from qcc.errors import DataError
from qcc.passes.base import Pass
from qcc.passes.channel_gains import ChannelGains
from qcc.passes.channels import unlinked
from qcc.passes.elementwise import OF_ONE

FEW = 8
"""Batches tell which channels are large; how large they become, all of the data tells."""

_COME_ONCE = (
    f"some channels become much larger on the data than on the first {FEW} batches, by which channels were"
    " balanced: give batches that can be gone through twice, such as a list"
)
_REVISED = "revised"
_STEPS = "steps of "


@dataclass(frozen=True)
class Balanced:
    """`plan`, which brings the channels of the plan `base` to like ranges first, by these `octaves` of the
    pass `equalize`, by variable; None where it is to leave them. `revised`: by all of the data."""

    base: Plan
    plan: Plan
    octaves: Mapping[str, np.ndarray] | None = None
    revised: bool = False


def balanced(
    plan: Plan, few: Iterable[Numbered] | None, memo: Memo = NO_MEMO, key: object = None, *, keep: bool = True
) -> Balanced:
    """A plan balanced by a few batches; without these, what is not `equalize` is left to all of the data.

    What the `memo` holds of the plan under a `key` is taken, without a look at the batches; it is told what
    was found if it is to `keep` that. Raises DataError when the network does not run on them.
    """
    place = _place(plan, key, equalizes=few is not None)
    known = memo.load(place)
    if known is not None:
        arrays, numbers = known
        steps = {name.removeprefix(_STEPS): one for name, one in arrays.items() if name.startswith(_STEPS)}
        others = {name: one for name, one in arrays.items() if not name.startswith(_STEPS)}
        return _balanced(plan, None if few is None else others, steps, revised=bool(numbers.get(_REVISED)))
    octaves = None
    if few is not None:
        octaves = balanced_octaves(plan.folded, plan.folded.graph.copy(), _readable(few))
    if keep:
        memo.save(place, octaves or {}, {})
    return _balanced(plan, octaves, {})


def _place(plan: Plan, key: object, *, equalizes: bool) -> list[object]:
    """The key under which a memo has what was found of a plan."""
    return [plan.identity(), key, equalizes]


def revised(
    found: Balanced, statistics: Statistics, memo: Memo = NO_MEMO, key: object = None, *, once: bool = False
) -> Balanced | None:
    """Balanced by all of the data, where that has channels that are much larger than the few batches told,
    and drown others; or channels of ranges that, where the data does not come `once`, a product brings
    together: one that costs the target's engine nothing, or without which it rounds coarsely. None where it
    has none, and where that was done before. The `memo` is told."""
    if found.revised:
        return None
    octaves = found.octaves
    again: dict[str, np.ndarray] = {}
    if octaves is not None:
        seen = ((name, statistics.channels(name)) for name in found.plan.activations)
        largest = {name: one.largest for name, one in seen if one is not None}
        gained = () if once else _drowned(found.plan, statistics)
        drowns = partial(_drowns, statistics)
        again = revised_octaves(found.plan.folded.graph.copy(), largest, gained, drowns)
        octaves = again or octaves
    steps = {} if once else own_steps(found.plan, statistics)
    if not again and not steps:
        return None
    arrays = {**(octaves or {}), **{f"{_STEPS}{name}": one for name, one in steps.items()}}
    memo.save(_place(found.base, key, equalizes=octaves is not None), arrays, {_REVISED: 1.0})
    return _balanced(found.base, octaves, steps, revised=True)


def _drowned(plan: Plan, statistics: Statistics) -> list[str]:
    """The activations that one scale does not fit, where a factor per channel in front of the layers costs
    the target's engine nothing."""
    if plan.table is None or not plan.table.fuses_factors:
        return []
    found = (one.var.name for one in unlinked(plan.folded.graph) if one.op.type in OF_ONE)
    return [name for name in found if name in plan.activations and _drowns(statistics, name)]


def _drowns(statistics: Statistics, name: str) -> bool:
    """Whether one scale does not fit an activation."""
    seen = statistics.seen(name)
    return bool(seen.histogram.peak and seen.relative_errors([mse(seen, BITS)], BITS)[0] > LOST)


def balanced_statistics(
    found: Balanced,
    collect: Callable[[Plan], Statistics],
    memo: Memo = NO_MEMO,
    key: object = None,
    *,
    once: bool,
) -> tuple[Plan, Statistics, tuple[str, ...]]:
    """The plan that is balanced well on all of the data, what was collected with it, and notices for the
    user. What does not come `once` is collected again where it takes that."""
    statistics = collect(found.plan)
    better = revised(found, statistics, NO_MEMO if once else memo, key, once=once)
    if better is None:
        return found.plan, statistics, ()
    if once:
        return found.plan, statistics, (_COME_ONCE,)
    return better.plan, collect(better.plan), ()


def few_of(batches: Iterable[Batch]) -> tuple[list[Numbered], Iterable[Batch]]:
    """Some of the batches, evenly spread, and all of them; of those that come once copies of the first ones,
    whose arrays may be used again for the next."""
    if isinstance(batches, Batches):
        return spread(list(numbered(batches)), FEW), batches
    if isinstance(batches, Sequence):
        chosen = spread(range(len(batches)), FEW)
        return [Numbered(at, unnamed(at), partial(batches.__getitem__, at)) for at in chosen], batches
    rest = iter(batches)
    first = [_copied(batch) for batch in islice(rest, FEW)]
    return list(numbered(first)), chain(first, rest)


def come_once(batches: Iterable[Batch]) -> bool:
    """Whether batches cannot be gone through again."""
    return not isinstance(batches, Batches | Sequence)


def _balanced(
    base: Plan,
    octaves: Mapping[str, np.ndarray] | None,
    steps: Mapping[str, np.ndarray],
    *,
    revised: bool = False,
) -> Balanced:
    """`octaves`: of the pass `equalize`; `steps`: those of `channel-steps`."""
    gained = tuple(one.var.name for one in unlinked(base.folded.graph) if one.var.name in (octaves or {}))
    more: list[Pass] = [with_steps(steps)] if steps else []
    more += [ChannelGains(variables=gained)] if gained else []
    plan = base.rewritten(*more) if more else base
    plan = plan.equalized(with_octaves(octaves)) if octaves else plan
    return Balanced(base, plan, octaves, revised)


def _copied(batch: Any) -> Any:
    # What is no batch is told of when it is run.
    return {name: np.array(value) for name, value in batch.items()} if isinstance(batch, Mapping) else batch


def _readable(batches: Iterable[Numbered]) -> Iterator[Numbered]:
    """What cannot be read is told of when all batches are."""
    for batch in batches:
        try:
            inputs = batch.read()
        except DataError:
            continue
        yield replace(batch, read=holding(inputs))
