"""How processes of one machine or several find each other and connect, by gloo.

Paddle's own `gloo_init_parallel_env` waits without end for a process that does not come, and tells the others
the address that this machine's name stands for, which on many machines is one that only itself can reach.
"""

from __future__ import annotations

import fcntl
import importlib
import ipaddress
import logging
import multiprocessing
import os
import socket
import stat
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from qcc._paddle import core
from qcc.errors import TrainingError
from qcc.train.parallel.environment import Place, host_and_port

_SECONDS_TO_MEET = 120.0
# No exchange has an end in time: a process may have to wait for another one's evaluation.
_SECONDS_TO_EXCHANGE = 9999999
_SECONDS_BETWEEN_LOOKS = 0.1
_SIOCGIFADDR = 0x8915  # <linux/sockios.h>
# A machine that is silent for so many seconds is asked, so often, and after so many questions given up.
_SILENCE, _BETWEEN_QUESTIONS, _QUESTIONS = 60, 10, 6


def meet(place: Place, seconds: float = _SECONDS_TO_MEET) -> Any:
    """Connect this process to all others of its group; returns Paddle's `GlooParallelContext`.

    Raises TrainingError when they have not all come within `seconds`, or cannot be reached.
    """
    end = time.monotonic() + seconds
    strategy = core.GlooParallelStrategy()
    strategy.rank, strategy.rank_num = place.rank, place.size
    strategy.ip_address, strategy.ip_port = host_and_port(place.endpoints[0])
    strategy.iface = _interface(host_and_port(place.endpoints[place.rank])[0])
    strategy.run_seconds = _SECONDS_TO_EXCHANGE
    with _meeting_point(place, end):
        _wait_for_first(place, end)
        strategy.init_seconds = max(1, round(end - time.monotonic()))
        context = core.GlooParallelContext(strategy)
        try:
            context.init()
        except RuntimeError as error:
            words = str(error).strip().rpartition("] ")[2]
            raise TrainingError(
                f"process {place.rank} of {place.size} could not connect to the others within {seconds:g} s;"
                f" they are expected at {', '.join(place.endpoints)}, their output says whether they have"
                f" started (gloo: {words})."
            ) from error
    _watch_over_connections()
    return context


@contextmanager
def _meeting_point(place: Place, end: float) -> Iterator[None]:
    """In process 0: serve what gloo meets at, in a process of its own, since gloo holds the interpreter."""
    if place.rank != 0:
        yield
        return
    port = host_and_port(place.endpoints[0])[1]
    try:
        server = _import_http_server().KVServer(port, {"_worker": place.size})
    except OSError as error:
        raise TrainingError(
            f"process 0 of {place.size} cannot listen on port {port}: {error.strerror}."
        ) from error
    process = multiprocessing.get_context("fork").Process(
        target=_serve, args=(server, os.getpid()), daemon=True
    )
    process.start()
    server.http_server.server_close()
    try:
        yield
        process.join(max(0.0, end - time.monotonic()))  # the others may not have found each other yet
    finally:
        process.kill()
        process.join()


def _serve(server: Any, parent: int) -> None:
    server.start()
    while not server.should_stop() and os.getppid() == parent:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    server.stop()


def _import_http_server() -> Any:
    """Paddle's server, without the http.log that importing it leaves behind."""
    handler = logging.FileHandler
    setattr(logging, "FileHandler", lambda *_, **__: logging.NullHandler())  # noqa: B010
    try:
        return importlib.import_module("paddle.distributed.fleet.utils.http_server")
    finally:
        setattr(logging, "FileHandler", handler)  # noqa: B010


def _wait_for_first(place: Place, end: float) -> None:
    """Wait until process 0 listens."""
    while True:
        try:
            socket.create_connection(host_and_port(place.endpoints[0]), timeout=2).close()
            return
        except OSError as error:
            if time.monotonic() > end:
                raise TrainingError(
                    f"process {place.rank} of {place.size} cannot reach process 0 at {place.endpoints[0]}:"
                    f" {error.strerror or error}; its output says whether it has started."
                ) from error
            time.sleep(_SECONDS_BETWEEN_LOOKS)


def _interface(host: str) -> str:
    """The network interface that has the address of `host`; "", the one of this machine's name, without."""
    address = socket.gethostbyname(host)
    if ipaddress.ip_address(address).is_loopback:
        return "lo"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for _, name in socket.if_nameindex():
            with suppress(OSError):  # it has no address
                answer = fcntl.ioctl(any_socket, _SIOCGIFADDR, struct.pack("256s", name.encode()))
                if socket.inet_ntoa(answer[20:24]) == address:
                    return name
    return ""


def _watch_over_connections() -> None:
    """Let the kernel end connections to machines that have vanished without a word."""
    for number in map(int, os.listdir("/proc/self/fd")):
        with suppress(OSError):  # what the folder was listed by is closed again
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue
            with socket.socket(fileno=os.dup(number)) as connection:
                if connection.family in (socket.AF_INET, socket.AF_INET6):
                    _set_limits(connection)


def _set_limits(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    milliseconds = 1000 * (_SILENCE + _QUESTIONS * _BETWEEN_QUESTIONS)
    for option, value in (
        (socket.TCP_KEEPIDLE, _SILENCE),
        (socket.TCP_KEEPINTVL, _BETWEEN_QUESTIONS),
        (socket.TCP_KEEPCNT, _QUESTIONS),
        (socket.TCP_USER_TIMEOUT, milliseconds),
    ):
        connection.setsockopt(socket.IPPROTO_TCP, option, value)
