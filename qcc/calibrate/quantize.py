"""`qcc.quantize`: a float inference model to a frozen one, from data, without its training code."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Literal, get_args

from qcc.calibrate.accurate.judge import Judge
from qcc.calibrate.accurate.steps import BY_DEFAULT, STEPS, Improvement, Samples, collecting, usable
from qcc.calibrate.balanced import balanced, balanced_statistics, come_once, few_of
from qcc.calibrate.choose import choose
from qcc.calibrate.collect import numbered, unnamed
from qcc.calibrate.data.batches import Batch, Batches
from qcc.calibrate.observers import CALIBRATORS, Calibrator
from qcc.calibrate.plan import Plan, check_skipped, make_plan
from qcc.calibrate.statistics import Statistics
from qcc.errors import ConfigError, QccWarning
from qcc.model import Model

Effort = Literal["calibrated", "accurate"]
TRAINED = "trained"
"""The effort of `qcc.train`."""


def quantize(
    model: Model,
    batches: Iterable[Batch],
    effort: Effort = "calibrated",
    *,
    calibrator: Calibrator = "mse",
    skip_vars: Iterable[str] = (),
    target: str | None = None,
    without: Iterable[str] = (),
) -> Model:
    """A float inference model quantized: frozen, as after quantization-aware training, ready for `qcc.save`.

    Weights get a scale per channel, activations one each, measured on the `batches`: mappings of an array
    for each feed, by its name, as many and as large as they come. They are gone through once, but for a few,
    by which channels are brought to like ranges first ("equalization"), and once more where the data shows
    that other channels are to be brought there, as some targets allow; and biases take back by how much
    rounded weights move the mean of outputs ("bias-correction"). Effort "accurate" needs the batches several
    times, and holds those in memory that come once; it has the steps of `qcc.calibrate.accurate.steps`. Those
    in `without` are left out. `calibrator` chooses the scales of activations: "mse", the default, by the
    least mean square error; see `qcc.calibrate.observers` for the others. Ops that touch one of `skip_vars`
    (names or globs) stay float, and those that the `target` (see `qcc.targets`) computes in float anyway.
    What the target rounds between quantized ops is measured in the same run, and noted at the ops that write
    it (see the pass `out-thresholds`).

    Raises ModelFormatError for a model that is not float or has nothing to quantize, DataError when there
    is no batch, the model does not run on one, or a value is not finite, TargetError for an unknown target,
    ConfigError for an unknown effort, calibrator or step, and for one of `skip_vars` that nothing is called.
    Warns, with QccWarning, of what the data lacks and of batches that do not belong to it.
    """
    if effort == TRAINED:
        raise ConfigError(f"effort {effort!r} trains: call qcc.train.quantize_unlabelled.")
    _require("effort", effort, get_args(Effort))
    _require("calibrator", calibrator, CALIBRATORS)
    left_out = tuple(without)
    for step in left_out:
        _require("step", step, STEPS if effort == "accurate" else BY_DEFAULT)
    skip_vars = tuple(skip_vars)
    plan = make_plan(model, skip_vars, target)
    check_skipped(plan, skip_vars)
    if effort == "accurate" and not isinstance(batches, Batches):
        batches = list(batches)
    few = None
    if effort == "calibrated" and "equalization" not in left_out:
        few, batches = few_of(batches)
    collect = partial(_collected, batches)
    plan, statistics, notices = balanced_statistics(balanced(plan, few), collect, once=come_once(batches))
    if effort == "accurate":
        used = usable(model, batches, statistics)
        samples = Samples.of(used)
        judge = Judge(model, samples.held_back)
        improvement = Improvement(samples, judge, collecting(used), calibrator, without=left_out)
        quantized = improvement.run(plan, statistics).freeze()
    else:
        correct = "bias-correction" not in left_out
        quantized = choose(plan, statistics, calibrator, correct=correct).freeze()
    for notice in (*notices, *quantized.notices, *strangers(statistics)):
        warnings.warn(notice, QccWarning, stacklevel=2)
    return quantized.model


def _collected(batches: Iterable[Batch], plan: Plan) -> Statistics:
    return collecting(numbered(batches))(plan)


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
