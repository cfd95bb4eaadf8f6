"""Options of passes that hold numbers for variables, such as "e=-3 0 1"."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from qcc.errors import PassError


def named_numbers(
    entry: str, option: str, form: str, number: Callable[[str], float]
) -> tuple[str, np.ndarray]:
    """The variable that an entry of an option names, and its numbers, in order; `number` reads one.

    Raises PassError, which tells the `form`, for what is not of it or holds a number that is not finite.
    """
    name, mark, text = entry.rpartition("=")
    try:
        numbers = np.array([number(word) for word in text.split()])
    except ValueError:
        mark = ""
    if not mark or not name or not numbers.size or not np.isfinite(numbers).all():
        raise PassError(f"{entry!r} in {option} is not of the form {form}.")
    return name, numbers
