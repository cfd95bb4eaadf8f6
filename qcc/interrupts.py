"""Ctrl-C and a polite kill, where they must wait."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType

INTERRUPTED_EXIT_CODE = 130
"""What a process ends with that was interrupted: nothing is lost, and the same command goes on."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


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
        handlers = {number: signal.getsignal(number) for number in _SIGNALS}
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


def starting() -> None:
    """Let Ctrl-C and SIGTERM, where they are not ignored, end the program `qcc` there and then: it has done
    nothing yet, and imports make something else of a KeyboardInterrupt."""
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)


def started() -> None:
    """Let them be a KeyboardInterrupt from now on."""
    for number in _SIGNALS:
        if signal.getsignal(number) is _end:
            signal.signal(number, _interrupt)


@contextmanager
def importing() -> Iterator[None]:
    """For an import whose C++ code calls Python and says of a KeyboardInterrupt that nothing can be imported:
    Ctrl-C ends the program `qcc`; elsewhere it is a KeyboardInterrupt at the end of the block."""
    if current_thread() is not main_thread():  # which alone is interrupted
        yield
        return
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    stop = StopRequest()
    try:
        with stop.listening():
            for number in _SIGNALS:
                if handlers[number] in (_end, _interrupt):
                    signal.signal(number, _end)
            yield
    finally:
        if stop.requested:
            raise KeyboardInterrupt


def _end(number: int, frame: FrameType | None) -> None:
    os.write(2, b"qcc: interrupted\n")
    os._exit(INTERRUPTED_EXIT_CODE)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
