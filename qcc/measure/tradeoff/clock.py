"""Candidates timed in an engine of this machine: written, loaded, and run in turns by one thread."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from qcc.errors import QccError
from qcc.measure.bench import runs_of_a_turn
from qcc.measure.engines import Inputs, Running
from qcc.measure.tradeoff.groups import Floats
from qcc.measure.tradeoff.search import Turns
from qcc.model import Model

TURNS = 11


@dataclass(frozen=True)
class Form:
    """How an engine is given a model: `write` puts its file into a folder and tells which it is, `open` loads
    that, and is told whether anything is quantized."""

    write: Callable[[Model, Path], Path]
    open: Callable[[Path, bool], Running]


@dataclass
class _Opened:
    """`runs`: in a turn; `stack`: what ends the process and removes the file."""

    running: Running
    runs: int
    stack: ExitStack


class EngineClock:
    """Times candidates; a context manager. `model` makes them, `form` writes and loads them; `inputs`: what
    they are run on; `scratch`: where their files are. What was timed last stays loaded, and nothing else."""

    def __init__(
        self,
        model: Callable[[Floats], Model],
        form: Form,
        everything: Floats,
        inputs: Inputs,
        scratch: Path,
        turns: int = TURNS,
    ) -> None:
        self._model, self._form, self._everything = model, form, everything
        self._inputs, self._scratch, self._turns = inputs, scratch, turns
        self._opened: dict[Floats, _Opened] = {}
        self._count = 0

    def __enter__(self) -> EngineClock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._keep(())

    def turns(self, candidates: Sequence[Floats]) -> list[Turns]:
        """See `Clock`. What the engine refuses, or what cannot be written for it, has a reason instead."""
        self._keep(candidates)
        reasons: dict[Floats, str] = {}
        seconds: dict[Floats, list[float]] = {floats: [] for floats in candidates}
        for floats in candidates:
            try:
                if floats not in self._opened:
                    self._opened[floats] = self._open(floats)
            except QccError as error:
                reasons[floats] = str(error).rstrip(".")
        for _ in range(self._turns):
            for floats in candidates:
                if floats in reasons:
                    continue
                opened = self._opened[floats]
                try:
                    found = opened.running.times(self._inputs, 1, opened.runs)
                    seconds[floats].append(statistics.median(found.cpu))
                except QccError as error:
                    reasons[floats] = str(error).rstrip(".")
        return [
            Turns(reason=reasons[floats]) if floats in reasons else Turns(tuple(seconds[floats]))
            for floats in candidates
        ]

    def _open(self, floats: Floats) -> _Opened:
        self._count += 1
        folder = self._scratch / str(self._count)
        folder.mkdir()
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, folder)
            path = self._form.write(self._model(floats), folder)
            running = self._form.open(path, floats != self._everything)
            stack.callback(running.close)
            runs = runs_of_a_turn(running, self._inputs)
            return _Opened(running, runs, stack.pop_all())

    def _keep(self, wanted: Sequence[Floats]) -> None:
        for floats in self._opened.keys() - set(wanted):
            self._opened.pop(floats).stack.close()
