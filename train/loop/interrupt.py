"""Turning Ctrl-C and a polite kill into a wish that the training loop grants after the batch."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from threading import current_thread, main_thread
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):
    """Training was asked to stop and has; everything needed to go on is saved."""


class StopRequest:
    """`requested` turns true with the first signal; the second one has its usual effect."""

    def __init__(self) -> None:
        self.requested = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Catch SIGINT and SIGTERM inside the block. Only for the main thread."""
        previous = {number: signal.getsignal(number) for number in _SIGNALS}

        def note(number: int, _frame: FrameType | None) -> None:
            self.requested = True
            signal.signal(number, previous[signal.Signals(number)])

        for number in _SIGNALS:
            signal.signal(number, note)
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


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
