"""`qcc quantize MODEL --effort accurate`: its options, how it is driven, and what is told of it."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
from click.exceptions import Exit
from rich.console import Console

from qcc.cli.progress import progress
from qcc.cli.stdout import echo

if TYPE_CHECKING:
    from qcc.calibrate.accurate.steps import Attempt, Step
    from qcc.calibrate.collect import Numbered
    from qcc.calibrate.collection import State
    from qcc.calibrate.data.sources import Source
    from qcc.calibrate.observers import Calibrator
    from qcc.calibrate.plan import Plan
    from qcc.calibrate.report import Section
    from qcc.calibrate.statistics import Statistics
    from qcc.model import Model

# As in qcc.calibrate.accurate.steps, which imports more than a command line that is wrong should wait for.
_STEPS = ("equalization", "channel-gains", "absorption", "float-input", "bias-correction", "adaround")
_BY_DEFAULT = ("equalization", "bias-correction")
_STEPS_FOLDER = "steps"
COMPARED = 16
"""On how many batches, evenly spread, outputs are compared with the float model's."""

Command = TypeVar("Command", bound=Callable[..., object])

accurate_options: Callable[[Command], Command] = click.option(
    "--without",
    multiple=True,
    type=click.Choice(_STEPS),
    help="Leave a step of effort accurate out, or equalization or bias-correction of effort calibrated; may"
    " be given again.",
)


def check_accurate(effort: str, without: Sequence[str]) -> None:
    """Raise ConfigError when a step is to be left out that the effort does not have."""
    from qcc.errors import ConfigError

    steps = {"accurate": _STEPS, "calibrated": _BY_DEFAULT}.get(effort, ())
    for step in without:
        if step not in steps:
            has = f"has {' and '.join(steps)} alone" if steps else "has no steps to leave out"
            raise ConfigError(
                f"--without {step}: that is a step of --effort accurate; effort {effort} {has}."
            )


def steps_folder(state: State, source: Source) -> Path:
    """Where an interrupted run leaves what it goes on with, in the folder of what was measured. What another
    model or other data have left there is removed."""
    from qcc.calibrate.data.batches import digest_of

    # Batches that are held come from code, whose name does not tell them from others.
    held = digest_of(source.batches) if isinstance(source.batches, list) else ""
    identity = hashlib.sha256(f"{state.identity} {held}".encode()).hexdigest()
    folder = state.folder / _STEPS_FOLDER / identity[:24]
    for other in folder.parent.glob("*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    return folder


class Told:
    """Shows how far a step is, with the time left, and stops where a signal asks for it."""

    def __init__(self, stack: ExitStack) -> None:
        from qcc.interrupts import StopRequest

        self._stop = StopRequest()
        self._stack, self._bar = stack, stack.enter_context(ExitStack())
        self._name, self._total = "", -1
        stack.enter_context(self._stop.listening())

    def step(self, name: str) -> None:
        """See `qcc.calibrate.accurate.steps.Listener`."""
        self._bar.close()
        self._name, self._total = name, -1

    def progress(self, done: int, total: int) -> None:
        """See `qcc.calibrate.accurate.steps.Listener`."""
        if self._stop.requested:
            from qcc.interrupts import Stopped

            self._stop.granted = True
            raise Stopped
        if total != self._total:
            self._bar.close()
            self._total = total
            self._report = self._bar.enter_context(progress(self._name, total, Console(stderr=True)))
        self._report(done)


class Improving:
    """Runs the steps on the batches that statistics were collected on; `folder`: where it leaves what an
    interrupted run goes on with."""

    def __init__(
        self,
        source: Source,
        folder: Path,
        calibrator: Calibrator,
        compared: Sequence[Calibrator],
        without: Sequence[str],
    ) -> None:
        self._source, self._folder = source, folder
        self._calibrator, self._compared, self._without = calibrator, compared, without

    def run(self, plan: Plan, statistics: Statistics) -> tuple[Attempt, Section]:
        """The best attempt, and what the report says of the steps."""
        from qcc.calibrate.accurate.judge import Judge
        from qcc.calibrate.accurate.steps import Improvement, Samples, collecting, usable
        from qcc.calibrate.memo import Memo
        from qcc.interrupts import Stopped
        from qcc.starting import INTERRUPTED_EXIT_CODE

        used = usable(plan.model, self._source.batches, statistics)
        samples = Samples.of(used)
        try:
            with ExitStack() as stack:
                told = Told(stack)
                improvement = Improvement(
                    samples,
                    Judge(plan.model, samples.held_back),
                    collecting(used, self._folder, told),
                    self._calibrator,
                    self._compared,
                    self._without,
                    Memo(self._folder),
                    told,
                )
                attempt = improvement.run(plan, statistics)
        except Stopped:
            echo("interrupted; the same command goes on with what was done.", err=True)
            raise Exit(INTERRUPTED_EXIT_CODE) from None
        for step in improvement.steps:
            echo(str(step))
        return attempt, steps_section(improvement.steps, samples.held_back)


def held_back(model: Model, source: Source, statistics: Statistics, effort: str) -> list[Numbered]:
    """The batches that a budget is judged by: none that the effort has learned weights from."""
    from qcc.calibrate.accurate.steps import Samples, usable

    used = usable(model, source.batches, statistics)
    if effort != "accurate":
        return used
    return list(Samples.of(used).not_learned_from(used))


def steps_section(steps: Sequence[Step], held_back: Sequence[Numbered]) -> Section:
    """What the report says of the steps."""
    from qcc.calibrate.report import Section
    from qcc.files import finite

    content = [
        {
            "name": one.name,
            "before": finite(one.before),
            "after": None if one.after is None else finite(one.after),
            "kept": one.kept,
            "note": one.note,
        }
        for one in steps
    ]
    title = f"Steps, by the outputs' mean error on {len(held_back)} held-back batches"
    return Section(title, [str(one) for one in steps], "steps", content)
