"""What Ctrl-C and SIGTERM do to the program `qcc` while nothing is at stake: at its start.

Imports next to nothing: until `end_at_once` is called, Python answers Ctrl-C with a traceback.
"""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False  # as in `typing`, which takes its time
if TYPE_CHECKING:
    from types import FrameType

INTERRUPTED_EXIT_CODE = 130
"""What a process ends with that was interrupted: nothing is lost, and the same command goes on."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def open_standard_streams() -> None:
    """Let those that are closed lead nowhere: otherwise the first files that are opened would take their
    numbers, and what libraries print would be written into them."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free


def end_at_once() -> None:
    """Let Ctrl-C and SIGTERM, where they are not ignored, end the program `qcc` there and then: it has done
    nothing yet, and imports make something else of a KeyboardInterrupt."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)


def end(number: int, frame: FrameType | None) -> None:
    """The handler that does so."""
    os.write(2, b"qcc: interrupted\n")
    os._exit(INTERRUPTED_EXIT_CODE)
