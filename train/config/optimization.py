"""How fast and by which rule weights are changed, in the grammar of PaddleDetection's configuration files."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from qcc.grammar.section import Section
from qcc.train.config import schedule

Probability = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(ge=0, lt=1)]

# Optimizers take the rate as a float32.
_LARGEST = float(np.finfo(np.float32).max)


class PiecewiseDecay(Section):
    """`!PiecewiseDecay`: multiply the learning rate by a factor at each milestone."""

    type: Literal["PiecewiseDecay"]
    """Written as the tag."""
    gamma: PositiveFloat = 0.1
    """The factor."""
    milestones: tuple[PositiveInt, ...]
    """Counts of steps done, growing."""

    @model_validator(mode="after")
    def _milestones_grow(self) -> PiecewiseDecay:
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones must grow from one to the next, unlike {list(self.milestones)}")
        return self

    def part(self) -> schedule.PiecewiseDecay:
        return schedule.PiecewiseDecay(self.gamma, self.milestones)


class CosineDecay(Section):
    """`!CosineDecay`: fall along half a cosine to a part of the learning rate."""

    type: Literal["CosineDecay"]
    """Written as the tag."""
    max_iters: PositiveInt
    """The step at which that part is reached."""
    min_lr_ratio: Probability = 0.0
    """The part of the rate to end at."""

    def part(self) -> schedule.CosineDecay:
        return schedule.CosineDecay(self.max_iters, self.min_lr_ratio)


class LinearWarmup(Section):
    """`!LinearWarmup`: start at a part of the learning rate and grow to all of it."""

    type: Literal["LinearWarmup"]
    """Written as the tag."""
    steps: PositiveInt = 500
    """After how many steps all of the rate is reached."""
    start_factor: Probability = 1 / 3
    """The part of the rate to start at."""

    def part(self) -> schedule.LinearWarmup:
        return schedule.LinearWarmup(self.steps, self.start_factor)


Scheduler = Annotated[PiecewiseDecay | CosineDecay | LinearWarmup, Field(discriminator="type")]


class LearningRate(Section):
    """How fast to learn, step by step."""

    base_lr: PositiveFloat
    """The rate before schedulers act on it."""
    schedulers: tuple[Scheduler, ...] = ()
    """Each multiplies the rate by a factor of its own."""

    @model_validator(mode="after")
    def _every_rate_is_a_number(self) -> LearningRate:
        decays = [one for one in self.schedulers if isinstance(one, PiecewiseDecay)]
        grown = sum(len(one.milestones) * math.log(max(one.gamma, 1)) for one in decays)
        if math.log(self.base_lr) + grown > math.log(_LARGEST):
            raise ValueError(f"base_lr, times gamma at each milestone, must stay below {_LARGEST:.3g}")
        return self

    def schedule(self) -> schedule.Schedule:
        return schedule.Schedule(self.base_lr, tuple(scheduler.part() for scheduler in self.schedulers))


# The keys of each optimizer are the parameters of the class of that name in paddle.optimizer.


class Momentum(Section):
    """Gradient descent with momentum."""

    type: Literal["Momentum"] = "Momentum"
    """The method."""
    momentum: Share = 0.9
    """The share of the last movement that goes on."""
    use_nesterov: bool = False
    """Whether to look ahead by Nesterov's rule."""


class Sgd(Section):
    """Plain gradient descent."""

    type: Literal["SGD"]
    """The method."""


class Adam(Section):
    """Adam (Kingma and Ba 2015)."""

    type: Literal["Adam"]
    """The method."""
    beta1: Share = 0.9
    """The share of the gradient's running mean that is kept in a step."""
    beta2: Share = 0.999
    """The share of the squared gradient's running mean that is kept in a step."""
    epsilon: PositiveFloat = 1e-8
    """Keeps the divisor from zero."""


class RmsProp(Section):
    """RMSProp (Hinton 2012)."""

    type: Literal["RMSProp"]
    """The method."""
    rho: Share = 0.95
    """The share of the squared gradient's running mean that is kept in a step."""
    epsilon: PositiveFloat = 1e-6
    """Keeps the divisor from zero."""
    momentum: Share = 0.0
    """The share of the last movement that goes on."""


def _momentum_by_default(data: Any) -> Any:
    return {"type": "Momentum", **data} if isinstance(data, dict) else data


Optimizer = Annotated[
    Momentum | Sgd | Adam | RmsProp, Field(discriminator="type"), BeforeValidator(_momentum_by_default)
]


class Regularizer(Section):
    """What pulls weights towards zero."""

    type: Literal["L2"] = "L2"
    """The norm."""
    factor: NonNegativeFloat
    """How strongly: factor times weight is added to the gradient."""


class OptimizerBuilder(Section):
    """How weights are updated."""

    optimizer: Optimizer = Momentum()
    """By which method; without a type: Momentum."""
    regularizer: Regularizer | None = None
    """What pulls weights towards zero, batch norms aside; null: nothing."""
    clip_grad_by_norm: PositiveFloat | None = None
    """Gradients are scaled down so that the L2 norm of all together is at most this; null: they are not."""
