"""Running a saved model with Paddle, in a process of its own: as it is deployed on CPUs, and op for op."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from qcc.backends.engines.engine import Engine
from qcc.backends.engines.fed import fed
from qcc.backends.engines.paddle import Died, Failed, PaddleProcess
from qcc.backends.engines.timing import Times, received
from qcc.backends.engines.wire import Arrays
from qcc.errors import GraphError, ModelFormatError, PaddleError

__all__ = ["Engine", "PaddleExecutor", "Predictor", "int8_kernels"]


class _Loaded:
    """A model's files, loaded by `engine`, or by Paddle's executor where that is None."""

    def __init__(
        self, what: str, program: Path, params: Path | None, engine: Engine | None, *, traced: bool = False
    ) -> None:
        self._what, self._program = what, program
        self._process = PaddleProcess()
        header, _ = self._ask(
            "load",
            "open",
            program=str(program.absolute()),
            params=None if params is None else str(params.absolute()),
            engine=None if engine is None else asdict(engine),
            traced=traced,
        )
        self._dtypes = {name: np.dtype(dtype) for name, dtype in header["dtypes"].items()}
        self.feeds: tuple[str, ...] = tuple(header["feeds"])
        self.fetches: tuple[str, ...] = tuple(header["fetches"])

    def close(self) -> None:
        """End the process, which ends with this object anyway."""
        self._process.close()

    def _run(
        self, inputs: Mapping[str, np.ndarray], fetches: Sequence[str] | None, coarse: Iterable[str] = ()
    ) -> list[np.ndarray]:
        wanted = None if fetches is None else list(fetches)
        _, found = self._ask("run", "run", self._fed(inputs), fetches=wanted, coarse=list(coarse))
        return list(found.values())

    def _fed(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        if set(inputs) != set(self.feeds):
            raise GraphError(f"the model is fed by {list(self.feeds)}, but the inputs are {list(inputs)}.")
        return fed(self.feeds, self._dtypes, inputs, GraphError)

    def _ask(
        self, verb: str, do: str, arrays: Mapping[str, np.ndarray] | None = None, **header: Any
    ) -> tuple[dict[str, Any], Arrays]:
        try:
            return self._process.ask(do, arrays, **header)
        except Failed as error:
            raise PaddleError(f"{self._what} cannot {verb} {self._program}: {error}") from error
        except Died as error:
            raise PaddleError(f"{self._what} {error} when it was to {verb} {self._program}.") from error


class Predictor(_Loaded):
    """A model's files, loaded by `paddle.inference` in a process of its own, which ends with this object.

    Raises PaddleError with Paddle's own reason when they cannot be loaded or run, or with the signal when
    that ended the process.
    """

    def __init__(self, program: Path, params: Path | None, engine: Engine, *, traced: bool = False) -> None:
        super().__init__(f"paddle.inference ({engine})", program, params, engine, traced=traced)

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
        """The fetched arrays, in the order of `fetches`.

        Raises GraphError for missing or unknown inputs, and arrays of other elements than the model takes.
        """
        return self._run(inputs, None)

    def seconds(self, inputs: Mapping[str, np.ndarray], warm_up: int = 0, runs: int = 1) -> list[float]:
        """Seconds of each of `runs` runs, on the clock; see `times`."""
        return self.times(inputs, warm_up, runs).wall

    def times(self, inputs: Mapping[str, np.ndarray], warm_up: int, runs: int) -> Times:
        """Times of each of `runs` runs, without feeding and fetching, after `warm_up` others."""
        answer, _ = self._ask("run", "time", self._fed(inputs), warm_up=warm_up, runs=runs)
        return received(answer)


def int8_kernels(
    program: Path, params: Path | None, engine: Engine, inputs: Mapping[str, np.ndarray]
) -> dict[str, int]:
    """How many calls of each kind of oneDNN's kernels read 8-bit integers in a run.  Raises PaddleError."""
    # In a process of its own, since one that tells what it runs is slower.
    predictor = Predictor(program, params, engine, traced=True)
    try:
        answer, _ = predictor._ask("run", "int8_kernels", predictor._fed(inputs))
    finally:
        predictor.close()
    return dict(answer["kernels"])


class PaddleExecutor(_Loaded):
    """A model's files, read by Paddle and run by its executor: every op as it stands, in float32 kernels.

    The process, and the errors, are as those of `Predictor`.
    """

    def __init__(self, program: Path, params: Path | None) -> None:
        super().__init__("Paddle's executor", program, params, None)

    def run(
        self,
        inputs: Mapping[str, np.ndarray],
        fetches: Sequence[str] | None = None,
        coarse: Iterable[str] = (),
    ) -> list[np.ndarray]:
        """Arrays of `fetches` (any variables' names; by default the model's own).

        `coarse`: weights that hold integers, and that in this run lack their last bit.
        """
        return self._run(inputs, fetches, coarse)

    def digests(self) -> dict[str, int]:
        """The CRC-32 of each weight, as Paddle has read it."""
        header, _ = self._ask("read the weights of", "digests")
        return dict(header["digests"])
