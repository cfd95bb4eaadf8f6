"""Running Paddle's inference models in OpenVINO, in a process of its own."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from qcc.backends.engines.process import Process, wanted
from qcc.backends.engines.timing import Times, received
from qcc.backends.engines.wire import Arrays, Closed, receive, send
from qcc.errors import EngineError, MissingDependencyError


def openvino_missing() -> str | None:
    """Why OpenVINO cannot be used here; None when it can."""
    if importlib.util.find_spec("openvino") is not None:
        return None
    return "OpenVINO is not installed: `pip install 'qcc[openvino]'`."


class OpenVino:
    """A model loaded by OpenVINO; a context manager.

    `program` ends in `.pdmodel`, and the parameters lie beside it under the same name, or in `.onnx`.
    `threads` of the CPU. `int8`: how many layers run on integers, by OpenVINO's types of layers.

    Raises MissingDependencyError when OpenVINO is not installed, EngineError when it refuses the model or
    ends its process.
    """

    def __init__(self, program: Path, threads: int = 1) -> None:
        missing = openvino_missing()
        if missing is not None:
            raise MissingDependencyError(missing)
        self._program = program
        self._process = Process("qcc.backends.engines.openvino_worker", str(program), str(threads))
        try:
            header, _ = self._receive()
        except EngineError:
            self.close()
            raise
        self.inputs: tuple[str, ...] = tuple(header["inputs"])
        self.int8: dict[str, int] = dict(header["int8"])

    def __enter__(self) -> OpenVino:
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
        return received(self._receive()[0])

    def _send(self, header: Mapping[str, Any], inputs: Mapping[str, np.ndarray]) -> None:
        arrays = wanted(self.inputs, inputs, "OpenVINO")
        try:
            send(self._process.connection, header, arrays)
        except Closed:
            raise self._died() from None

    def _receive(self) -> tuple[dict[str, Any], Arrays]:
        try:
            return receive(self._process.connection)
        except Closed:
            raise self._died() from None

    def _died(self) -> EngineError:
        return EngineError(f"OpenVINO {self._process.died(f'on {self._program}')}.")
