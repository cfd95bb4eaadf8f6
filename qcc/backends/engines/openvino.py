"""Running Paddle's inference models in OpenVINO, in a process of its own."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from qcc.backends.engines.process import Process
from qcc.backends.engines.wire import Arrays, Closed, receive, send
from qcc.errors import EngineError, MissingDependencyError


def openvino_missing() -> str | None:
    """Why OpenVINO cannot be used here; None when it can."""
    if importlib.util.find_spec("openvino") is not None:
        return None
    return "OpenVINO is not installed: `pip install 'qcc[openvino]'`."


class OpenVino:
    """A model loaded by OpenVINO with one thread; a context manager.

    `program` ends in `.pdmodel`, and the parameters lie beside it under the same name. `int8`: how many
    layers run on integers, by OpenVINO's types of layers.

    Raises MissingDependencyError when OpenVINO is not installed, EngineError when it refuses the model or
    ends its process.
    """

    def __init__(self, program: Path) -> None:
        missing = openvino_missing()
        if missing is not None:
            raise MissingDependencyError(missing)
        self._program = program
        self._process = Process("qcc.backends.engines.openvino_worker", str(program))
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
        try:
            send(self._process.connection, {}, {name: inputs[name] for name in self.inputs})
        except Closed:
            raise self._died() from None
        return list(self._receive()[1].values())

    def _receive(self) -> tuple[dict[str, Any], Arrays]:
        try:
            return receive(self._process.connection)
        except Closed:
            raise self._died() from None

    def _died(self) -> EngineError:
        return EngineError(f"OpenVINO {self._process.died(f'on {self._program}')}.")
