"""Running `.nb` files with Paddle Lite's own runtime, each in a process of its own."""

from __future__ import annotations

import importlib.util
import statistics
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from qcc.backends.engines.process import Process
from qcc.backends.engines.timing import Times, received
from qcc.backends.engines.wire import Arrays, Closed, receive, send
from qcc.backends.lite.file import NaiveBuffer, read_naive_buffer
from qcc.backends.lite.guarantees import relied_on
from qcc.backends.lite.passes.kernels import KERNEL_ATTR
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


class LiteRuntime:
    """A model loaded by Paddle Lite's x86 runtime, in a process of its own; a context manager.

    Its `run` is what `Task.evaluate` takes. `threads` is the number of threads of its kernels. Where kernels
    are right only for the sizes that they see first, images of another size are run by a new predictor.

    Raises MissingDependencyError when paddlelite is not installed, ModelFormatError when the file is damaged,
    LiteRuntimeError when it is for ARM, or the runtime aborts.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        missing = runtime_missing()
        if missing is not None:
            raise MissingDependencyError(missing)
        buffer = read_naive_buffer(path)
        _refuse_arm(path, buffer)
        self._path = path
        sizes = relied_on(buffer, "x86").sizes
        environment = {"OMP_NUM_THREADS": str(threads)}
        self._process = Process("qcc.backends.lite.worker", str(path), sizes, environment=environment)
        try:
            header, _ = self._receive()
        except LiteRuntimeError:
            self.close()
            raise
        self.inputs: tuple[str, ...] = tuple(header["inputs"])
        self.outputs: tuple[str, ...] = tuple(header["outputs"])

    def __enter__(self) -> LiteRuntime:
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
        _, arrays = self._receive()
        return list(arrays.values())

    def times(self, inputs: Mapping[str, np.ndarray], warm_up: int, runs: int) -> Times:
        """Times of each of `runs` runs, without feeding and fetching, after `warm_up` others."""
        self._send({"do": "time", "warm_up": warm_up, "runs": runs}, inputs)
        return received(self._receive()[0])

    def _send(self, header: Mapping[str, Any], inputs: Mapping[str, np.ndarray]) -> None:
        missing = [name for name in self.inputs if name not in inputs]
        if missing:
            raise LiteRuntimeError(
                f"{self._path} wants the inputs {list(self.inputs)}; {missing} are missing."
            )
        try:
            send(self._process.connection, header, {name: inputs[name] for name in self.inputs})
        except Closed:
            raise self._died() from None

    def _receive(self) -> tuple[dict[str, Any], Arrays]:
        try:
            return receive(self._process.connection)
        except Closed:
            raise self._died() from None

    def _died(self) -> LiteRuntimeError:
        return LiteRuntimeError(f"Paddle Lite's runtime {self._process.died(f'on {self._path}')}.")


def lite_milliseconds(
    path: Path, feeds: Mapping[str, np.ndarray], warm_up: int = 10, runs: int = 100
) -> float:
    """Median milliseconds of a run of the file in Paddle Lite's x86 runtime, with one thread.

    `feeds` are the inputs by name; feeding and fetching are not counted, nor are the first `warm_up` runs.
    Raises what `LiteRuntime` raises.
    """
    with LiteRuntime(path) as runtime:
        return statistics.median(runtime.times(feeds, warm_up, runs).wall) * 1000


def _refuse_arm(path: Path, buffer: NaiveBuffer) -> None:
    """The x86 library loads files for ARM, but only pretends to run them."""
    kernels = [find_kernel(op.attr(KERNEL_ATTR, "")) for op in buffer.ops]
    if any(kernel is not None and kernel.target == "arm" for kernel in kernels):
        raise LiteRuntimeError(
            f"{path} is for ARM, and Paddle Lite's runtime runs files for x86 here: export the model with"
            " --arch x86."
        )
