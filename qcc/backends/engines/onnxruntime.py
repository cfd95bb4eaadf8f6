"""Running ONNX models in ONNX Runtime, in a process of its own."""

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


def onnxruntime_missing() -> str | None:
    """Why ONNX Runtime cannot be used here; None when it can."""
    names = ("onnx", "onnxruntime")
    if all(importlib.util.find_spec(name) is not None for name in names):
        return None
    return "ONNX Runtime is not installed: `pip install 'qcc[onnx]'`."


class OnnxRuntime:
    """An ONNX model loaded by ONNX Runtime on the CPU; a context manager.

    Without `optimize` the ops are run one by one as they stand in the file: QuantizeLinear and
    DequantizeLinear round, and everything else computes in float. `threads` of the CPU.

    `inputs`: their names; `int8`: how many ops compute with integers once the model is optimized, and
    `floats`: how many convolutions and products do not, by the types of ONNX Runtime; both are empty without
    `optimize`.

    Raises MissingDependencyError when ONNX Runtime is not installed, EngineError when it refuses the model or
    ends its process.
    """

    def __init__(self, model: Path, *, optimize: bool = True, threads: int = 1) -> None:
        missing = onnxruntime_missing()
        if missing is not None:
            raise MissingDependencyError(missing)
        self._model = model
        self._process = Process(
            "qcc.backends.engines.onnxruntime_worker", str(model), str(int(optimize)), str(threads)
        )
        try:
            header, _ = self._receive()
        except EngineError:
            self.close()
            raise
        self.inputs: tuple[str, ...] = tuple(header["inputs"])
        self.int8: dict[str, int] = dict(header["int8"])
        self.floats: dict[str, int] = dict(header["floats"])

    def __enter__(self) -> OnnxRuntime:
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
        arrays = wanted(self.inputs, inputs, "ONNX Runtime")
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
        return EngineError(f"ONNX Runtime {self._process.died(f'on {self._model}')}.")
