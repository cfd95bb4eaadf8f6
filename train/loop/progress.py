"""What a person sees of a training run: a bar on a terminal, plain lines in a file or pipe."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

_SECONDS_BETWEEN_LINES = 10.0


class EpochProgress:
    """Shows one epoch's progress; the time left is that of the whole run."""

    def __init__(self, console: Console, label: str, steps: int, batch_size: int, steps_after: int) -> None:
        self._console = console
        self._label = label
        self._steps = steps
        self._batch_size = batch_size
        self._steps_after = steps_after
        self._bar: tuple[Progress, TaskID] | None = None

    @contextmanager
    def showing(self, done: int) -> Iterator[None]:
        """Show progress inside the block, of which `done` steps are there already."""
        self._first, self._began = done, time.monotonic()
        self._last_line = self._began
        if not self._console.is_terminal:
            yield
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, TextColumn("{task.fields[text]}"), console=self._console) as bar:
            self._bar = bar, bar.add_task(self._label, total=self._steps, completed=done, text="")
            yield
        self._bar = None

    def update(self, done: int, scores: Mapping[str, float]) -> None:
        """`done` steps of the epoch are done; `scores` are its means so far."""
        now = time.monotonic()
        per_step = (now - self._began) / max(1, done - self._first)
        left = timedelta(seconds=round(per_step * (self._steps - done + self._steps_after)))
        text = "  ".join(f"{name} {value:.4f}" for name, value in scores.items())
        text = f"{text}  {self._batch_size / per_step:.0f} images/s  {left} left"
        if self._bar is not None:
            bar, task = self._bar
            bar.update(task, completed=done, text=text)
        elif now - self._last_line >= _SECONDS_BETWEEN_LINES or done == self._steps:
            self._last_line = now
            self._console.print(f"{self._label}  {done}/{self._steps}  {text}", markup=False, highlight=False)
