"""`qcc quantize MODEL --effort trained`: its options, and the training."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource
from click.exceptions import Exit
from rich.console import Console

from qcc.cli.finite import FiniteRange
from qcc.cli.stdout import echo
from qcc.errors import CheckpointError, ConfigError, OutputError

if TYPE_CHECKING:
    from qcc.calibrate.choose import Quantized
    from qcc.calibrate.data.sources import Source
    from qcc.calibrate.plan import Plan
    from qcc.calibrate.report import Section
    from qcc.model import Model
    from qcc.train.tasks.imitation import Samples

TRAINED = "trained"
_FOLDER = ".training"
_SAMPLES = 4096
_KEY = "training"

Command = TypeVar("Command", bound=Callable[..., Any])


def training_options(command: Command) -> Command:
    """The options that say how long `--effort trained` trains."""
    options = (
        click.option(
            "--steps",
            type=click.IntRange(min=1),
            help="With --effort trained: how many batches to train on, rounded up to whole tens.  [default:"
            " 500]",
        ),
        click.option(
            "--minutes",
            type=FiniteRange(min=0, min_open=True),
            help="With --effort trained: about how long to train, in place of --steps.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@dataclass(frozen=True)
class Given:
    """The budget as it was given; one of both at most."""

    steps: int | None
    minutes: float | None


def budget_of(effort: str, steps: int | None, minutes: float | None) -> Given:
    """Raises ConfigError for options of training without training, and for two budgets."""
    given = [f"--{name}" for name, value in (("steps", steps), ("minutes", minutes)) if value is not None]
    if given and effort != TRAINED:
        raise ConfigError(f"{given[0]} says how long to train, and --effort {effort} does not train.")
    if len(given) > 1:
        raise ConfigError("--steps and --minutes both say how long to train: give one of them.")
    return Given(steps, minutes)


def training_data(
    model: Model, open_source: Callable[[int], Source], samples: int, skip_bad: bool
) -> Samples:
    """What to train on: as many samples as `--samples` says, or 4,096 where it is not given."""
    from qcc.calibrate.data.batches import Batches
    from qcc.train.tasks.imitation import Samples

    given = click.get_current_context().get_parameter_source("samples")
    source = open_source(_SAMPLES if given is ParameterSource.DEFAULT else samples)
    if not isinstance(source.batches, Batches):
        return Samples.of(model, list(source.batches))
    return Samples(source.batches, [json.dumps(source.record), *source.identity], skip_bad=skip_bad)


def train(
    plan: Plan, calibrated: Quantized, samples: Samples, output: Path, given: Given
) -> tuple[Quantized, Section]:
    """Train what was calibrated, with checkpoints in the output's folder, which an interrupted run leaves
    there; also what the report says of it."""
    from qcc.calibrate.report import Section
    from qcc.interrupts import StopRequest
    from qcc.starting import INTERRUPTED_EXIT_CODE
    from qcc.train.loop.interrupt import Interrupted
    from qcc.train.unlabelled import Budget, origin_of, train_unlabelled

    budget = Budget(minutes=given.minutes) if given.steps is None else Budget(given.steps)
    folder = _folder(output / _FOLDER, origin_of(plan, calibrated, samples, budget))
    if not _started(folder) and any(map(_started, folder.parent.glob("*"))):
        echo(
            f"training begins anew, as the options or the data are others than before; what was trained with"
            f" these stays in {folder.parent} until the end, and the command with them goes on with it."
        )
    console, stop = Console(soft_wrap=True), StopRequest()
    with stop.listening():
        try:
            trained = train_unlabelled(plan, calibrated, samples, folder, console, stop, budget)
        except Interrupted:
            raise Exit(INTERRUPTED_EXIT_CODE) from None
    for line in trained.told():
        echo(line)
    notices = (*calibrated.notices, *trained.notices)
    section = Section("Training", trained.told(), _KEY, trained.record())
    return replace(calibrated, model=trained.model, notices=notices), section


def is_trained(section: Section) -> bool:
    """Whether a section of the report tells of weights that were trained, and not of training that gained
    nothing, after which the calibrated model is written."""
    return section.key == _KEY and section.content["kept"] != "calibrated"


def _folder(root: Path, origin: dict[str, Any]) -> Path:
    """The folder of a run's checkpoints, by what tells it from others."""
    return root / hashlib.sha256(json.dumps(origin).encode()).hexdigest()[:12]


def _started(folder: Path) -> bool:
    from qcc.train.loop.checkpoint import CheckpointStore

    return CheckpointStore(folder).started()


def forget(output: Path) -> None:
    """Remove the checkpoints, when what was trained is written."""
    root = output / _FOLDER
    _remove(root.glob("*"))
    with suppress(OSError):  # there is none, or another process trains in it
        root.rmdir()


def _remove(folders: Iterable[Path]) -> None:
    """Remove folders of checkpoints, but for those that another process trains in."""
    from qcc.train.loop.checkpoint import CheckpointStore

    for folder in folders:
        with suppress(CheckpointError, OutputError), CheckpointStore(folder).lock():
            shutil.rmtree(folder, ignore_errors=True)
