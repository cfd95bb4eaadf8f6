"""Learning rates as pure functions of the step, so that resuming needs no scheduler state."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class PiecewiseDecay:
    """The rate is multiplied by `gamma` at each of `milestones` (counts of steps done)."""

    gamma: float
    milestones: tuple[int, ...]

    def factor(self, step: int) -> float:
        return float(self.gamma ** sum(step >= milestone for milestone in self.milestones))


@dataclass(frozen=True)
class CosineDecay:
    """The rate falls along half a cosine to `least` times its value at step `steps`, and stays there."""

    steps: int
    least: float = 0.0

    def factor(self, step: int) -> float:
        done = min(step / self.steps, 1.0)
        return self.least + (1 - self.least) * (1 + math.cos(math.pi * done)) / 2


@dataclass(frozen=True)
class LinearWarmup:
    """The rate grows from `start_factor` times its value to all of it over the first `steps` steps."""

    steps: int
    start_factor: float

    def factor(self, step: int) -> float:
        if step >= self.steps:
            return 1.0
        return self.start_factor + (1 - self.start_factor) * step / self.steps


@dataclass(frozen=True)
class Schedule:
    """`base_rate` times the factors of all parts; steps count from 0."""

    base_rate: float
    parts: Sequence[PiecewiseDecay | CosineDecay | LinearWarmup] = ()

    def rate(self, step: int) -> float:
        rate = self.base_rate
        for part in self.parts:
            rate *= part.factor(step)
        return rate
