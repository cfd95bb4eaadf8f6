"""A run of one of the commands that train: its processes, what they tell, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from click.exceptions import Exit
from rich.console import Console

from qcc.train.loop.interrupt import Interrupted, StopRequest
from qcc.train.parallel.environment import INTERRUPTED_EXIT_CODE, place
from qcc.train.parallel.launch import launch, qcc_command

if TYPE_CHECKING:
    from qcc.train.config import TrainingConfig
    from qcc.train.parallel.group import Group
    from qcc.train.tasks.task import Task

Result = TypeVar("Result")


def run_training(
    arguments: list[str],
    nproc: int,
    config: TrainingConfig,
    build: Callable[[Group], Task],
    train: Callable[[Task, Console, StopRequest], Result],
) -> tuple[Console, Result]:
    """Train in `nproc` processes; returns, in the first of them, what `train` has returned.

    Everywhere else the command ends here, by click's Exit: in the process that only starts them, in the
    others of them, and where a signal has stopped the training.
    """
    if nproc > 1 and place() is None:
        raise Exit(launch(qcc_command(arguments), nproc, config.save_dir / "log"))

    from qcc.train.parallel.group import join
    from qcc.train.parallel.watched import stop_with_launcher

    console, stop = Console(soft_wrap=True), StopRequest()
    stop_with_launcher()
    task = build(join(config.use_gpu))
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
