"""`qcc quantize MODEL --max-drop X --eval ... | --min-agreement X`: how good the result has to be."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.exceptions import Exit

from qcc.cli.accurate import COMPARED, Told
from qcc.cli.data import CONFIG_SUFFIXES, named_function
from qcc.cli.finite import FiniteRange
from qcc.cli.stdout import echo
from qcc.cli.trained import TRAINED
from qcc.errors import ConfigError
from qcc.given_code import code_of_users
from qcc.shown import counted, metric_value

if TYPE_CHECKING:
    from qcc.calibrate.accurate.budget import Budget, Outcome
    from qcc.calibrate.accurate.judge import Judge
    from qcc.calibrate.accurate.steps import Attempt
    from qcc.calibrate.collect import Numbered
    from qcc.calibrate.memo import Memo
    from qcc.calibrate.report import Section
    from qcc.model import Model

Command = TypeVar("Command", bound=Callable[..., object])


@dataclass(frozen=True)
class Wanted:
    """What the options say: by how much the metric that `evaluate` names may fall, or how often the model has
    to agree with the float one."""

    max_drop: float | None
    evaluate: str | None
    min_agreement: float | None

    def __bool__(self) -> bool:
        return self.max_drop is not None or self.min_agreement is not None

    def record(self) -> dict[str, float | str | None]:
        """What was wanted, for programs."""
        return {"max_drop": self.max_drop, "eval": self.evaluate, "min_agreement": self.min_agreement}

    def check(self, effort: str) -> None:
        """Raise ConfigError when the options do not go together."""
        if effort == TRAINED and (self or self.evaluate is not None):
            raise ConfigError(
                "a budget is kept by leaving layers float, which effort trained does not: give it with"
                " --effort calibrated or accurate."
            )
        if (self.max_drop is None) != (self.evaluate is None):
            raise ConfigError(
                "--max-drop X and --eval CONFIG.yml (or module:function) go together: by how much a metric"
                " may fall, and which."
            )
        if self.max_drop is not None and self.min_agreement is not None:
            raise ConfigError("there is one budget: give --max-drop with --eval, or --min-agreement.")

    def check_metric(self, model: Model) -> None:
        """Raise what is wrong with the metric that `evaluate` names, before any data is read."""
        if self.evaluate is not None:
            metric_of(self.evaluate, model)


def budget_options(command: Command) -> Command:
    """The options of a budget."""
    options = (
        click.option(
            "--max-drop",
            type=FiniteRange(min=0),
            metavar="X",
            help="Keep layers float until the metric of --eval is at most X lower than that of MODEL, in its"
            " own unit: 0.01 for a hundredth of accuracy.",
        ),
        click.option(
            "--eval",
            "evaluate",
            metavar="EVAL",
            help="What --max-drop measures: the main metric of a training configuration (.yml) on its test"
            " set, or what a Python function, as module:function, gives for a model (qcc.Model); higher is"
            " better.",
        ),
        click.option(
            "--min-agreement",
            type=FiniteRange(min=0, max=1),
            metavar="X",
            help="Keep layers float until at least the share X of images gets the same class as from MODEL"
            " (with effort accurate, of those that no weight was learned from), which is where the largest of"
            " [images, numbers] stands; of other networks, until the outputs' mean error is at most 1 - X.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def meet(
    wanted: Wanted, model: Model, attempt: Attempt, held_back: Sequence[Numbered], folder: Path
) -> tuple[Attempt, Section, list[str]]:
    """The attempt that meets the budget or comes nearest, what the report says of it, and notices; `folder`:
    where an interrupted run leaves what it goes on with.  Raises ConfigError when the metric is no number."""
    from qcc.calibrate.memo import Memo
    from qcc.interrupts import Stopped
    from qcc.starting import INTERRUPTED_EXIT_CODE

    try:
        with ExitStack() as stack:
            budget = open_budget(wanted, model, held_back, Memo(folder), Told(stack))
            outcome = budget.meet(attempt)
    except Stopped:
        echo("interrupted; the same command goes on with what was done.", err=True)
        raise Exit(INTERRUPTED_EXIT_CODE) from None
    count = len(held_back)
    agreed = "equal classes" if budget.judge.scores_classes else "1 - mean error"
    section = _section(wanted, outcome, count, agreed)
    for line in section.lines:
        echo(line)
    notices = [] if outcome.met else [f"the budget was not met: {_told(wanted, outcome, count, agreed)}"]
    notices += by_shape(wanted, budget.judge)
    if wanted.evaluate is None and count < _FEW:
        notices.append(
            f"agreement was measured on {_batches(count)} only, so that one of them makes"
            f" {1 / count:.0%} of it: give more data, or more of it by --samples"
        )
    return outcome.attempt, section, notices


_FEWEST_RANKED_ON = 2
"""Layers are ranked on `COMPARED` images of 224 x 224, and on fewer of larger ones: it is to take minutes."""
_VALUES = 3 * 224 * 224
_FEW = 50
"""Batches; below, one of them is more than the budgets that people give."""
_MET, _NOT_MET = "met", "NOT met, this is the best that was found"


def open_budget(
    wanted: Wanted, model: Model, held_back: Sequence[Numbered], memo: Memo, told: Told
) -> Budget:
    """The budget that the options want, measured on these batches or by what `--eval` names; `memo` keeps
    what was measured.  Raises ConfigError when the metric is no number."""
    from qcc.calibrate.accurate.budget import Budget
    from qcc.calibrate.accurate.judge import Judge
    from qcc.calibrate.data.batches import spread

    ranked_by = spread(held_back, ranked_on(held_back))
    ranking = Judge(model, ranked_by)
    if wanted.evaluate is None or wanted.max_drop is None:
        judge = ranking if len(ranked_by) == len(held_back) else Judge(model, held_back)
        least = wanted.min_agreement or 0.0
        key = f"agreement on {[batch.name for batch in held_back]}"
        return Budget(judge.agreement, least, 1.0, ranking, key, memo, told)
    metric, content = metric_of(wanted.evaluate, model)
    of_float = metric(model)
    key = f"metric of {wanted.evaluate} {content}"
    return Budget(metric, of_float - wanted.max_drop, of_float, ranking, key, memo, told)


def ranked_on(held_back: Sequence[Numbered]) -> int:
    """On how many of the batches layers are ranked, by the size of the first."""
    values = sum(array.size for array in held_back[0].read().values())
    return max(_FEWEST_RANKED_ON, min(COMPARED, COMPARED * _VALUES // max(values, 1)))


def metric_of(evaluate: str, model: Model) -> tuple[Callable[[Model], float], str]:
    """What `--eval` names, as a function of a model, and a checksum of the configuration or the code."""
    from qcc.files import sha256

    path = Path(evaluate)
    if path.suffix in CONFIG_SUFFIXES:
        from qcc.train.config import load_config
        from qcc.train.evaluation.evaluate import evaluate as run
        from qcc.train.evaluation.fits import check_fits
        from qcc.train.tasks.build import build_task

        config = load_config(path, ())
        check_fits(model, config)
        task = build_task(config)
        task.check()
        metric = _number(evaluate, lambda quantized: float(run(quantized, task)[task.main_metric]))
        return metric, sha256(path)
    metric = metric_function(evaluate)
    # A module that is built in or comes out of an archive has no file.
    file = Path(getattr(sys.modules[evaluate.partition(":")[0]], "__file__", None) or "")
    return metric, sha256(file) if file.is_file() else ""


def metric_function(evaluate: str) -> Callable[[Any], float]:
    """The function of a user that `--eval` names, which is given what has a `run`, as `qcc.Model` has."""
    from qcc.model import Compiled, Model

    function = named_function("--eval", evaluate)

    def called(model: Any) -> object:
        # A function runs it on image after image, and each would compile it anew.
        given = Compiled(model.graph, model.provenance) if isinstance(model, Model) else model
        with code_of_users(f"--eval {evaluate}"):
            return function(given)

    return _number(evaluate, called)


def _number(evaluate: str, function: Callable[[Any], object]) -> Callable[[Any], float]:
    def measured(model: Any) -> float:
        value = function(model)
        if not isinstance(value, Real):
            raise ConfigError(f"--eval {evaluate} gave a {type(value).__name__}, and not a number.")
        if not math.isfinite(value):
            raise ConfigError(f"--eval {evaluate} gave {value}, which is no number to compare by.")
        return float(value)

    return measured


def _told(wanted: Wanted, outcome: Outcome, count: int, agreed: str) -> str:
    """How good the model is, and how good it has to be; `count`: of the batches that tell agreement, which is
    what `agreed` says."""
    if wanted.evaluate is None:
        return (
            f"agreement ({agreed}) {outcome.value:.2%} on {_batches(count)}, where {outcome.wanted:.2%} is"
            " wanted"
        )
    return (
        f"{wanted.evaluate} gives {metric_value(outcome.value)}, the float model"
        f" {metric_value(outcome.of_float)}, and {metric_value(outcome.wanted)} is wanted"
    )


def by_shape(wanted: Wanted, judge: Judge) -> list[str]:
    """What is to be said of an agreement that counts classes where nothing but a shape tells of these."""
    names = judge.may_be_no_scores
    if wanted.min_agreement is None or not names:
        return []
    return [
        f"the agreement is about where the largest number of each row of {names[0]!r} stands, which of logits"
        " is the class; where these are no scores of classes, but coordinates or an embedding, say, it tells"
        " little: give --max-drop, with a function of yours for --eval"
    ]


def _batches(count: int) -> str:
    return counted(count, "batch")


def _section(wanted: Wanted, outcome: Outcome, count: int, agreed: str) -> Section:
    from qcc.calibrate.report import Section
    from qcc.files import finite

    kept = len(outcome.layers)
    lines = [
        f"{_MET if outcome.met else _NOT_MET}: {_told(wanted, outcome, count, agreed)}",
        f"{kept or 'none'} of {outcome.quantizable} quantized layers"
        f" stay{'s' if kept == 1 else ''} float for it"
        + ("" if not kept else f", {sum(one.size for one in outcome.layers) / 1000:.1f} kB in all"),
        *map(str, outcome.layers),
    ]
    content = {
        **wanted.record(),
        "batches": count,
        "met": outcome.met,
        "value": finite(outcome.value),
        "wanted": outcome.wanted,
        "of_float": outcome.of_float,
        "float_layers": [{**vars(one), "error": finite(one.error)} for one in outcome.layers],
        "tried": [{**vars(one), "value": finite(one.value)} for one in outcome.tried],
    }
    return Section("Budget", lines, "budget", content)
