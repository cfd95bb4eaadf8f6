"""Scales chosen by what was measured, and the frozen model that they make."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from qcc.calibrate.activations import measured_scales
from qcc.calibrate.biases import bias_shifts
from qcc.calibrate.observers import CALIBRATORS, Calibrator, Seen, observe
from qcc.calibrate.plan import Plan
from qcc.calibrate.statistics import Statistics
from qcc.calibrate.weights import BITS, nearest
from qcc.errors import DataError
from qcc.model import Model
from qcc.passes.base import Pass
from qcc.passes.correct_biases import correcting
from qcc.passes.equalize import Equalize
from qcc.passes.freeze import Freeze
from qcc.passes.manager import PassManager
from qcc.passes.out_thresholds import OutThresholds
from qcc.passes.prune import Prune
from qcc.passes.quantizable import operands
from qcc.passes.static_scales import StaticScales
from qcc.shown import counted

MUCH = 0.05
"""An error of an activation, relative to its values, above which people are told of it: a good scale causes
1 % or 2 %."""

_NAMED = 3


@dataclass(frozen=True)
class Choice:
    """How an activation is quantized.

    `peak` is the largest magnitude that was seen; `scales` what each calibrator would have chosen; `errors`
    the root of the mean square error that each would cause, relative to the root of the mean square of the
    values.
    """

    name: str
    calibrator: Calibrator
    peak: float
    scales: Mapping[Calibrator, float]
    errors: Mapping[Calibrator, float]

    @property
    def scale(self) -> float:
        return self.scales[self.calibrator]

    @property
    def error(self) -> float:
        return self.errors[self.calibrator]


@dataclass(frozen=True)
class Quantized:
    """`model`: frozen; `choices`: of its activations; `notices`: what a user should hear of; `weights`: what
    was done to them, in words; `correction`: the pass that corrected biases, if there is one."""

    model: Model
    choices: tuple[Choice, ...]
    notices: tuple[str, ...]
    weights: tuple[str, ...] = ()
    correction: tuple[Pass, ...] = ()


@dataclass(frozen=True)
class Chosen:
    """A plan with scales for all of its activations; `notices`: what a user should hear of; `thresholds`: the
    scales of what the target rounds besides; `means`: of the channels of activations, by which biases are
    corrected, none where they are not."""

    plan: Plan
    choices: tuple[Choice, ...]
    notices: tuple[str, ...]
    thresholds: Mapping[str, float] = MappingProxyType({})
    means: Mapping[str, np.ndarray] = MappingProxyType({})

    @property
    def static_scales(self) -> StaticScales:
        """What puts the scales into a transformed model."""
        return StaticScales(scales=tuple(f"{choice.name}={choice.scale!r}" for choice in self.choices))

    def freeze(self) -> Quantized:
        """The frozen model."""
        if self.plan.even:
            return self.freeze_with({})
        return self._frozen(self.plan.model, self.plan.folding, {}, ())

    def freeze_with(self, learned: Mapping[str, np.ndarray], *by: str) -> Quantized:
        """The frozen model, with other weights in place of those of the folded one; `by`: what the record
        says of where they come from."""
        folded = self.plan.folded.copy()
        for name, value in {**self._even_weights(), **learned}.items():
            folded.weights[name] = value
        even, provenance = len(self.plan.even), folded.provenance
        done = (*by, *([f"even integers for {counted(even, 'weight')}"] if even else ()))
        for words in done:
            provenance = provenance.then(words)
        return self._frozen(Model(folded.graph, provenance), (), learned, done)

    def shifts(self, learned: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
        """What is added to biases, by name, under the weight of their layer, where these weights and biases
        were learned."""
        return bias_shifts(self.plan, self.means, learned) if self.means else {}

    def _frozen(
        self,
        model: Model,
        folding: tuple[Pass, ...],
        learned: Mapping[str, np.ndarray],
        done: tuple[str, ...],
    ) -> Quantized:
        shifts = {name: shift for one in self.shifts(learned).values() for name, shift in one.items()}
        correction = (correcting(shifts),) if shifts else ()
        passes = (*folding, *correction, self.plan.transform, self.static_scales, *self._freezing)
        steps = (step for step in self.plan.rewrites if isinstance(step, Equalize))
        balanced = len({entry.rpartition("=")[0] for step in steps for entry in step.octaves})
        words = (
            *([f"channels of {counted(balanced, 'activation')} balanced"] if balanced else ()),
            *done,
            *([f"biases of {counted(len(shifts), 'layer')} corrected"] if shifts else ()),
        )
        return Quantized(PassManager(passes).run(model), self.choices, self.notices, words, correction)

    def _even_weights(self) -> dict[str, np.ndarray]:
        found = {
            one.weight.name: one for op in self.plan.folded.graph.ops if (one := operands(op)) is not None
        }
        return {
            name: nearest(self.plan, name, found[name].channel_axis).values for name in sorted(self.plan.even)
        }

    @property
    def _freezing(self) -> tuple[Pass, ...]:
        noted = tuple(f"{name}={scale!r}" for name, scale in self.thresholds.items())
        return (*([OutThresholds(scales=noted)] if noted else ()), Freeze(), Prune())


def choose(
    plan: Plan,
    statistics: Statistics,
    calibrator: Calibrator,
    compared: Iterable[Calibrator] = (),
    *,
    correct: bool = True,
) -> Chosen:
    """Choose the scales by the statistics. `compared`: calibrators whose choices are told as well; `correct`
    the biases, too, when it is frozen.

    An activation that was never reached, or was never anything but zero, has no scale: what reads it stays
    float.

    Raises DataError when there are no statistics, no scale at all, or nothing but zeros that the model is fed
    with.
    """
    if not statistics.batches:
        raise DataError("there is no data to measure scales on.")
    seen = {name: statistics.seen(name) for name in plan.activations}
    unknown = [name for name, one in seen.items() if not one.histogram.peak]
    feeds = plan.folded.feeds
    if feeds and set(feeds) <= set(unknown):
        # What stands behind is measured on what biases alone make, and no check tells right from wrong.
        raise DataError(
            f"on the data, {feeds[0]!r} is nothing but zeros, and so nothing behind it has a scale that means"
            " anything: give data like that of later use."
        )
    if len(unknown) == len(seen):
        raise DataError("on the data, all inputs of the ops to be quantized are zero or empty.")
    notices = list(_notices(seen))
    if unknown:
        plan = plan.without(unknown)
    wanted = tuple(name for name in CALIBRATORS if name == calibrator or name in compared)
    choices = tuple(_choose(name, seen[name], calibrator, wanted) for name in plan.activations)
    thresholds = measured_scales(statistics, plan.between, calibrator)
    means: dict[str, np.ndarray] = {}
    if correct:
        found = ((name, statistics.channels(name)) for name in plan.activations)
        means = {name: one.mean for name, one in found if one is not None}
    return Chosen(plan, choices, (*plan.notes, *notices), thresholds, means)


def losing(choices: Iterable[Choice], remedy: str) -> Iterator[str]:
    """What to say of activations that lose much when they are quantized, the worst first; `remedy`: what may
    help."""
    lost = sorted((choice for choice in choices if choice.error > MUCH), key=lambda one: -one.error)
    if lost:
        named = ", ".join(f"{choice.name!r} is off by {choice.error:.0%}" for choice in lost[:_NAMED])
        more = len(lost) - _NAMED
        others = f", and {more} more by over {MUCH:.0%}" if more > 0 else ""
        yield f"when quantized, {named}{others}: one scale does not fit all of their values. {remedy}"


def _choose(name: str, seen: Seen, calibrator: Calibrator, wanted: tuple[Calibrator, ...]) -> Choice:
    scales = {one: observe(seen, one, BITS) for one in wanted}
    relative = seen.relative_errors(list(scales.values()), BITS)
    return Choice(
        name, calibrator, seen.histogram.peak, scales, dict(zip(scales, map(float, relative), strict=True))
    )


def _notices(seen: Mapping[str, Seen]) -> Iterator[str]:
    for name, one in seen.items():
        histogram = one.histogram
        if not histogram.total:
            yield f"{name!r} was never reached: it is empty on all of the data; what reads it stays float."
        elif not histogram.peak:
            yield f"{name!r} is zero on all of the data, and what reads it stays float."
        elif histogram.is_constant:
            yield f"{name!r} is the constant {histogram.largest:g} on all of the data."
