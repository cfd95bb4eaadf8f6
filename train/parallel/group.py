"""The processes that train together, and what they tell each other outside the training program."""

from __future__ import annotations

import atexit
import importlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stderr, redirect_stdout
from io import StringIO
from typing import Any, Protocol

import numpy as np

from qcc._paddle import core, paddle
from qcc.errors import TrainingError
from qcc.train.parallel.environment import Place, place

# As Paddle's own programs call the collectives of the one group that there is.
COLLECTIVE = {"ring_id": 0, "use_calc_stream": True}
# What Paddle tells of an error of gloo's: often no more than its type, else where in gloo.
_PEER_GONE = ("std::exception", "third_party/gloo/")


class Group(Protocol):
    """`size` processes, of which this is number `rank`; number 0 evaluates and writes. All must call the
    same methods in the same order."""

    rank: int
    size: int

    def mean(self, values: Sequence[float]) -> list[float]:
        """The means over all processes, in float64; as many values in each."""
        ...

    def share(self, data: bytes) -> bytes:
        """What process 0 gave."""
        ...

    def exchange(self) -> AbstractContextManager[None]:
        """For a block that runs a program with collectives: raises TrainingError when a process has gone."""
        ...


class Alone:
    """The group of one process."""

    rank, size = 0, 1

    def mean(self, values: Sequence[float]) -> list[float]:
        return list(values)

    def share(self, data: bytes) -> bytes:
        return data

    def exchange(self) -> AbstractContextManager[None]:
        return nullcontext()


ALONE = Alone()


def join() -> Group:
    """Join the group that the environment names, and wait until all have; the group of one without it."""
    found = place()
    return ALONE if found is None else CpuGroup(found)


class CpuGroup:
    """Processes on CPUs, of one machine or several, connected by gloo. There can be one per process."""

    def __init__(self, place: Place) -> None:
        self.rank, self.size = place.rank, place.size
        _import_meeting_point()
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):  # it tells how it waits for the others
            paddle.distributed.gloo_init_parallel_env(place.rank, place.size, place.endpoints[0])
        # Without this, gloo's threads outlive what they use at the end of the process.
        atexit.register(paddle.distributed.gloo_release)
        self._executor = paddle.static.Executor(core.CPUPlace())
        self._sums: dict[str, tuple[Any, str]] = {}

    def mean(self, values: Sequence[float]) -> list[float]:
        return [float(value) / self.size for value in self._sum(np.array(values, np.float64))]

    def share(self, data: bytes) -> bytes:
        length = int(self._sum(np.array([len(data) if self.rank == 0 else 0], np.int64))[0])
        words = np.zeros(-(-length // 4), np.int32)
        if self.rank == 0:
            words[:] = np.frombuffer(data.ljust(4 * len(words), b"\0"), np.int32)
        return self._sum(words).tobytes()[:length] if length else b""

    @contextmanager
    def exchange(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            if not any(words in str(error) for words in _PEER_GONE):
                raise
            raise TrainingError(
                f"process {self.rank} of {self.size} cannot go on, since another one has ended; the output of"
                " that one says why"
            ) from error

    def _sum(self, array: np.ndarray) -> np.ndarray:
        """The sum over all processes of an array that has one shape in all."""
        dtype = array.dtype.name
        if dtype not in self._sums:
            self._sums[dtype] = _sum_program(dtype)
        program, name = self._sums[dtype]
        with self.exchange():
            (total,) = self._executor.run(program, feed={"values": array}, fetch_list=[name])
        return np.asarray(total)


def _import_meeting_point() -> None:
    """Import the server at which processes find each other without the http.log that it leaves behind."""
    handler = logging.FileHandler
    setattr(logging, "FileHandler", lambda *_, **__: logging.NullHandler())  # noqa: B010
    try:
        importlib.import_module("paddle.distributed.fleet.utils.http_server")
    finally:
        setattr(logging, "FileHandler", handler)  # noqa: B010


def _sum_program(dtype: str) -> tuple[Any, str]:
    """A program that sums `values`, [N], over all processes, and the name of the sum."""
    program = paddle.static.Program()
    with paddle.static.program_guard(program, paddle.static.Program()):
        values = paddle.static.data("values", [-1], dtype)
        block = program.global_block()
        total = block.create_var(name="sum", dtype=values.dtype, shape=[-1])
        block.append_op(
            type="c_allreduce_sum", inputs={"X": [values]}, outputs={"Out": [total]}, attrs=COLLECTIVE
        )
    return program, "sum"
