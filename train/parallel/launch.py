"""Running one command in several processes of this machine, and watching over them."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from qcc.errors import OutputError, TrainingError
from qcc.failures import signal_name
from qcc.starting import INTERRUPTED_EXIT_CODE, SIGNALS
from qcc.train.parallel.environment import Place, gpu_variable

_SECONDS_BETWEEN_LOOKS = 0.1
WATCHED = "QCC_WATCHED"


@dataclass(frozen=True)
class _Worker:
    """A process; the first one writes to the terminal, each other to its `log`."""

    rank: int
    process: subprocess.Popen[bytes]
    log: Path | None

    def kill(self) -> None:
        """End it and all that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()


def launch(command: Sequence[str], count: int, logs: Path) -> int:
    """Run `command` in `count` processes that train together; returns its exit code when all have ended.

    Output of all but the first goes to files workerlog.N in `logs`. SIGINT and SIGTERM are passed on. Raises
    TrainingError, with the log named, when a process ends otherwise than it should, after ending the others.
    """
    endpoints = tuple(f"127.0.0.1:{port}" for port in _free_ports(count))
    workers: list[_Worker] = []
    try:
        with _passing_signals_on(workers):
            for rank in range(count):
                workers.append(_start(command, Place(rank, count, endpoints), logs))
            return _watch(workers)
    finally:
        for worker in workers:
            worker.kill()


def _start(command: Sequence[str], place: Place, logs: Path) -> _Worker:
    threads = max(1, len(os.sched_getaffinity(0)) // place.size)
    environment = {
        "OMP_NUM_THREADS": str(threads),
        **os.environ,
        **place.variables(),
        **gpu_variable(place.rank),
        WATCHED: "1",
    }
    log = None if place.rank == 0 else logs / f"workerlog.{place.rank}"
    with contextlib.ExitStack() as stack:
        output = None
        if log is not None:
            try:
                logs.mkdir(parents=True, exist_ok=True)
                output = stack.enter_context(open(log, "wb"))
            except OSError as error:
                raise OutputError(f"{log} cannot be written: {error.strerror}.") from error
        # In a session of its own, Ctrl-C does not reach it twice. Its input ends when this process does.
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=None if output is None else subprocess.STDOUT,
            start_new_session=True,
        )
    return _Worker(place.rank, process, log)


@contextlib.contextmanager
def _passing_signals_on(workers: Sequence[_Worker]) -> Iterator[None]:
    def pass_on(number: int, _frame: FrameType | None) -> None:
        for worker in workers:
            if worker.process.poll() is None:
                worker.process.send_signal(number)

    previous = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        for number, handler in previous.items():
            # What is ignored stays so, in the processes, too, as for who trains in one alone.
            if handler is not signal.SIG_IGN:
                signal.signal(number, pass_on)
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _watch(workers: Sequence[_Worker]) -> int:
    """Wait for the end of all; returns their common exit code."""
    while True:
        codes = [worker.process.poll() for worker in workers]
        dead = [
            (code, worker)
            for worker, code in zip(workers, codes, strict=True)
            if code is not None and code not in (0, INTERRUPTED_EXIT_CODE)
        ]
        if dead:
            # Process 0 tells itself when it ends because another one has; one that was killed tells nothing.
            code, worker = min(dead, key=lambda pair: (pair[0] > 0, pair[1].rank == 0))
            raise TrainingError(_obituary(worker, code, len(workers)))
        if None not in codes:
            return max(code or 0 for code in codes)
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def _obituary(worker: _Worker, code: int, count: int) -> str:
    how = f"ended with exit code {code}" if code > 0 else f"was ended by {signal_name(-code)}"
    if worker.log is None:
        return f"process 0 of {count} {how}, and the others were ended; what it said stands above."
    lines = worker.log.read_text(errors="replace").strip().splitlines()
    said = f' saying "{lines[-1]}"' if lines else ""
    return (
        f"process {worker.rank} of {count} {how}{said}, and the others were ended; its log is {worker.log}."
    )


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


# Unlike `-m qcc`, it does not look for qcc in the current folder first, which may hold another version.
_MAIN = "import sys; sys.path = list(filter(None, sys.path)); from qcc.__main__ import main; main()"


def qcc_command(arguments: Sequence[str]) -> list[str]:
    """The command that runs `qcc` with these arguments in a process of its own."""
    return [sys.executable, "-c", _MAIN, *arguments]
