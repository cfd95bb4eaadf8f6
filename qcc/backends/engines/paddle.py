"""Models that Paddle runs in a process of its own; one process serves all of a command."""

from __future__ import annotations

import atexit
import os
import socket
import tempfile
import threading
import weakref
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any

import numpy as np

from qcc.backends.engines.patience import Hung, await_answer
from qcc.backends.engines.process import LAST_SECONDS, Process, ending, last_words, start
from qcc.backends.engines.wire import Arrays, Closed, receive, send
from qcc.errors import PaddleError
from qcc.forked import take_copy


class _Server:
    """The process that has Paddle imported and forks a child for each model; see `paddle_worker.py`."""

    def __init__(self) -> None:
        copy = take_copy()
        self._process = (
            start("qcc.backends.engines.paddle_worker")
            if copy is None
            else Process(copy.connection, copy, copy.words)
        )
        # A process that this one forks must not share its connection.
        self._owner = os.getpid()
        atexit.register(self._close)

    @property
    def usable(self) -> bool:
        """Whether it is there, for this process: at the end it may go before the models that it serves."""
        return self._owner == os.getpid() and self._process.connection.fileno() >= 0

    def start(self, connection: socket.socket, words: IO[bytes]) -> int:
        """Let a child serve a connection; its number."""
        return int(self._order({"do": "start"}, [connection.fileno(), words.fileno()])["child"])

    def end(self, child: int, *, dying: bool = False) -> int:
        """End a child; its exit code, as `subprocess` has it. One that is `dying` ends by itself."""
        return int(self._order({"do": "end", "child": child, "dying": dying}, [])["code"])

    def _close(self) -> None:
        if self.usable:
            self._process.close(LAST_SECONDS)  # in which it ends its children

    def _order(self, order: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
        control = self._process.connection
        try:
            with _ORDERS:
                send(control, order, {})
                if descriptors:
                    socket.send_fds(control, [b"."], descriptors)
                return self._process.receive()[0]
        except (Closed, BrokenPipeError):
            global _server
            _server = None
            words = self._process.died("while it imported Paddle")
            self._process.close()
            raise PaddleError(f"a process of its own for Paddle {words}.") from None


_server: _Server | None = None
# An order and its answer, of one thread at a time.
_ORDERS = threading.RLock()


def _running() -> _Server:
    global _server
    with _ORDERS:
        if _server is None or not _server.usable:
            _server = _Server()
        return _server


class Failed(Exception):
    """Paddle has refused; the message is its reason."""


class Died(Exception):
    """The process has ended; the message says how, as in "was ended by SIGILL"."""


class PaddleProcess:
    """One model in a process of its own, which ends with the object, or by `close`.

    Raises PaddleError when there is no such process: Paddle cannot be imported in one.
    """

    def __init__(self) -> None:
        self._ended: str | None = None
        self._server = _running()
        self._words = tempfile.TemporaryFile()  # noqa: SIM115  (closed when the process ends)
        self._connection, theirs = socket.socketpair()
        try:
            with theirs:
                self._child = self._server.start(theirs, self._words)
        except PaddleError:
            self._connection.close()
            self._words.close()
            raise
        self._finish = weakref.finalize(self, _end, self._server, self._child, self._connection, self._words)

    def ask(
        self, do: str, arrays: Mapping[str, np.ndarray] | None = None, **header: Any
    ) -> tuple[dict[str, Any], Arrays]:
        """Send a request, and return the answer.  Raises Failed, or Died, also where it hung, and was
        ended."""
        if self._ended is not None:
            raise Died(self._ended)
        try:
            send(self._connection, {"do": do, **header}, arrays or {})
            await_answer(self._connection, self._child, header.get("warm_up", 0) + header.get("runs", 1))
            answer, found = receive(self._connection)
        except Hung as error:
            self._finish()
            self._ended = str(error)
            raise Died(self._ended) from None
        except Closed:
            self._ended = self._ending()
            raise Died(self._ended) from None
        if "failed" in answer:
            raise Failed(answer["failed"])
        return answer, found

    def close(self) -> None:
        self._finish()

    def _ending(self) -> str:
        self._finish.detach()
        self._connection.close()
        code = self._server.end(self._child, dying=True)
        with self._words:
            return ending(code) if code < 0 else f"{ending(code)} ({last_words(self._words)})"


def _end(server: _Server, child: int, connection: socket.socket, words: IO[bytes]) -> None:
    connection.close()
    words.close()
    if server.usable:
        with suppress(PaddleError):  # of a server that was killed, no child is left
            server.end(child)
