"""`qcc.quantize`: a float inference model to a frozen one, from data, without its training code."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from qcc.calibrate.collect import Collector, numbered, unnamed
from qcc.calibrate.data.batches import Batch
from qcc.calibrate.observers import CALIBRATORS, Calibrator, Seen, observe
from qcc.calibrate.plan import Plan, make_plan
from qcc.calibrate.statistics import Statistics
from qcc.errors import ConfigError, DataError, QccWarning
from qcc.model import Model
from qcc.passes.freeze import Freeze
from qcc.passes.manager import PassManager
from qcc.passes.prune import Prune
from qcc.passes.static_scales import StaticScales

Effort = Literal["calibrated"]
TRAINED = "trained"
"""The effort of `qcc.train`."""
BITS = 8


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
    """`model`: frozen; `choices`: of its activations; `notices`: what a user should hear of."""

    model: Model
    choices: tuple[Choice, ...]
    notices: tuple[str, ...]


def quantize(
    model: Model,
    batches: Iterable[Batch],
    effort: Effort = "calibrated",
    *,
    calibrator: Calibrator = "mse",
    skip_vars: Iterable[str] = (),
    target: str | None = None,
) -> Model:
    """A float inference model quantized: frozen, as after quantization-aware training, ready for `qcc.save`.

    Weights get a scale per channel, activations one each, measured on the `batches`: mappings of an array
    for each feed, by its name, as many and as large as they come; they are gone through once. `calibrator`
    chooses the scales of activations: "mse", the default, by the least mean square error; see
    `qcc.calibrate.observers` for the others. Ops that touch one of `skip_vars` (names or globs) stay float,
    and those that the `target` (see `qcc.targets`) computes in float anyway.

    Raises ModelFormatError for a model that is not float or has nothing to quantize, DataError when there
    is no batch, the model does not run on one, or a value is not finite, TargetError for an unknown target,
    ConfigError for an unknown effort or calibrator. Warns, with QccWarning, of what the data lacks and of
    batches that do not belong to it.
    """
    if effort == TRAINED:
        raise ConfigError(f"effort {effort!r} trains: call qcc.train.quantize_unlabelled.")
    _require("effort", effort, get_args(Effort))
    _require("calibrator", calibrator, CALIBRATORS)
    plan = make_plan(model, skip_vars, target)
    statistics = plan.statistics()
    collector = Collector(plan.folded, statistics)
    for batch in numbered(batches):
        collector.run(batch, batch.read())
    quantized = finish(plan, statistics, calibrator)
    for notice in (*quantized.notices, *strangers(statistics)):
        warnings.warn(notice, QccWarning, stacklevel=2)
    return quantized.model


def finish(
    plan: Plan, statistics: Statistics, calibrator: Calibrator, compared: Iterable[Calibrator] = ()
) -> Quantized:
    """Choose the scales by the statistics, and freeze. `compared`: calibrators whose choices are told as
    well.

    An activation that was never reached, or was never anything but zero, has no scale: what reads it stays
    float.

    Raises DataError when there are no statistics, or no scale at all.
    """
    if not statistics.batches:
        raise DataError("there is no data to measure scales on.")
    seen = {name: statistics.seen(name) for name in plan.activations}
    unknown = [name for name, one in seen.items() if not one.histogram.peak]
    if len(unknown) == len(seen):
        raise DataError("on the data, all inputs of the ops to be quantized are zero or empty.")
    notices = list(_notices(seen))
    if unknown:
        plan = plan.without(unknown)
    wanted = tuple(name for name in CALIBRATORS if name == calibrator or name in compared)
    choices = tuple(_choose(name, seen[name], calibrator, wanted) for name in plan.activations)
    scales = tuple(f"{choice.name}={choice.scale!r}" for choice in choices)
    passes = (*plan.passes, StaticScales(scales=scales), Freeze(), Prune())
    return Quantized(PassManager(passes).run(plan.model), choices, (*plan.notes, *notices))


def strangers(statistics: Statistics, names: Sequence[str] = ()) -> Iterator[str]:
    """What to say of batches that do not belong to the data; `names`: of all batches, where they have any."""
    for number, times in statistics.strangers().items():
        name = names[number] if names else unnamed(number)
        yield (
            f"{name} does not belong to the rest: its values are {times:.0f} times as large as those of the"
            " others, as if it were not normalized. It was left out."
        )


def _require(what: str, given: str, known: Sequence[str]) -> None:
    if given not in known:
        near = difflib.get_close_matches(given, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}."
        raise ConfigError(f"there is no {what} {given!r}; {hint}")


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
