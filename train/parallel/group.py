"""The processes that train together, and what they tell each other outside the training program."""

from __future__ import annotations

import atexit
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

import numpy as np

from qcc._paddle import OpProtoHolder, paddle, static_mode
from qcc.errors import TrainingError
from qcc.train.parallel.device import choose_device, is_cpu
from qcc.train.parallel.environment import Place, place
from qcc.train.parallel.meeting import meet
from qcc.train.parallel.nccl import connect_gpus

_SUM = "c_allreduce_sum"
# As Paddle's own programs call the collectives of the one group that there is.
COLLECTIVE = {"ring_id": 0, "use_calc_stream": True}
# What Paddle tells of an error of gloo's: often no more than its type, else where in gloo.
_PEER_GONE = ("std::exception", "third_party/gloo/")


class Group(Protocol):
    """`size` processes, of which this is number `rank`; number 0 evaluates and writes. All must call the
    same methods in the same order. `device`: the Paddle place that this one computes on."""

    rank: int
    size: int
    device: Any

    def mean(self, values: Sequence[float]) -> list[float]:
        """The means over all processes, in float64; as many values in each."""
        ...

    def share(self, data: bytes, source: int = 0) -> bytes:
        """What process `source` gave."""
        ...

    def exchange(self) -> AbstractContextManager[None]:
        """For a block that runs a program with collectives: raises TrainingError when a process has gone."""
        ...


class Alone:
    """The group of one process."""

    rank, size = 0, 1

    def __init__(self, device: Any) -> None:
        self.device = device

    def mean(self, values: Sequence[float]) -> list[float]:
        return list(values)

    def share(self, data: bytes, source: int = 0) -> bytes:
        return data

    def exchange(self) -> AbstractContextManager[None]:
        return nullcontext()


ALONE = Alone(choose_device(use_gpu=False))


def join(use_gpu: bool = False) -> Group:
    """Join the group that the environment names, and wait until all have; the group of one without it.

    Raises ConfigError where `choose_device` does, TrainingError where Paddle has no ops for a group.
    """
    device, found = choose_device(use_gpu), place()
    if found is None:
        return Alone(device)
    check_together()
    return Processes(found, device)


def check_together() -> None:
    """Raises TrainingError where Paddle has no ops by which processes train together."""
    if not OpProtoHolder.instance().has_op_proto(_SUM):
        raise TrainingError(
            f"Paddle {paddle.__version__} has no ops by which programs of the old IR exchange anything, so"
            " processes cannot train together: train in one process (--nproc 1), or with Paddle 2.6."
        )


class Processes:
    """Processes of one machine or several. There can be one such group per process."""

    @static_mode()
    def __init__(self, place: Place, device: Any) -> None:
        self.rank, self.size, self.device = place.rank, place.size, device
        self._other_machines = place.other_machines()
        if is_cpu(device):
            # Without this, gloo's threads outlive what they use at the end of the process.
            atexit.register(meet(place).release)
        else:
            connect_gpus(device)
        self._executor = paddle.static.Executor(device)
        self._sums: dict[str, tuple[Any, str]] = {}

    def mean(self, values: Sequence[float]) -> list[float]:
        return [float(value) / self.size for value in self._sum(np.array(values, np.float64))]

    def share(self, data: bytes, source: int = 0) -> bytes:
        length = int(self._sum(np.array([len(data) if self.rank == source else 0], np.int64))[0])
        words = np.zeros(-(-length // 4), np.int32)
        if self.rank == source:
            words[:] = np.frombuffer(data.ljust(4 * len(words), b"\0"), np.int32)
        return self._sum(words).tobytes()[:length] if length else b""

    @contextmanager
    def exchange(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            if not any(words in str(error) for words in _PEER_GONE):
                raise
            where = (
                f", workerlog.N here or on {', '.join(others)}," if (others := self._other_machines) else ""
            )
            raise TrainingError(
                f"process {self.rank} of {self.size} cannot go on, since another one has ended or cannot be"
                f" reached; the output of that one{where} says why"
            ) from error

    @static_mode()
    def _sum(self, array: np.ndarray) -> np.ndarray:
        """The sum over all processes of an array that has one shape in all."""
        dtype = array.dtype.name
        if dtype not in self._sums:
            self._sums[dtype] = _sum_program(dtype)
        program, name = self._sums[dtype]
        with self.exchange():
            (total,) = self._executor.run(program, feed={"values": array}, fetch_list=[name])
        return np.asarray(total)


def _sum_program(dtype: str) -> tuple[Any, str]:
    """A program that sums `values`, [N], over all processes, and the name of the sum."""
    program = paddle.static.Program()
    with paddle.static.program_guard(program, paddle.static.Program()):
        values = paddle.static.data("values", [-1], dtype)
        block = program.global_block()
        total = block.create_var(name="sum", dtype=values.dtype, shape=[-1])
        block.append_op(type=_SUM, inputs={"X": [values]}, outputs={"Out": [total]}, attrs=COLLECTIVE)
    return program, "sum"
