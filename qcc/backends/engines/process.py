"""A process that is started to run the code of others, and how it ended."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import IO, Any

from qcc.backends.engines.patience import Hung, await_answer
from qcc.backends.engines.wire import Arrays, Closed, receive
from qcc.failures import signal_name
from qcc.forked import Copy

# As isolated as can be, and yet with the modules of this process. A Ctrl-C, which goes to all processes of a
# terminal, is for the one that started this; when that ends, this one does.
_START = (
    "import json, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN);"
    " sys.path[:] = json.loads(sys.argv.pop(1));"
    " from importlib import import_module; import_module(sys.argv.pop(1)).main()"
)
_SHOWN = 400

LAST_SECONDS = 10.0
"""That a process which crashes may take to end, since the system may write a core file."""


class Process:
    """A `child` of this process at the other end of `connection`, which prints to `words`."""

    def __init__(
        self, connection: socket.socket, child: subprocess.Popen[bytes] | Copy, words: IO[bytes]
    ) -> None:
        self.connection, self._child, self._words = connection, child, words
        self._hung: str | None = None

    def receive(self, runs: int = 1) -> tuple[dict[str, Any], Arrays]:
        """Its next message, for which it computes so many runs.  Raises Closed, also where it hung, and was
        ended."""
        try:
            await_answer(self.connection, self._child.pid, runs)
        except Hung as error:
            self._child.kill()
            self._hung = str(error)
            raise Closed from None
        return receive(self.connection)

    def close(self, seconds: float = 0.0) -> None:
        """End the process: its connection, and where it goes on for so many seconds, the process itself. It
        may be at work, of which nobody wants the result any more."""
        self.connection.close()
        self._code_within(seconds)
        self._words.close()

    def died(self, at: str) -> str:
        """How the process ended, once its connection has, at some work, and its last words."""
        how = self._hung or ending(self._code_within(LAST_SECONDS))
        return f"{how} {at}: {last_words(self._words)}"

    def _code_within(self, seconds: float) -> int:
        """Its exit code, as `subprocess` has it, once it has ended, by force where it takes longer."""
        try:
            return self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            self._child.kill()
            return self._child.wait()


def start(module: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Process:
    """Run `main()` of a module in a process of its own. Its first argument is the descriptor of its end of
    the connection; `arguments` follow."""
    connection, theirs = socket.socketpair()
    words = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `Process.close`)
    with theirs:
        command = [sys.executable, "-I", "-c", _START, json.dumps(sys.path), module]
        process = subprocess.Popen(
            [*command, str(theirs.fileno()), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=words,
            pass_fds=[theirs.fileno()],
            env={**os.environ, **(environment or {})},
        )
    return Process(connection, process, words)


def ending(code: int) -> str:
    """A process's exit code in words: "ended with code 1", "was ended by SIGILL"."""
    return f"ended with code {code}" if code >= 0 else f"was ended by {signal_name(-code)}"


def last_words(log: IO[bytes]) -> str:
    """What a process has printed at its end: the lines of level F (fatal), else the last ones."""
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    fatal = [line for line in lines if line.startswith("[F")]
    return " / ".join(fatal or lines[-3:])[-_SHOWN:].rstrip(".") or "it said nothing"
