"""How far a command is: a bar on a terminal, and a line now and then where there is none."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from qcc.cli.stdout import echo

_SECONDS_BETWEEN_LINES = 10.0
_SHOWN_IN_SECONDS = 120


@contextmanager
def progress(label: str, total: int | None, console: Console) -> Iterator[Callable[[int], None]]:
    """A function to be called with the number of steps that are done, of `total` where that is known."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(label, total=total)
        last_line = time.monotonic()
        first: tuple[int, float] | None = None

        def report(done: int) -> None:
            nonlocal last_line, first
            bar.update(task, completed=done)
            now = time.monotonic()
            # What an earlier run has done came at once, and tells nothing of how long the rest takes.
            first = first or (done, now)
            if not console.is_terminal and now - last_line >= _SECONDS_BETWEEN_LINES:
                last_line = now
                left = "" if total is None else _left(total - done, done - first[0], now - first[1])
                echo(f"{label}  {done}/{'?' if total is None else total}{left}", err=True)

        yield report


def _left(steps: int, done: int, seconds: float) -> str:
    """How long some more steps take, where some took so many seconds."""
    if done < 1 or steps < 1:
        return ""
    left = math.ceil(seconds / done * steps)
    return f", {left} s left" if left < _SHOWN_IN_SECONDS else f", {math.ceil(left / 60)} min left"
