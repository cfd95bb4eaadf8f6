"""A model that an engine has loaded in a process of its own: fed, run, timed and ended."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, TypeVar

import numpy as np

from qcc.backends.engines.fed import fed
from qcc.backends.engines.process import Process
from qcc.backends.engines.timing import Times, received
from qcc.backends.engines.wire import Arrays, Closed, send
from qcc.errors import EngineError, QccError
from qcc.shown import listed

_R = TypeVar("_R", bound="Runtime")


class Runtime:
    """A model in an engine; a context manager. `inputs`: their names; `shapes`: those that it takes, where
    the engine tells, with -1 for lengths that are open; `dtypes`: what it takes, where that is known;
    `header`: what the process has told besides when it had loaded the model.

    Raises `error` when the engine refuses the model, ends its process, or hangs (`patience.py`).
    """

    engine: ClassVar[str]
    error: ClassVar[type[QccError]] = EngineError

    def __init__(self, model: Path, process: Process) -> None:
        self._model, self._process = model, process
        with ExitStack() as unless_loaded:
            unless_loaded.callback(self.close)
            self.header, _ = self._receive()
            unless_loaded.pop_all()
        self.inputs: tuple[str, ...] = tuple(self.header["inputs"])
        shapes, dtypes = (self.header.get(what, {}) for what in ("shapes", "dtypes"))
        self.shapes: dict[str, tuple[int, ...]] = {name: tuple(shape) for name, shape in shapes.items()}
        self.dtypes: dict[str, np.dtype] = {name: np.dtype(dtype) for name, dtype in dtypes.items()}

    def __enter__(self: _R) -> _R:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        self._process.close()

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The outputs for these inputs (by name), in the model's order; other arrays are not used."""
        self._send({"do": "run"}, inputs)
        return list(self._receive()[1].values())

    def times(self, inputs: Mapping[str, np.ndarray], warm_up: int, runs: int) -> Times:
        """Times of each of `runs` runs, without feeding and fetching, after `warm_up` others."""
        self._send({"do": "time", "warm_up": warm_up, "runs": runs}, inputs)
        return received(self._receive(warm_up + runs)[0])

    def milliseconds(self, inputs: Mapping[str, np.ndarray], warm_up: int = 10, runs: int = 100) -> float:
        """Median milliseconds of a run by the clock, without feeding and fetching."""
        return statistics.median(self.times(inputs, warm_up, runs).wall) * 1000

    def _wanted(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The inputs that the model has, as `fed` makes them.  Raises `error` when some are missing."""
        missing = [name for name in self.inputs if name not in inputs]
        if missing:
            raise self.error(
                f"{self.engine} wants the inputs {', '.join(missing)} for this model, and got"
                f" {', '.join(inputs) or 'none'}."
            )
        return fed(self.inputs, self.dtypes, inputs, self.error)

    def _send(self, header: Mapping[str, Any], inputs: Mapping[str, np.ndarray]) -> None:
        arrays = self._wanted(inputs)
        try:
            send(self._process.connection, header, arrays)
        except Closed:
            raise self._died() from None

    def _receive(self, runs: int = 1) -> tuple[dict[str, Any], Arrays]:
        try:
            return self._process.receive(runs)
        except Closed:
            raise self._died() from None

    def _died(self) -> QccError:
        return self.error(f"{self.engine} {self._process.died(f'on {self._model}')}.")


class CountedRuntime(Runtime):
    """One whose engine tells how many of its layers that multiply run on integers (`int8`), and how many do
    not (`floats`), by its own types of layers."""

    def __init__(self, model: Path, process: Process) -> None:
        super().__init__(model, process)
        self.int8: dict[str, int] = dict(self.header["int8"])
        self.floats: dict[str, int] = dict(self.header["floats"])

    @property
    def kernels(self) -> str:
        """Both, in words."""
        rest = f"; in float: {listed(self.floats)}" if self.floats else ""
        return f"in int8: {listed(self.int8)}{rest}"
