"""Running ONNX models in ONNX Runtime, in a process of its own."""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path

from qcc.backends.engines.process import start
from qcc.backends.engines.runtime import CountedRuntime
from qcc.errors import MissingDependencyError, ModelFormatError
from qcc.inputs import open_input, why


def onnxruntime_missing() -> str | None:
    """Why ONNX Runtime cannot be used here; None when it can."""
    names = ("onnx", "onnxruntime")
    if all(importlib.util.find_spec(name) is not None for name in names):
        return None
    return "ONNX Runtime is not installed: `pip install 'qcc[onnx]'`."


class OnnxRuntime(CountedRuntime):
    """An ONNX model loaded by ONNX Runtime on the CPU; a context manager.

    Without `optimize` the ops are run one by one as they stand in the file: QuantizeLinear and
    DequantizeLinear round, and everything else computes in float. `threads` of the CPU.

    `inputs`: their names; `int8` and `floats` are of the optimized model, and empty without `optimize`.

    Raises MissingDependencyError when ONNX Runtime is not installed, ModelFormatError for what is no regular
    file, EngineError when it refuses the model or
    ends its process.
    """

    engine = "ONNX Runtime"

    def __init__(self, model: Path, *, optimize: bool = True, threads: int = 1) -> None:
        missing = onnxruntime_missing()
        if missing is not None:
            raise MissingDependencyError(missing)
        try:
            open_input(model).close()
        except OSError as error:
            raise ModelFormatError(f"{model} cannot be read: {why(error)}.") from error
        # The folder is this process's, since the other one may be ended at any time.
        with tempfile.TemporaryDirectory(prefix="qcc-") as folder:
            optimized = str(Path(folder) / "optimized.onnx") if optimize else ""
            arguments = (str(model), optimized, str(threads))
            super().__init__(model, start("qcc.backends.engines.onnxruntime_worker", *arguments))
