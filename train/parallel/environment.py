"""What the environment says about the processes that train together, as Paddle's launcher sets it."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from qcc.errors import ConfigError

_RANK, _SIZE, _ENDPOINTS = "PADDLE_TRAINER_ID", "PADDLE_TRAINERS_NUM", "PADDLE_TRAINER_ENDPOINTS"
_GPU = "FLAGS_selected_gpus"


@dataclass(frozen=True)
class Place:
    """The place of this process: number `rank` of `size`; `endpoints`: "HOST:PORT" of each, by rank."""

    rank: int
    size: int
    endpoints: tuple[str, ...]

    def other_machines(self) -> list[str]:
        """The hosts of the processes that are not on this one's machine."""
        own = host_and_port(self.endpoints[self.rank])[0]
        return sorted({host_and_port(endpoint)[0] for endpoint in self.endpoints} - {own})

    def variables(self) -> dict[str, str]:
        """The environment variables that say this."""
        return {
            _RANK: str(self.rank),
            _SIZE: str(self.size),
            _ENDPOINTS: ",".join(self.endpoints),
            "PADDLE_CURRENT_ENDPOINT": self.endpoints[self.rank],
            "PADDLE_MASTER": self.endpoints[0],
        }


def place() -> Place | None:
    """This process's place among several; None when it trains alone. Raises ConfigError."""
    size = _number(_SIZE, default=1)
    if size < 2:
        return None
    endpoints = tuple(os.environ.get(_ENDPOINTS, "").split(","))
    rank = _number(_RANK, default=-1)
    if len(endpoints) != size or not 0 <= rank < size:
        raise ConfigError(
            f"the environment variables {_SIZE}, {_RANK} and {_ENDPOINTS} do not fit together: {size},"
            f" {os.environ.get(_RANK)!r}, {os.environ.get(_ENDPOINTS)!r}; `python -m"
            " paddle.distributed.launch` sets them, or unset them to train in one process."
        )
    _check_addresses(endpoints)
    return Place(rank, size, endpoints)


def gpu_number() -> int:
    """Which of the machine's visible GPUs is this process's. Raises ConfigError."""
    return _number(_GPU, default=0)


def gpu_variable(number: int) -> dict[str, str]:
    """The environment variable that says this."""
    return {_GPU: str(number)}


def host_and_port(endpoint: str) -> tuple[str, int]:
    """The two parts of "HOST:PORT". Raises ConfigError."""
    host, _, port = endpoint.rpartition(":")
    if not host or not port.isdigit():
        raise ConfigError(f"the environment variable {_ENDPOINTS} has {endpoint!r}, which is no HOST:PORT.")
    return host, int(port)


def _check_addresses(endpoints: Sequence[str]) -> None:
    """Refuse addresses at which a machine finds itself alone, when there are several machines."""
    hosts = {host_and_port(endpoint)[0] for endpoint in endpoints}
    if len(hosts) == 1:
        return
    for host in sorted(hosts):
        try:
            address = socket.gethostbyname(host)
        except OSError as error:
            raise ConfigError(f"{host}, in {_ENDPOINTS}, has no known address: {error.strerror}.") from error
        if ipaddress.ip_address(address).is_loopback:
            raise ConfigError(
                f"a machine is known to the others as {host}, where none but itself can reach it; start"
                " `paddle.distributed.launch` there with `--host ADDRESS`, its address in the network."
            )


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    if not text:
        return default
    if not text.isdigit():
        raise ConfigError(f"the environment variable {name} must be a whole number, not {text!r}.")
    return int(text)
