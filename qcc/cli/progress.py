"""How far a command is: a bar on a terminal, and a line now and then where there is none."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from qcc.cli.stdout import echo

_SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def progress(label: str, total: int | None, console: Console) -> Iterator[Callable[[int], None]]:
    """A function to be called with the number of steps that are done, of `total` where that is known."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(label, total=total)
        last_line = time.monotonic()

        def report(done: int) -> None:
            nonlocal last_line
            bar.update(task, completed=done)
            if not console.is_terminal and time.monotonic() - last_line >= _SECONDS_BETWEEN_LINES:
                last_line = time.monotonic()
                echo(f"{label}  {done}/{'?' if total is None else total}", err=True)

        yield report
