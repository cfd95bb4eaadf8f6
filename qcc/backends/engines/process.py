"""A process that is started to run the code of others, and how it ended."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from typing import IO

# As isolated as can be, and yet with the modules of this process. A Ctrl-C, which goes to all processes of a
# terminal, is for the one that started this; when that ends, this one does.
_START = (
    "import json, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN);"
    " sys.path[:] = json.loads(sys.argv.pop(1));"
    " from importlib import import_module; import_module(sys.argv.pop(1)).main()"
)
_SHOWN = 400


class Process:
    """A process at the other end of `connection`, which prints to `words`; `wait` gives its exit code, as
    `subprocess` has it, once it has ended."""

    def __init__(self, connection: socket.socket, wait: Callable[[], int], words: IO[bytes]) -> None:
        self.connection, self._wait, self._words = connection, wait, words

    def close(self) -> None:
        """Let the process end, by its connection's end."""
        self.connection.close()
        self._wait()
        self._words.close()

    def died(self, at: str) -> str:
        """How the process ended, once its connection has, at some work, and its last words."""
        return f"{ending(self._wait())} {at}: {last_words(self._words)}"


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
    return Process(connection, process.wait, words)


def ending(code: int) -> str:
    """A process's exit code in words: "ended with code 1", "was ended by SIGILL"."""
    return f"ended with code {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"


def last_words(log: IO[bytes]) -> str:
    """What a process has printed at its end: the lines of level F (fatal), else the last ones."""
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    fatal = [line for line in lines if line.startswith("[F")]
    return " / ".join(fatal or lines[-3:])[-_SHOWN:].rstrip(".") or "it said nothing"
