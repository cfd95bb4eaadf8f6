"""Ctrl-C and a polite kill, where they must wait."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from threading import current_thread, main_thread
from types import FrameType, ModuleType

from qcc.starting import SIGNALS, end


class Stopped(Exception):
    """Long work was asked to stop, and has; what was done is kept."""


class StopRequest:
    """`requested` turns true with the first signal; the second one has its usual effect. Whoever stops for it
    and goes on with something else says so by `granted`."""

    def __init__(self) -> None:
        self.requested = False
        self.granted = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Catch SIGINT and SIGTERM inside the block. Only for the main thread. Where the block ends before it
        has seen the request, that is a KeyboardInterrupt then.

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
        if self.requested and not self.granted:
            raise KeyboardInterrupt


# ---------------------------------------------------------------------- the program, and what it imports


def started() -> None:
    """Let Ctrl-C and SIGTERM be a KeyboardInterrupt from now on, in the program `qcc`."""
    for number in SIGNALS:
        if signal.getsignal(number) is end:
            signal.signal(number, _interrupt)


def finished() -> None:
    """Let Ctrl-C and SIGTERM have no effect from now on, in the program `qcc`: all is done, and its exit code
    says how; what is left to do, such as removing temporary files, takes no time."""
    for number in SIGNALS:
        if signal.getsignal(number) in (end, _interrupt):
            signal.signal(number, signal.SIG_IGN)
    # Python remembers a KeyboardInterrupt that left a text that was executed, as dataclasses do, until the
    # next such text, and lets SIGINT end `python -m qcc`, whatever its exit code.
    exec("")


@contextmanager
def importing() -> Iterator[None]:
    """For the import of Paddle, whose C++ code calls Python and says of a KeyboardInterrupt that nothing can
    be imported: Ctrl-C ends the program `qcc`; elsewhere it is a KeyboardInterrupt at the end of the block.

    SIGTERM waits for that end, since Paddle puts a handler of its own in place, which prints a trace."""
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
            with _waiting(signal.SIGTERM):
                yield
    finally:
        if stop.requested:
            raise KeyboardInterrupt


@contextmanager
def _waiting(number: signal.Signals) -> Iterator[None]:
    """Hold a signal back until the end of the block, and give it then to Python's handler, whatever C++ code
    has put in its place.

    This thread alone can be told to hold it back. Where there are others, such as those of numpy, they take
    it: so the handler is put back as soon as a module is looked for, too."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    finder = _HandlerKept(number)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        finder.put_back()
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


class _HandlerKept(MetaPathFinder):
    """Finds no module, and puts Python's handler of a signal back whenever it is asked for one."""

    def __init__(self, number: signal.Signals) -> None:
        self._number = number

    def put_back(self) -> None:
        signal.signal(self._number, signal.getsignal(self._number))

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if current_thread() is main_thread():
            self.put_back()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
