"""Layers go back to float until a model is fast enough, and good enough, by times that somebody measures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol

from qcc.calibrate.accurate.budget import fewest
from qcc.calibrate.accurate.steps import SILENT, Listener
from qcc.errors import EngineError
from qcc.interrupts import Stopped
from qcc.measure.bench import Spread
from qcc.measure.tradeoff.groups import Floats, Group, piece_name

MOST = 32
"""How many candidates are timed at most before the search ends: those that help are then timed again, and
together, and so is the one that is chosen."""

_AT_ONCE = 4
_CONFIRMED = 3
_COSTS = 8
_NO_COST = 1e-3
"""In times of a run of the float model: what costs less than this costs nothing that could be told."""


@dataclass(frozen=True)
class Turns:
    """Seconds of a run, one for each turn; or why there are none."""

    seconds: tuple[float, ...] = ()
    reason: str | None = None


class Clock(Protocol):
    """What measures: an engine, or in tests a table."""

    def turns(self, candidates: Sequence[Floats]) -> list[Turns]:
        """The turns of each of these models, which take them one after the other."""
        ...


class Quality(Protocol):
    """How good a model is, higher is better. The float model is good enough."""

    @property
    def wanted(self) -> float:
        """What it has to reach."""
        ...

    @property
    def of_float(self) -> float:
        """How good the float model is."""
        ...

    def value(self, floats: Floats) -> float:
        """How good the model is in which these layers stay float, and not all do."""
        ...

    def errors(self) -> Mapping[str, float]:
        """The error that each layer causes when it alone is quantized."""
        ...


@dataclass(frozen=True)
class Goal:
    """How fast the model has to be: never slower than float, and in at most so many seconds."""

    no_slower: bool = False
    seconds: float | None = None


@dataclass(frozen=True)
class Tried:
    """A candidate: which layers stay float, and why it was tried.

    `seconds`: of the processor for a run, one for each turn; `ratios`: the same relative to the float model;
    `agreement` with the float model, where there is data; `value`: how good it is by the budget, where that
    was measured; `reason`: why there are no times.
    """

    what: str
    floats: Floats
    seconds: tuple[float, ...] = ()
    ratios: tuple[float, ...] = ()
    agreement: float | None = None
    value: float | None = None
    reason: str | None = None

    @property
    def time(self) -> float:
        """The median of its seconds; infinite where there are none."""
        return Spread.of(self.seconds).median if self.seconds else math.inf

    @property
    def ratio(self) -> float:
        """The median of its ratios to the float model; infinite where there are none."""
        return Spread.of(self.ratios).median if self.ratios else math.inf

    def is_faster(self, other: Tried) -> bool:
        """Whether it took less time in three quarters of the turns that both have taken, or more."""
        if not self.seconds or not other.seconds:
            return False
        ratios = [mine / its for mine, its in zip(self.seconds, other.seconds, strict=True)]
        return Spread.of(ratios).third < 1


@dataclass(frozen=True)
class Outcome:
    """`chosen`: as it was timed last; `met`: whether all that was wanted holds; `tried`: all candidates, the
    float model first; `interrupted`: whether the search was stopped."""

    chosen: Tried
    met: bool
    tried: tuple[Tried, ...]
    interrupted: bool = False


@dataclass
class Search:
    """`layers`: all that are quantized, in the network's order; `groups`: which of them to try together.

    `agreement` tells how far a candidate agrees with the float model. One search serves all budgets, from the
    faster end: where int8 is faster, layers go back to float, and none returns; where float is, layers go to
    int8 that are faster there. No step undoes what another one has gained.
    """

    layers: Sequence[str]
    groups: Sequence[Group]
    clock: Clock
    goal: Goal
    quality: Quality | None = None
    agreement: Callable[[Floats], float] | None = None
    most: int = MOST
    listener: Listener = SILENT

    def __post_init__(self) -> None:
        self._all = frozenset(self.layers)
        self._tried: dict[Floats, Tried] = {}
        self._values: dict[Floats, float] = {} if self.quality is None else {self._all: self.quality.of_float}
        self._agreements: dict[Floats, float] = {self._all: 1.0}
        self._names = {group.layers: group.name for group in self.groups}
        self._whats: dict[Floats, str] = {self._all: "all layers float", frozenset(): "all layers in int8"}
        self._from_float = False
        self._timed = 0

    def run(self) -> Outcome:
        """The model that the search has come to, if it is fast and good enough; or else the fastest of those
        that are good enough, which the float model is. Where the listener stops the search, the best so far.

        Raises EngineError when the engine does not run the float model, or the quantized one.
        """
        interrupted = False
        (self._best,) = self._time([frozenset()])
        if self._best.reason is not None:
            raise EngineError(f"there is nothing to time: {self._best.what}: {self._best.reason}.")
        if self._best.ratio > 1 and not self._has_arrived():
            self._from_float, self._best = True, self._tried[self._all]
        try:
            self._go_faster(good=self._from_float)
            if self.quality is not None and not self._is_good(self._best.floats):
                self._get_good(self.quality)
                self._go_faster(good=True)
            chosen = self._confirmed()
        except Stopped:
            interrupted = True
            chosen = next(self._preferred())
        tried = tuple(map(self._with_value, self._tried.values()))
        met = self._is_fast(chosen) and self._is_good(chosen.floats)
        return Outcome(self._with_value(chosen), met, tried, interrupted)

    def _go_faster(self, *, good: bool) -> None:
        """Move groups that make the model faster: first those that were given, then their halves, those first
        that lose least. `good`: what is good enough has to stay so."""
        self.listener.step("timing layers in int8" if self._from_float else "timing layers in float")
        pending = [group.layers for group in self.groups]
        while pending and self._left and not self._has_arrived():
            gains = self._gains(pending)
            helping = [group for group, (gain, is_faster) in gains.items() if is_faster and gain > 0]
            for group in sorted(helping, key=lambda one: -gains[one][0] / len(one)):
                if not self._has_arrived():
                    self._take(group, good)
            in_order = sorted(gains, key=lambda one: -gains[one][0] / len(one))
            pending = [half for group in in_order for half in self._halves(self._movable(group))]

    def _gains(self, groups: Sequence[Floats]) -> dict[Floats, tuple[float, bool]]:
        """By group, what the model gains relative to its time when the group is moved, and whether that is
        beyond the noise."""
        movable = [one for one in dict.fromkeys(map(self._movable, groups)) if one]
        wanted = [one for one in movable if self._with(one) not in self._tried]
        gains = {}
        while wanted and self._left:
            count = min(_AT_ONCE, self._left)
            some, wanted = wanted[:count], wanted[count:]
            before, *found = self._time([self._best.floats, *map(self._with, some)])
            for group, one in zip(some, found, strict=True):
                if one.seconds:
                    gains[group] = 1 - one.time / before.time, one.is_faster(before)
        return gains

    def _take(self, group: Floats, good: bool) -> None:
        """Move a group if that makes the model faster in turns of their own, too."""
        before, after = self._time([self._best.floats, self._with(group)])
        if after.is_faster(before) and (not good or self._is_good(after.floats)):
            self._best = self._tried[after.floats]

    def _movable(self, group: Floats) -> Floats:
        """What of a group can still be moved."""
        return group & self._best.floats if self._from_float else group - self._best.floats

    def _with(self, group: Floats) -> Floats:
        """The best model so far, with a group moved."""
        base = self._best.floats
        floats = base - group if self._from_float else base | group
        name = self._names.get(group) or piece_name([one for one in self.layers if one in group])
        others = len(self._all - base if self._from_float else base)
        more = f", and {others} others" if others else ""
        self._whats.setdefault(floats, f"{'int8' if self._from_float else 'float'}: {name}{more}")
        return floats

    def _halves(self, group: Floats) -> Iterator[Floats]:
        in_order = [layer for layer in self.layers if layer in group]
        middle = len(in_order) // 2
        if middle:
            yield frozenset(in_order[:middle])
            yield frozenset(in_order[middle:])

    def _get_good(self, quality: Quality) -> None:
        """Let further layers go back to float until the model is good enough: those of the largest errors. If
        it is then not fast enough, those that win most for the time that they cost."""
        errors = quality.errors()
        rest = [layer for layer in self.layers if layer not in self._best.floats]
        rest.sort(key=lambda one: -errors[one])
        found = [self._fewest_of(rest)]
        if not self._is_fast(found[0]) and self._left:
            costs = self._costs(rest[:_COSTS])
            known = sorted(costs, key=lambda one: -errors[one] / costs[one])
            found.append(self._fewest_of([*known, *(one for one in rest if one not in costs)]))
        self._best = min(found, key=lambda one: (not self._is_fast(one), one.ratio))

    def _costs(self, layers: Sequence[str]) -> dict[str, float]:
        """What some layers cost in float, each alone, in times of a run of the float model; of those that can
        still be timed."""
        base = self._best.floats
        self._gains([frozenset({layer}) for layer in layers])
        timed = {layer: self._tried.get(base | {layer}) for layer in layers}
        before = self._tried[base].ratio
        return {
            layer: max(one.ratio - before, _NO_COST) for layer, one in timed.items() if one and one.seconds
        }

    def _fewest_of(self, ranked: Sequence[str]) -> Tried:
        """The first model that is good enough when one more of the ranked layers goes back to float each
        time; the float model, which is, at the latest."""
        base = self._best.floats
        looked_at: list[Floats] = []

        def good(count: int) -> bool:
            self._report()
            looked_at.append(base | frozenset(ranked[:count]))
            return self._is_good(looked_at[-1])

        self.listener.step("layers float for accuracy")
        count = fewest(good, len(ranked)) or len(ranked)
        chosen = base | frozenset(ranked[:count])
        unknown = [one for one in looked_at if one not in self._tried and one != chosen]
        self._time([*unknown[: max(self._left - 1, 0)], *({chosen} - self._tried.keys())])
        return self._tried[chosen]

    def _confirmed(self) -> Tried:
        """The first of the preferred candidates that is fast enough when it is timed again; else the fastest
        of those that were."""
        self.listener.step("timing the choice")
        again = []
        for one in islice(self._preferred(), _CONFIRMED):
            (found,) = self._time([one.floats], rounds=2)
            again.append(found)
            if self._is_fast(found):
                return found
        if self.goal.no_slower:
            again = [one for one in again if one.ratio <= 1] or [self._tried[self._all]]
        return min(again, key=lambda one: one.ratio)

    def _preferred(self) -> Iterator[Tried]:
        """Candidates that are good enough, and not slower than float where that was asked for: what the
        search has come to, if it is fast enough, then others that are, the fastest first, then the rest."""
        found = [one for one in self._tried.values() if one.seconds and self._may_be_chosen(one)]
        return iter(
            sorted(
                found, key=lambda one: (not self._is_fast(one), one.floats != self._best.floats, one.ratio)
            )
        )

    def _may_be_chosen(self, one: Tried) -> bool:
        known = self.quality is None or one.floats in self._values
        return known and self._is_good(one.floats) and (not self.goal.no_slower or one.ratio <= 1)

    def _has_arrived(self) -> bool:
        """Whether there is nothing to be gained by going on."""
        return not self.goal.no_slower and self._is_fast(self._best)

    def _is_fast(self, one: Tried) -> bool:
        in_time = self.goal.seconds is None or one.time <= self.goal.seconds
        return in_time and (not self.goal.no_slower or one.ratio <= 1)

    def _is_good(self, floats: Floats) -> bool:
        if self.quality is None:
            return True
        if floats not in self._values:
            self._values[floats] = self.quality.value(floats)
        return self._values[floats] >= self.quality.wanted

    def _report(self) -> None:
        if self._tried:  # before, there is no best so far that a stop could leave
            self.listener.progress(min(self._timed, self.most), self.most)

    @property
    def _left(self) -> int:
        return max(self.most - self._timed, 0)

    def _time(self, candidates: Sequence[Floats], rounds: int = 1) -> list[Tried]:
        """The candidates in turns with the float model."""
        self._report()
        models = list(dict.fromkeys((self._all, *candidates)))
        found = [self.clock.turns(models) for _ in range(rounds)]
        if (reason := found[-1][0].reason) is not None:
            raise EngineError(f"there is nothing to compare with: {self._what(self._all)}: {reason}.")
        of_float = [seconds for turns in found for seconds in turns[0].seconds]
        for place, floats in enumerate(models):
            self._timed += floats not in self._tried
            reason = next((turns[place].reason for turns in found if turns[place].reason), None)
            seconds = () if reason else tuple(one for turns in found for one in turns[place].seconds)
            ratios = [one / of for one, of in zip(seconds, of_float, strict=True)] if seconds else []
            agreement = self._agreement_of(floats) if seconds else None
            self._tried[floats] = Tried(
                self._what(floats), floats, seconds, tuple(ratios), agreement, reason=reason
            )
        return [self._tried[floats] for floats in candidates]

    def _agreement_of(self, floats: Floats) -> float | None:
        if self.agreement is None:
            return None
        if floats not in self._agreements:
            self._agreements[floats] = self.agreement(floats)
        return self._agreements[floats]

    def _with_value(self, one: Tried) -> Tried:
        return replace(one, value=self._values.get(one.floats))

    def _what(self, floats: Floats) -> str:
        return self._whats.get(floats) or f"{len(floats)} of {len(self.layers)} layers float"
