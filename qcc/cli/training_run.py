"""A run of one of the commands that train: its processes, what they tell, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from click.exceptions import Exit
from rich.console import Console

from qcc.errors import TrainingError
from qcc.interrupts import StopRequest
from qcc.starting import INTERRUPTED_EXIT_CODE
from qcc.train.loop.interrupt import Interrupted
from qcc.train.parallel.environment import place
from qcc.train.parallel.launch import launch, qcc_command

if TYPE_CHECKING:
    from pathlib import Path

    from qcc.cli.training_options import TrainingArguments
    from qcc.train.config import ClassifierConfig, DetectorConfig
    from qcc.train.tasks.task import Task

Result = TypeVar("Result")


def run_training(
    given: TrainingArguments,
    config: ClassifierConfig | DetectorConfig,
    checkpoints: Callable[[], Path],
    check: Callable[[Task], None],
    train: Callable[[Task, Console, StopRequest], Result],
    output_eval: Path | None = None,
) -> tuple[Console, Result]:
    """Train the configuration's task in `given.nproc` processes; returns, in the first of them, what `train`
    has returned. `checkpoints`: where they go; `check`: raises what is wrong before data is read;
    `output_eval`: see `build_task`.

    Everywhere else the command ends here, by click's Exit: in the process that only starts them, in the
    others of them, and where a signal has stopped the training.
    """
    if given.nproc > 1 and place() is None:
        from qcc.train.parallel.group import check_together

        check_together()  # once, not in each of them
        try:
            raise Exit(launch(qcc_command(given.words), given.nproc, config.save_dir / "log"))
        except TrainingError as error:
            from qcc.train.loop.checkpoint import CheckpointStore

            message = str(error).removesuffix(".")
            raise TrainingError(f"{message}; {CheckpointStore(checkpoints()).last_good()}.") from error

    from qcc.train.parallel.group import join
    from qcc.train.parallel.watched import stop_with_launcher
    from qcc.train.tasks.build import build_task

    console, stop = Console(soft_wrap=True), StopRequest()
    stop_with_launcher()
    group = join(config.use_gpu)
    task = build_task(config, given.dataset_dir, given.skip_bad, output_eval, group)
    check(task)
    for note in task.notes():
        console.print(note)
    try:
        with stop.listening():
            result = train(task, console, stop)
    except Interrupted:
        raise Exit(INTERRUPTED_EXIT_CODE) from None
    for note in task.left_out():
        console.print(note)
    if task.group.rank > 0:
        raise Exit
    return console, result
