"""Running a saved model in `paddle.inference`, the way it is deployed on CPUs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qcc._paddle import paddle
from qcc.errors import GraphError, ModelFormatError, PaddleError
from qcc.failures import PADDLE_FAILURES, reason


@dataclass(frozen=True)
class Engine:
    """How `paddle.inference` runs a model.

    `optimize`: fuse ops first; without it the kernels are those of a training run, and so are the results.
    `onednn`: the kernels of oneDNN (`enable_mkldnn`), with `int8` those for 8-bit integers, too
    (`enable_mkldnn_int8`), limited to `int8_ops` unless that is empty. `threads` of the CPU.
    """

    optimize: bool = True
    onednn: bool = False
    int8: bool = False
    int8_ops: tuple[str, ...] = ()
    threads: int = 1

    def __str__(self) -> str:
        if self.int8:
            return "oneDNN int8" + (f" ({', '.join(self.int8_ops)})" if self.int8_ops else "")
        if self.onednn:
            return "oneDNN float32"
        return "default kernels" if self.optimize else "default kernels, unfused"


class Predictor:
    """A model's files, loaded by `paddle.inference`.

    Raises PaddleError with Paddle's own reason when they cannot be loaded or run.
    """

    def __init__(self, program: Path, params: Path | None, engine: Engine) -> None:
        config = paddle.inference.Config(str(program), str(params or ""))
        config.disable_gpu()
        config.disable_glog_info()
        config.switch_ir_optim(engine.optimize)
        config.set_cpu_math_library_num_threads(engine.threads)
        if engine.onednn or engine.int8:
            config.enable_mkldnn()
        try:
            if engine.int8 and engine.int8_ops:
                config.enable_mkldnn_int8(set(engine.int8_ops))
            elif engine.int8:
                config.enable_mkldnn_int8()
            with _silent_stderr():
                self._predictor = paddle.inference.create_predictor(config)
        except PADDLE_FAILURES as error:
            raise PaddleError(
                f"paddle.inference ({engine}) cannot load {program}: {reason(error)}"
            ) from error
        self._what = f"paddle.inference ({engine}) cannot run {program}"
        self.feeds: tuple[str, ...] = tuple(self._predictor.get_input_names())
        self.fetches: tuple[str, ...] = tuple(self._predictor.get_output_names())

    @classmethod
    def open(cls, folder: str | os.PathLike[str], engine: Engine | None = None) -> Predictor:
        """A predictor for a saved model, found as `qcc.load` finds it; by default oneDNN in float32."""
        from qcc.frontend.layout import find_params, find_program
        from qcc.frontend.program_file import read_program

        program = read_program(find_program(Path(folder), None))
        files = find_params(program, None)
        if len(files) > 1:
            raise ModelFormatError(
                f"{folder} has a file per parameter, which paddle.inference does not take by name: load it"
                " with qcc.load, write it with qcc.save, and open that."
            )
        return cls(program.path, files[0].path if files else None, engine or Engine(onednn=True))

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The fetched arrays, in the order of `fetches`.  Raises GraphError for missing or unknown inputs."""
        if set(inputs) != set(self.feeds):
            raise GraphError(f"the model is fed by {list(self.feeds)}, but the inputs are {list(inputs)}.")
        try:
            for name in self.feeds:
                self._predictor.get_input_handle(name).copy_from_cpu(np.ascontiguousarray(inputs[name]))
            self._predictor.run()
            return [self._predictor.get_output_handle(name).copy_to_cpu() for name in self.fetches]
        except PADDLE_FAILURES as error:
            raise PaddleError(f"{self._what}: {reason(error)}") from error


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Drop what C++ code prints: oneDNN's int8 passes report on stderr whatever the log level is."""
    sys.stderr.flush()
    kept = os.dup(2)
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)
