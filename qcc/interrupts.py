"""Ctrl-C and a polite kill, where they must wait."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType

from qcc.starting import INTERRUPTED_EXIT_CODE, SIGNALS, end

__all__ = ["INTERRUPTED_EXIT_CODE", "StopRequest", "Stopped", "importing", "started"]


class Stopped(Exception):
    """Long work was asked to stop, and has; what was done is kept."""


class StopRequest:
    """`requested` turns true with the first signal; the second one has its usual effect."""

    def __init__(self) -> None:
        self.requested = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Catch SIGINT and SIGTERM inside the block. Only for the main thread.

        What is ignored stays so: a shell lets what a script starts in the background ignore SIGINT."""
        handlers = {number: signal.getsignal(number) for number in SIGNALS}
        previous = {number: one for number, one in handlers.items() if one is not signal.SIG_IGN}

        def note(number: int, _frame: FrameType | None) -> None:
            self.requested = True
            signal.signal(number, previous[signal.Signals(number)])

        for number in previous:
            signal.signal(number, note)
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


# ---------------------------------------------------------------------- the program, and what it imports


def started() -> None:
    """Let Ctrl-C and SIGTERM be a KeyboardInterrupt from now on, in the program `qcc`."""
    for number in SIGNALS:
        if signal.getsignal(number) is end:
            signal.signal(number, _interrupt)


@contextmanager
def importing() -> Iterator[None]:
    """For an import whose C++ code calls Python and says of a KeyboardInterrupt that nothing can be imported:
    Ctrl-C ends the program `qcc`; elsewhere it is a KeyboardInterrupt at the end of the block."""
    if current_thread() is not main_thread():  # which alone is interrupted
        yield
        return
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    stop = StopRequest()
    try:
        with stop.listening():
            for number in SIGNALS:
                if handlers[number] in (end, _interrupt):
                    signal.signal(number, end)
            yield
    finally:
        if stop.requested:
            raise KeyboardInterrupt


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
