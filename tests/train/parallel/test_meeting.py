"""Processes that wait for others do not wait without end."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from qcc.errors import TrainingError
from qcc.train.parallel.environment import Place
from qcc.train.parallel.meeting import _interface, meet


@pytest.fixture
def port() -> Iterator[int]:
    """One at which nothing else listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def test_the_first_process_is_not_there(port: int) -> None:
    with pytest.raises(
        TrainingError, match=rf"process 1 of 2 cannot reach process 0 at 127\.0\.0\.1:{port}: "
    ):
        meet(Place(1, 2, (f"127.0.0.1:{port}", "127.0.0.1:1")), seconds=0.2)


def test_another_process_does_not_come() -> None:
    with socket.socket() as bound:
        bound.bind(("", 0))
        port = bound.getsockname()[1]
    with pytest.raises(
        TrainingError, match=r"process 0 of 2 could not connect to the others within 1 s; .*:7"
    ):
        meet(Place(0, 2, (f"127.0.0.1:{port}", "127.0.0.1:7")), seconds=1)


def test_the_port_is_in_use(port: int) -> None:
    with pytest.raises(TrainingError, match=f"cannot listen on port {port}: Address already in use"):
        meet(Place(0, 2, (f"127.0.0.1:{port}", "127.0.0.1:7")), seconds=1)


def test_addresses_of_interfaces() -> None:
    assert _interface("127.0.0.1") == "lo"
    assert _interface("127.0.1.1") == "lo"
    assert _interface("192.0.2.1") == ""  # reserved for documentation
