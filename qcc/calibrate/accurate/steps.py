"""The steps of effort accurate, each of which is kept if it helps on images that it has not seen."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal, Protocol, get_args

import numpy as np

from qcc.backends.rounded import as_rounded
from qcc.calibrate.accurate.judge import Judge
from qcc.calibrate.accurate.reconstruction import Learned, Methods, reconstruct
from qcc.calibrate.choose import MUCH, Chosen, Quantized, choose
from qcc.calibrate.collect import Collector, Numbered, as_fed, numbered
from qcc.calibrate.data.batches import Batch, spread
from qcc.calibrate.equalization import absorbing_biases, equalizing, gaining
from qcc.calibrate.memo import NO_MEMO, Memo
from qcc.calibrate.observers import Calibrator
from qcc.calibrate.plan import Plan, first_weights
from qcc.calibrate.statistics import Statistics
from qcc.errors import DataError
from qcc.model import Model
from qcc.passes.base import Pass
from qcc.shown import counted

StepName = Literal[
    "equalization", "channel-gains", "absorption", "float-input", "bias-correction", "adaround"
]
BY_DEFAULT: tuple[StepName, ...] = ("equalization", "bias-correction")
"""The steps that effort calibrated has as well, in a form that takes no time."""

STEPS: tuple[StepName, ...] = get_args(StepName)

LEARNED_FROM = 64
HELD_BACK = 64
_SHARE_HELD_BACK = 3
_FEWEST = 4
MUCH_LESS = 0.75
"""Layers that read the input stay float, and products are put in, where at most this share of the error is
left: both cost some time."""
_NOTHING = {
    "equalization": "no two layers follow each other whose channels could be brought to like ranges.",
    "channel-gains": "no activation of very different channels is left that a product could be put behind.",
    "absorption": "no channel between two layers with biases stays away from zero.",
    "float-input": "no other layers than those that read the input are quantized.",
}


@dataclass(frozen=True)
class Step:
    """What a step has done: the error of the outputs on held-back images before and after, as `Judge.error`
    measures it; None where there was nothing to do, and `note` then says why. It is kept where at most the
    share `enough` of the error is left, and less than all of it."""

    name: StepName
    before: float
    after: float | None = None
    note: str = ""
    enough: float = 1.0

    @property
    def kept(self) -> bool:
        return self.after is not None and self.after < self.before and self.after <= self.enough * self.before

    def __str__(self) -> str:
        if self.after is None:
            return f"{self.name}: {self.note}"
        wanted = f" ({self.enough:.0%} of it is wanted)" if self.after < self.before else ""
        undone = "" if self.kept else f", and was undone{wanted}"
        return f"{self.name}: error {self.before:.2%} before, {self.after:.2%} after{undone}"


class Listener(Protocol):
    """Who hears how far the steps are. It may raise what stops them."""

    def step(self, name: str) -> None:
        """A step begins."""
        ...

    def progress(self, done: int, total: int) -> None:
        """So much of it is done."""
        ...


class Silent:
    """Listens to nothing."""

    def step(self, name: str) -> None:
        """See `Listener`."""

    def progress(self, done: int, total: int) -> None:
        """See `Listener`."""


SILENT = Silent()


@dataclass(frozen=True)
class Attempt:
    """A way to quantize: scales, and by layer what takes the place of its weight and bias."""

    chosen: Chosen
    learned: tuple[Learned, ...] = ()
    methods: tuple[str, ...] = ()

    def freeze(self) -> Quantized:
        """The frozen model."""
        if not self.learned:
            return self.chosen.freeze()
        values = self._values()
        return self.chosen.freeze_with(
            values, f"{' and '.join(self.methods)} of {counted(len(self.learned), 'layer')}"
        )

    def leaving(self, weights: Collection[str]) -> Attempt:
        """The attempt in which the layers with these weights stay float, with what nobody has learned."""
        plan = self.chosen.plan.skipping(weights)
        choices = tuple(one for one in self.chosen.choices if one.name in plan.activations)
        learned = tuple(one for one in self.learned if one.weight not in weights)
        chosen = replace(self.chosen, plan=plan, choices=choices)
        return Attempt(chosen, learned, self.methods)

    def identity(self) -> str:
        """A digest of all that makes the frozen model."""
        digest = hashlib.sha256(self.chosen.plan.identity().encode())
        digest.update(repr([(one.name, one.scale) for one in self.chosen.choices]).encode())
        digest.update(repr(sorted(self.chosen.thresholds.items())).encode())
        for name, value in {**self.chosen.means, **self._values()}.items():
            digest.update(name.encode() + value.tobytes())
        return digest.hexdigest()

    def biases(self) -> dict[str, set[str]]:
        """The biases that are not those of the float network, by the weight of their layer."""
        found = {one.weight: set(one.values) - {one.weight} for one in self.learned}
        for weight, shifted in self.chosen.shifts(self._values()).items():
            found.setdefault(weight, set()).update(shifted)
        return found

    def _values(self) -> dict[str, np.ndarray]:
        return {name: value for one in self.learned for name, value in one.values.items()}


@dataclass(frozen=True)
class Samples:
    """The images that are learned from, and those that are held back to judge by: others, where there are
    enough."""

    learned_from: Sequence[Numbered]
    held_back: Sequence[Numbered]

    @staticmethod
    def of(batches: Sequence[Numbered]) -> Samples:
        """Evenly spread.  Raises DataError when there are none."""
        if not batches:
            raise DataError("there is no data that could be read again, which effort accurate needs.")
        if len(batches) < _FEWEST:
            return Samples(batches, batches)
        held = spread(batches, min(HELD_BACK, len(batches) // _SHARE_HELD_BACK))
        numbers = {batch.number for batch in held}
        rest = [batch for batch in batches if batch.number not in numbers]
        return Samples(spread(rest, LEARNED_FROM), held)

    def not_learned_from(self, batches: Sequence[Numbered]) -> Sequence[Numbered]:
        """All of the batches that are not learned from; those held back where there are no others."""
        learned = {batch.number for batch in self.learned_from}
        return [batch for batch in batches if batch.number not in learned] or self.held_back


@dataclass
class Improvement:
    """Takes the steps one after the other.

    `collect` measures what the scales of a plan are chosen by; `judge` compares with the float model on
    held-back images; `compared`: calibrators that are told of; `without`: steps that are left out.
    """

    samples: Samples
    judge: Judge
    collect: Callable[[Plan], Statistics]
    calibrator: Calibrator
    compared: Collection[Calibrator] = ()
    without: Collection[str] = ()
    memo: Memo = NO_MEMO
    listener: Listener = SILENT
    steps: list[Step] = field(default_factory=list)

    def run(self, plan: Plan, statistics: Statistics) -> Attempt:
        """The best attempt.  Raises DataError as `choose` does."""
        attempt = Attempt(self._choose(plan, statistics))
        error = self._error(attempt)
        rewrites: tuple[StepName, ...] = ("equalization", "channel-gains", "absorption")
        for name in rewrites:
            if name not in self.without:
                attempt, error = self._rewrite(name, attempt, error)
        if "float-input" not in self.without:
            attempt, error = self._leave_input(attempt, error)
        correction = False
        if "bias-correction" not in self.without:
            before = attempt
            attempt, error = self._learn("bias-correction", attempt, error, Methods(True, False))
            correction = attempt is not before
        if "adaround" not in self.without:
            attempt, error = self._learn("adaround", attempt, error, Methods(correction, True))
        return attempt

    def _rewrite(self, name: StepName, attempt: Attempt, error: float) -> tuple[Attempt, float]:
        self.listener.step(name)
        plan = attempt.chosen.plan
        passes = self._passes(name, attempt.chosen)
        if not passes:
            return self._nothing(name, attempt, error, _NOTHING[name])
        rewritten = plan.rewritten(*passes)
        tried = Attempt(self._choose(rewritten, self.collect(rewritten)))
        return self._judged(name, attempt, error, tried, MUCH_LESS if name == "channel-gains" else 1.0)

    def _passes(self, name: StepName, chosen: Chosen) -> tuple[Pass, ...]:
        folded, batches = chosen.plan.folded, self.samples.learned_from
        if name == "channel-gains":
            return gaining(folded, batches, {one.name for one in chosen.choices if one.error > MUCH})
        return (equalizing if name == "equalization" else absorbing_biases)(folded, batches)

    def _leave_input(self, attempt: Attempt, error: float) -> tuple[Attempt, float]:
        self.listener.step("float-input")
        plan = attempt.chosen.plan
        first = set(first_weights(plan.folded.graph)) & plan.weights
        if not first:
            return self._nothing("float-input", attempt, error, "no layer that reads the input is quantized.")
        if first == plan.weights:
            return self._nothing("float-input", attempt, error, _NOTHING["float-input"])
        return self._judged("float-input", attempt, error, attempt.leaving(sorted(first)), MUCH_LESS)

    def _learn(
        self, name: StepName, attempt: Attempt, error: float, methods: Methods
    ) -> tuple[Attempt, float]:
        self.listener.step(name)
        try:
            learned = reconstruct(
                attempt.chosen, self.samples.learned_from, methods, self.memo, self.listener.progress
            )
        except DataError as failure:
            return self._nothing(name, attempt, error, str(failure))
        learned = [one for one in learned if one.values]
        if not learned:
            return self._nothing(name, attempt, error, "there is no layer that it could change.")
        words = [
            word
            for word, on in (("bias-correction", methods.correction), ("adaround", methods.rounding))
            if on
        ]
        return self._judged(name, attempt, error, Attempt(attempt.chosen, tuple(learned), tuple(words)))

    def _nothing(self, name: StepName, attempt: Attempt, error: float, why: str) -> tuple[Attempt, float]:
        self.steps.append(Step(name, error, note=why))
        return attempt, error

    def _judged(
        self, name: StepName, attempt: Attempt, error: float, tried: Attempt, enough: float = 1.0
    ) -> tuple[Attempt, float]:
        step = Step(name, error, self._error(tried), enough=enough)
        self.steps.append(step)
        return (tried, step.after) if step.kept and step.after is not None else (attempt, error)

    def _choose(self, plan: Plan, statistics: Statistics) -> Chosen:
        correct = "bias-correction" not in self.without
        return choose(plan, statistics, self.calibrator, self.compared, correct=correct)

    def _error(self, attempt: Attempt) -> float:
        return self.judge.error(as_rounded(attempt.freeze().model, attempt.chosen.plan.table))


def usable(model: Model, batches: Iterable[Batch], statistics: Statistics) -> list[Numbered]:
    """The batches that statistics of a model were collected on, as it is fed with them, without those that do
    not belong to the data."""
    left_out = statistics.strangers()
    used = {number for number in statistics.batches if number not in left_out}
    return [
        replace(batch, read=partial(_read_as_fed, model, batch))
        for batch in numbered(batches)
        if batch.number in used
    ]


def _read_as_fed(model: Model, batch: Numbered) -> Batch:
    return as_fed(model, batch.name, batch.read())


def collecting(
    batches: Iterable[Numbered], folder: Path | None = None, listener: Listener = SILENT
) -> Callable[[Plan], Statistics]:
    """What collects the statistics of a plan on some batches, and keeps them in a folder, if there is one."""

    def collect(plan: Plan) -> Statistics:
        statistics, identity = plan.statistics(), plan.identity()
        kept = None if folder is None else folder / f"statistics-{identity[:24]}.npz"
        if kept is not None and statistics.load(kept, identity):
            return statistics
        run = Collector(plan.folded, statistics)
        total = len(batches) if isinstance(batches, Sequence) else None
        for done, batch in enumerate(batches):
            if total is not None:
                listener.progress(done, total)
            run.run(batch, batch.read())
        if kept is not None:
            statistics.save(kept, identity)
        return statistics

    return collect
