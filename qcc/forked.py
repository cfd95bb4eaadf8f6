"""A copy of the program `qcc` that has Paddle imported, and has done nothing with it yet.

Models run in processes of their own (`backends.engines.paddle`), and Paddle's import takes two seconds of
processor time. So the program `qcc`, which imports Paddle in any case, forks a copy right then, and that copy
serves. Who uses qcc as a library gets no process that nobody asked for.
"""

from __future__ import annotations

import atexit
import gc
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import IO, NoReturn

from qcc.starting import SIGNALS

_SERVER = "qcc.backends.engines.paddle_worker"
_PAUSE = 0.01


@dataclass
class Copy:
    """The process `pid`, child of `owner`, which takes orders on `connection` and prints to `words`; ended
    and waited for as those of `subprocess` are."""

    connection: socket.socket
    pid: int
    owner: int
    words: IO[bytes]
    _code: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, as `subprocess` has it, once it has ended.  Raises subprocess.TimeoutExpired when it
        has not within so many seconds."""
        if self._code is None:
            self._code = exit_code(self.pid, math.inf if timeout is None else timeout)
        if self._code is None:
            raise subprocess.TimeoutExpired("qcc", timeout or 0.0)
        return self._code

    def kill(self) -> None:
        """End it by force."""
        if self._code is None:
            os.kill(self.pid, signal.SIGKILL)


def exit_code(child: int, seconds: float) -> int | None:
    """How a child of this process has ended, as `subprocess` has it; None where it has not within so many
    seconds."""
    deadline = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= deadline:
            return None
        time.sleep(_PAUSE)


_wanted = False
_copy: Copy | None = None


def want_copy() -> None:
    """Let the import of Paddle leave a copy."""
    global _wanted
    _wanted = True


def take_copy() -> Copy | None:
    """The copy, to whoever asks first."""
    global _copy
    found, _copy = _copy, None
    return found if found is not None and found.owner == os.getpid() else None


def leave_copy() -> None:
    """Make the copy where one is wanted: to be called once Paddle is imported, before it is used."""
    global _copy, _wanted
    if not _wanted:
        return
    _wanted = False
    connection, theirs = socket.socketpair()
    words = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the connection)
    # Ctrl-C reaches both processes of a terminal, and the copy has the handlers of the original at first.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    number = os.fork()
    if not number:
        _serve(theirs, words.fileno(), before)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    theirs.close()
    _copy = Copy(connection, number, os.getpid(), words)
    atexit.register(_end_copy)


def _end_copy() -> None:
    """End a copy that nobody has used."""
    found = take_copy()
    if found is not None:
        found.connection.close()
        found.words.close()
        found.kill()
        found.wait()


def _serve(connection: socket.socket, words: int, mask: set[int | signal.Signals]) -> NoReturn:
    served = False
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        # What the original has opened is not held open, and what it throws away is not cleaned up twice.
        gc.freeze()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(words, 1)
        os.dup2(words, 2)
        os.closerange(3, connection.fileno())
        os.closerange(connection.fileno() + 1, os.sysconf("SC_OPEN_MAX"))
        import_module(_SERVER).serve(connection)
        served = True
    finally:
        if not served:
            sys.excepthook(*sys.exc_info())
            with suppress(OSError):
                sys.stderr.flush()
        os._exit(0 if served else 1)
