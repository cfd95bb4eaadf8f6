"""Running Paddle's inference models in OpenVINO, in a process of its own."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from qcc.backends.engines.process import start
from qcc.backends.engines.runtime import CountedRuntime
from qcc.errors import EngineError, MissingDependencyError, QccError
from qcc.frontend.program_file import read_program
from qcc.ir.program import AttrType

# What its reader says of the one op, where an attribute is none that stands in the file.
_COMPUTED = re.compile(r"Fail to convert (\w+) .*data type is not supported")


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

    def _died(self) -> QccError:
        error = super()._died()
        failed = _COMPUTED.search(str(error))
        computed = None if failed is None else _computed(self._model, failed[1])
        return error if computed is None else EngineError(computed)


def _computed(program: Path, kind: str) -> str | None:
    """The sentence of the first op of a kind that has an attribute which variables hold; None without one."""
    blocks = read_program(program).program.blocks
    for op in (op for block in blocks for op in block.ops if op.type == kind):
        for attr in op.attrs:
            if attr.type in (AttrType.VAR, AttrType.VARS):
                output = next(name for slot in op.outputs for name in slot.arguments)
                held = ", ".join(map(repr, attr.vars_name or [attr.var_name]))
                return (
                    f"the attribute {attr.name!r} of the {kind} of {output!r} is computed when the model"
                    f" runs, as {held}, and OpenVINO needs it before: export the model with fixed sizes."
                )
    return None
