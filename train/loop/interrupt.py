"""Turning Ctrl-C and a polite kill into a wish that the training loop grants after the batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from threading import current_thread, main_thread

from qcc.interrupts import StopRequest


class Interrupted(Exception):
    """Training was asked to stop and has; everything needed to go on is saved."""


@contextmanager
def interruptible() -> Iterator[StopRequest]:
    """For what is called from a script: Ctrl-C lets the batch be finished, and is raised as KeyboardInterrupt
    when everything is kept."""
    stop = StopRequest()
    # Python lets the main thread alone listen to signals.
    listening = stop.listening() if current_thread() is main_thread() else nullcontext()
    try:
        with listening:
            yield stop
    except Interrupted:
        raise KeyboardInterrupt from None
