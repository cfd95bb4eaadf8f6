"""Running Paddle's inference models in OpenVINO, in a process of its own."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from qcc.backends.engines.process import start
from qcc.backends.engines.runtime import CountedRuntime
from qcc.errors import EngineError, MissingDependencyError


def openvino_missing() -> str | None:
    """Why OpenVINO cannot be used here; None when it can."""
    if importlib.util.find_spec("openvino") is not None:
        return None
    return "OpenVINO is not installed: `pip install 'qcc[openvino]'`."


def not_read(error: EngineError) -> str:
    """The sentence of a model of Paddle's that OpenVINO refuses, with the way out."""
    return (
        f"{str(error).rstrip('.')}; it may read the model in ONNX: quantize it without --target, and"
        " `qcc export OUT/float --target openvino -o OUT.onnx`"
    )


class OpenVino(CountedRuntime):
    """A model loaded by OpenVINO; a context manager.

    `program` ends in `.pdmodel`, and the parameters lie beside it under the same name, or in `.onnx`.
    `threads` of the CPU.

    Raises MissingDependencyError when OpenVINO is not installed, EngineError when it refuses the model or
    ends its process.
    """

    engine = "OpenVINO"

    def __init__(self, program: Path, threads: int = 1) -> None:
        missing = openvino_missing()
        if missing is not None:
            raise MissingDependencyError(missing)
        process = start("qcc.backends.engines.openvino_worker", str(program), str(threads))
        super().__init__(program, process)
