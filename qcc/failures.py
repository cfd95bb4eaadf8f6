"""What failures of C++ code are in words: Paddle's errors, and the signals that end a process."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence

PADDLE_FAILURES = (RuntimeError, ValueError, IndexError, MemoryError, SystemError, OSError)
"""By kind of error (`pybind/exception.cc`)."""


def signal_name(number: int) -> str:
    """What a signal is called: "SIGILL", or "signal 35" of those that are only numbers, as real-time ones."""
    return {int(one): one.name for one in signal.Signals}.get(number, f"signal {number}")


def reason(error: BaseException) -> str:
    """The one line of a Paddle error that says what went wrong, and in which op."""
    text = str(error)
    lines: Sequence[str] = [line.strip() for line in text.splitlines() if line.strip()]
    said = next((line for line in lines if re.match(r"\((\w+)\) ", line) or "Error: " in line), "")
    operator = re.search(r"\[operator < (\w+) > error\]", text)
    said = re.sub(r"\s*\(at [^)]*\)\s*$", "", said or (lines[0] if lines else type(error).__name__))
    return said + (f" [op {operator.group(1)}]" if operator else "")
