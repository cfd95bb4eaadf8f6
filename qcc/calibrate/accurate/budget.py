"""Keeping layers float, one by one, until a model is as good as it has to be."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from qcc.backends.rounded import as_rounded
from qcc.calibrate.accurate.alone import Alone
from qcc.calibrate.accurate.judge import Judge
from qcc.calibrate.accurate.steps import SILENT, Attempt, Listener
from qcc.calibrate.memo import NO_MEMO, Memo
from qcc.calibrate.plan import weights_of
from qcc.model import Model

_BYTES_SAVED = 3
"""What an integer of 8 bits saves of a float32."""


@dataclass(frozen=True)
class Layer:
    """A quantized layer, called by its weight: `error` is that of the model's outputs when it alone is
    quantized, as `Judge.error` measures it; `size`, by how many bytes the int8 form grows when it stays
    float."""

    weight: str
    error: float
    size: int

    def __str__(self) -> str:
        return f"{self.weight}: alone it costs an error of {self.error:.2%}; float, {self.size / 1000:.1f} kB"


@dataclass(frozen=True)
class Tried:
    """How good the model is when so many layers stay float."""

    layers: int
    value: float


@dataclass(frozen=True)
class Outcome:
    """What a budget has come to: `value` of the best that was found, `wanted`, that of the float model, which
    layers stay float, of how many that could be quantized, and all that was tried."""

    attempt: Attempt
    value: float
    wanted: float
    of_float: float
    layers: tuple[Layer, ...]
    quantizable: int
    tried: tuple[Tried, ...]

    @property
    def met(self) -> bool:
        return self.value >= self.wanted


def fewest(good: Callable[[int], bool], most: int, guess: int = 1) -> int | None:
    """How many it takes to be good, at least 1. After 1, numbers are tried from a guess on, in steps that
    double, until the right one lies between two of them; then it is narrowed down by halves. None where
    `most` is not good."""
    if most < 1 or good(1):
        return 1 if most else None
    low, high, step = 1, most + 1, 1
    at = min(max(guess, 2), most)
    while high - low > 1:
        if good(at):
            high = at
        else:
            low = at
        if low == 1:
            at = max(high - step, 2)
        elif high > most:
            at = min(low + step, most)
        else:
            at = (low + high) // 2
        step *= 2
    return high if high <= most else None


def tries(most: int) -> int:
    """How many numbers `fewest` tries at most."""
    return min(most, 2 * most.bit_length() + 1)


@dataclass
class Budget:
    """`metric` says how good a model is, higher is better, and `wanted` what it has to reach at least;
    `judge` compares with the float model to tell which layers matter; `key` tells this metric from others."""

    metric: Callable[[Model], float]
    wanted: float
    of_float: float
    judge: Judge
    key: str
    memo: Memo = NO_MEMO
    listener: Listener = SILENT
    _tried: list[Tried] = field(default_factory=list)

    def meet(self, attempt: Attempt) -> Outcome:
        """The attempt with the fewest layers float that is good enough, of those that were tried; the best
        one where none is.

        Layers stay float in the order of the error that each causes when it alone is quantized. How many it
        takes is guessed by these errors; see `fewest`.
        """
        first = self.value(attempt, ())
        weights = weights_of(
            attempt.chosen.plan.folded.graph,
            lambda found: found.weight.name in attempt.chosen.plan.weights,
        )
        if first >= self.wanted or len(weights) < 2:
            return self._outcome(attempt, first, (), len(weights))
        ranked = self.ranked(attempt, weights)
        found = {0: first}
        self.listener.step("layers float")

        def good(count: int) -> bool:
            self.listener.progress(len(found), 1 + tries(len(ranked) - 1))
            found[count] = self.value(attempt, [one.weight for one in ranked[:count]])
            return found[count] >= self.wanted

        # All but one: a model without a quantized layer is the float one.
        count = fewest(good, len(ranked) - 1, self._guess(ranked, first))
        if count is None:
            count = max(found, key=lambda one: (found[one], -one))
        chosen = tuple(ranked[:count])
        best = attempt.leaving([one.weight for one in chosen])
        return self._outcome(best, found[count], chosen, len(weights))

    def _guess(self, ranked: Sequence[Layer], first: float) -> int:
        """How many layers it takes, if what the metric loses grows with the outputs' error, and that is made
        of errors that do not depend on each other, so that their squares add up."""
        squares = np.square([one.error for one in ranked])
        if not np.isfinite(squares).all():
            return 1
        lost, allowed = self.of_float - first, self.of_float - self.wanted
        left = squares.sum() - np.cumsum(squares)
        return 1 + int(np.count_nonzero(left * lost**2 > squares.sum() * allowed**2))

    def ranked(self, attempt: Attempt, weights: Sequence[str]) -> list[Layer]:
        """The layers, those first whose quantization costs most."""
        self.listener.step("what each layer costs")
        alone = Alone(attempt, weights, self.judge, self.memo, self.listener)
        values = attempt.chosen.plan.folded.weights
        return [Layer(name, error, _BYTES_SAVED * values[name].size) for name, error in alone.ranked()]

    def value(self, attempt: Attempt, weights: Collection[str]) -> float:
        """How good the model is in which the layers with these weights stay float, as the target's file
        rounds it."""
        tried = attempt.leaving(weights) if weights else attempt
        table = tried.chosen.plan.table
        key = [self.key, "" if table is None else table.name, tried.identity()]
        known = self.memo.load(key)
        value = self.metric(as_rounded(tried.freeze().model, table)) if known is None else known[1]["value"]
        if known is None:
            self.memo.save(key, {}, {"value": value})
        self._tried.append(Tried(len(weights), value))
        return value

    def _outcome(
        self, attempt: Attempt, value: float, layers: tuple[Layer, ...], quantizable: int
    ) -> Outcome:
        return Outcome(attempt, value, self.wanted, self.of_float, layers, quantizable, tuple(self._tried))
