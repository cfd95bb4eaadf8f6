"""Options of passes that hold numbers for variables, such as "e=-3 0 1"."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from qcc.errors import PassError


def as_entries(numbers: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """The entries of an option, of the numbers for each variable, as `named_numbers` reads them."""
    return tuple(f"{name}={' '.join(map(str, values))}" for name, values in numbers.items())


def named_numbers(entry: str, option: str, form: str, dtype: type[np.number]) -> tuple[str, np.ndarray]:
    """The variable that an entry of an option names, and its numbers, in order.

    Raises PassError, which tells the `form`, for what is not of it or holds a number that is not finite.
    """
    name, mark, text = entry.rpartition("=")
    number = int if np.issubdtype(dtype, np.integer) else float
    try:
        with np.errstate(over="ignore"):
            numbers = np.array([number(word) for word in text.split()]).astype(dtype)
    except (ValueError, OverflowError):
        mark = ""
    if not mark or not name or not numbers.size or not np.isfinite(numbers).all():
        raise PassError(f"{entry!r} in {option} is not of the form {form}.")
    return name, numbers
