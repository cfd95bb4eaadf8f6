"""Running `.nb` files with Paddle Lite's own runtime, each in a process of its own."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from qcc.backends.engines.fed import fits
from qcc.backends.engines.process import start
from qcc.backends.engines.runtime import Runtime
from qcc.backends.lite.file import NaiveBuffer, read_naive_buffer
from qcc.backends.lite.file_op import Program
from qcc.backends.lite.guarantees import relied_on
from qcc.backends.lite.passes.kernels import KERNEL_ATTR
from qcc.backends.lite.schema import NUMPY_DTYPES
from qcc.errors import LiteRuntimeError, MissingDependencyError
from qcc.targets.lite import find_kernel


def runtime_missing() -> str | None:
    """Why Paddle Lite's runtime cannot be used here; None when it can."""
    if importlib.util.find_spec("paddlelite") is not None:
        return None
    return (
        "Paddle Lite's runtime is not installed; it exists for CPython 3.10 and older on x86-64 Linux:"
        " `pip install 'qcc[lite]'` there."
    )


class LiteRuntime(Runtime):
    """A model loaded by Paddle Lite's x86 runtime, in a process of its own; a context manager.

    Its `run` is what `Task.evaluate` takes. `threads` is the number of threads of its kernels. Where kernels
    are right only for the sizes that they see first, images of another size are run by a new predictor.

    Raises MissingDependencyError when paddlelite is not installed, ModelFormatError when the file is damaged,
    LiteRuntimeError when it is for ARM, or the runtime aborts, or an array is of other elements than the
    file takes, or of another size where that is not open.
    """

    engine = "Paddle Lite's runtime"
    error = LiteRuntimeError

    def __init__(self, path: str | os.PathLike[str], threads: int = 1) -> None:
        missing = runtime_missing()
        if missing is not None:
            raise MissingDependencyError(missing)
        path = Path(path)
        buffer = read_naive_buffer(path)
        _refuse_arm(path, buffer)
        sizes = relied_on(buffer, "x86").sizes
        program = Program(buffer.program.blocks[0], buffer.params)
        environment = {"OMP_NUM_THREADS": str(threads)}
        super().__init__(path, start("qcc.backends.lite.worker", str(path), sizes, environment=environment))
        self.outputs: tuple[str, ...] = tuple(self.header["outputs"])
        # Of a name that is used again the file has one declaration, that of one of its variables.
        once = [name for name in self.inputs if not program.is_used_again(name)]
        kinds = {name: program.element_kind(name) for name in once}
        self.dtypes = {name: NUMPY_DTYPES[kind] for name, kind in kinds.items() if kind in NUMPY_DTYPES}
        self.shapes = {name: shape for name in once if (shape := program.shape(name)) is not None}

    def _wanted(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        arrays = super()._wanted(inputs)
        for name, shape in self.shapes.items():
            given = arrays[name].shape
            # Kernels and numbers are chosen by the sizes that are not open, and the runtime does not look.
            if not fits(given, shape):
                raise LiteRuntimeError(
                    f"{name!r} is {list(given)}, and {self._model} is written for {list(shape)}: give it"
                    " arrays of that size, or write the file from a model whose sizes are open (-1)."
                )
        return arrays


def _refuse_arm(path: Path, buffer: NaiveBuffer) -> None:
    """The x86 library loads files for ARM, but only pretends to run them."""
    kernels = [find_kernel(op.text(KERNEL_ATTR)) for op in buffer.ops]
    if any(kernel is not None and kernel.target == "arm" for kernel in kernels):
        raise LiteRuntimeError(
            f"{path} is for ARM, and Paddle Lite's runtime runs files for x86 here: export the model with"
            " --arch x86."
        )
