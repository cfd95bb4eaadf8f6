"""Running ONNX models in TensorRT, in a process of its own."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from qcc.backends.engines.process import Process
from qcc.backends.engines.runtime import Runtime
from qcc.errors import MissingDependencyError


def tensorrt_missing() -> str | None:
    """Why TensorRT cannot be used here; None when it can."""
    names = ("tensorrt", "cuda")
    if any(importlib.util.find_spec(name) is None for name in names):
        return "TensorRT is not installed: `pip install 'qcc[tensorrt]'`, for a GPU of NVIDIA's."
    from cuda.bindings import runtime  # only where it is installed

    error, gpus = runtime.cudaGetDeviceCount()
    if error != runtime.cudaError_t.cudaSuccess or not gpus:
        return "CUDA finds no GPU here."
    return None


class TensorRt(Runtime):
    """An ONNX model that TensorRT reads, and builds an engine of when it is first given inputs, for their
    shapes; a context manager.

    Q and DQ in the file say what is computed with integers; what is between, in float32 without TF32, or
    with `half` in float16 where that is faster.

    Raises MissingDependencyError when TensorRT is not installed, EngineError when it refuses the model, or
    when there is no GPU.
    """

    engine = "TensorRT"

    def __init__(self, model: Path, *, half: bool = False) -> None:
        missing = tensorrt_missing()
        if missing is not None:
            raise MissingDependencyError(missing)
        process = Process("qcc.backends.engines.tensorrt_worker", str(model), str(int(half)))
        super().__init__(model, process)

    def int8(self, inputs: Mapping[str, np.ndarray]) -> dict[str, int]:
        """How many convolutions and products read integers, by TensorRT's types of layers, once the engine
        is built for inputs like these."""
        self._send({"do": "layers"}, inputs)
        return dict(self._receive()[0]["int8"])
