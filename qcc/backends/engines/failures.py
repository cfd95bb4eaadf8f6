"""What Paddle's own code raises, told in one line."""

from __future__ import annotations

import re
from collections.abc import Sequence

# What Paddle's C++ errors become in Python (`pybind/exception.cc`), by kind of error.
PADDLE_FAILURES = (RuntimeError, ValueError, IndexError, MemoryError, SystemError, OSError)


def reason(error: BaseException) -> str:
    """The one line of a Paddle error that says what went wrong, and in which op."""
    text = str(error)
    lines: Sequence[str] = [line.strip() for line in text.splitlines() if line.strip()]
    said = next((line for line in lines if re.match(r"\((\w+)\) ", line) or "Error: " in line), "")
    operator = re.search(r"\[operator < (\w+) > error\]", text)
    said = re.sub(r"\s*\(at [^)]*\)\s*$", "", said or (lines[0] if lines else type(error).__name__))
    return said + (f" [op {operator.group(1)}]" if operator else "")
