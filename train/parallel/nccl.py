"""How processes with a GPU each find each other and connect, by NCCL."""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO
from typing import Any

from qcc._paddle import paddle


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
