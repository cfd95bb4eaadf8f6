"""How processes that train together find each other: by gloo on CPUs, by NCCL on GPUs."""

from __future__ import annotations

import atexit
import importlib
import logging
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from typing import Any

from qcc._paddle import paddle
from qcc.train.parallel.environment import Place


def connect_cpus(place: Place) -> None:
    """Connect this process with the others by gloo, and wait until all are."""
    _import_meeting_point()
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):  # it tells how it waits for the others
        paddle.distributed.gloo_init_parallel_env(place.rank, place.size, place.endpoints[0])
    # Without this, gloo's threads outlive what they use at the end of the process.
    atexit.register(paddle.distributed.gloo_release)


def connect_gpus(device: Any) -> None:
    """Connect this process, whose GPU is `device`, with the others by NCCL, and wait until all are."""
    paddle.static.Executor(device).run(communicator_program())


def communicator_program() -> Any:
    """The program by which `paddle.distributed.fleet` makes the NCCL communicator of all processes, ring 0.

    fleet puts it into the startup program of what it trains. What qcc trains has collectives of its own,
    the same on CPUs and GPUs, so fleet is given a network of one weight for it.
    """
    fleet = paddle.distributed.fleet
    main, startup = paddle.static.Program(), paddle.static.Program()
    with redirect_stdout(StringIO()):  # it tells what it is made of
        fleet.init(is_collective=True, strategy=fleet.DistributedStrategy())
        with paddle.static.program_guard(main, startup), paddle.utils.unique_name.guard("communicator/"):
            weight = paddle.static.create_parameter([1], "float32")
            optimizer = fleet.distributed_optimizer(paddle.optimizer.SGD(0.0))
            optimizer.minimize(paddle.mean(weight))
    return startup


def _import_meeting_point() -> None:
    """Import the server at which processes find each other without the http.log that it leaves behind."""
    handler = logging.FileHandler
    setattr(logging, "FileHandler", lambda *_, **__: logging.NullHandler())  # noqa: B010
    try:
        importlib.import_module("paddle.distributed.fleet.utils.http_server")
    finally:
        setattr(logging, "FileHandler", handler)  # noqa: B010
