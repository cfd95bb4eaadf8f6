"""Running ONNX models in TensorRT, in a process of its own."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np

from qcc.backends.engines.patience import IDLE
from qcc.backends.engines.process import start
from qcc.backends.engines.runtime import Runtime
from qcc.errors import MissingDependencyError

# In a process of its own, since it may crash: whether the library loads, the driver fits, and there is a GPU.
_PROBE = """
import tensorrt
from cuda.bindings import runtime
tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.ERROR))
error, properties = runtime.cudaGetDeviceProperties(0)
if error != runtime.cudaError_t.cudaSuccess:
    raise SystemExit(runtime.cudaGetErrorString(error)[1].decode())
print(properties.name.decode())
"""


def tensorrt_missing() -> str | None:
    """Why TensorRT cannot be used here; None when it can."""
    if any(importlib.util.find_spec(name) is None for name in ("tensorrt", "cuda")):
        return "TensorRT is not installed: `pip install 'qcc[tensorrt]'`, for a GPU of NVIDIA's."
    reason, _ = _probed()
    return reason


def gpu() -> str:
    """The name of the GPU that TensorRT computes on."""
    return _probed()[1]


@cache
def _probed() -> tuple[str | None, str]:
    command = [sys.executable, "-c", _PROBE]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=IDLE)
    except subprocess.TimeoutExpired:
        return f"TensorRT does not start here: it hung and was ended after {IDLE // 60} minutes.", ""
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"it ended with code {done.returncode}"]
        return f"TensorRT does not start here: {said[-1].rstrip('.')}.", ""
    return None, done.stdout.strip()


class TensorRt(Runtime):
    """An ONNX model that TensorRT reads, and builds an engine of when it is first given inputs, for their
    shapes; a context manager.

    Q and DQ in the file say what is computed with integers; what is between, in float32 without TF32. Its
    times are those of the wall, while the processor waits for the GPU.

    Raises MissingDependencyError when TensorRT cannot be used, EngineError when it refuses the model.
    """

    engine = "TensorRT"

    def __init__(self, model: Path) -> None:
        missing = tensorrt_missing()
        if missing is not None:
            raise MissingDependencyError(missing)
        super().__init__(model, start("qcc.backends.engines.tensorrt_worker", str(model)))

    def int8(self, inputs: Mapping[str, np.ndarray]) -> dict[str, int]:
        """How many convolutions and products read integers, by TensorRT's types of layers, once the engine
        is built for inputs like these; those in layers that it has made of many ops are not counted."""
        self._send({"do": "layers"}, inputs)
        return dict(self._receive()[0]["int8"])
