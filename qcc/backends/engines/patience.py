"""How long the process of an engine may take for an answer, before it counts as hung."""

from __future__ import annotations

import select
import socket
from pathlib import Path

IDLE = 10 * 60
"""Seconds without any processor time, as in a deadlock: what computes, loads or waits for a disk uses some at
least now and then, however busy the machine is."""

BUSY = 2 * 60 * 60
"""Seconds for each run, as of a loop that never ends, which cannot be told from a long one: loading, building
or running a large network on a busy machine takes minutes."""

LOOK = 5.0
"""Seconds from one look to the next."""


class Hung(Exception):
    """A process is not waited for any more; the message says why, as in "hung and was ended after ..."."""


def await_answer(connection: socket.socket, number: int, runs: int = 1) -> None:
    """Wait until there is something to read of a process, or its end.

    `number` is that of the process.  Raises Hung when it uses no processor time for `IDLE` seconds, or takes
    more than `BUSY` for each of `runs`.
    """
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    idle = waited = 0.0
    before = _processor_time(number)
    # By the number of looks and not by a clock, which goes on while a shell has stopped both processes.
    while not poll.poll(LOOK * 1000):
        now = _processor_time(number)
        idle = idle + LOOK if now is not None and now == before else 0.0
        waited, before = waited + LOOK, now
        if idle >= IDLE:
            raise Hung(f"hung and was ended after {IDLE // 60} minutes without any work")
        if waited >= BUSY * runs:
            raise Hung(f"hung and was ended after {BUSY * runs // 3600} hours of work without an end")


def _processor_time(number: int) -> tuple[str, ...] | None:
    """What a process has used so far, in user mode and in the system's; None where no /proc tells it."""
    try:
        told = Path(f"/proc/{number}/stat").read_text()
    except OSError:
        return None
    # Behind the name, which may hold anything: `utime` and `stime` of all threads (man 5 proc).
    return tuple(told.rpartition(")")[2].split()[11:13])
