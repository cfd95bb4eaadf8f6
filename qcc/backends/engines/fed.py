"""What a model in an engine is fed with, held against what it takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from qcc.errors import QccError

_NUMBERS = "biuf"
"""Kinds of elements, in numpy's letters."""


def fed(
    names: Iterable[str],
    dtypes: Mapping[str, np.dtype],
    inputs: Mapping[str, np.ndarray],
    kind: type[QccError],
) -> dict[str, np.ndarray]:
    """The inputs by these names as arrays; of a list or a number numpy makes one, as Paddle's executor does.

    `dtypes`: what the model takes, where it is known. Raises an error of a kind for an array of other
    elements, and for what is no array of numbers: engines read the bytes of these as if they were the
    model's, or convert them, or end.
    """
    return {name: _fed(name, dtypes.get(name), inputs[name], kind) for name in names}


def fits(given: tuple[int, ...], declared: tuple[int, ...]) -> bool:
    """Whether a shape is one of those that are declared, with -1 for lengths that are open."""
    return len(given) == len(declared) and all(
        length in (-1, one) for one, length in zip(given, declared, strict=True)
    )


def _fed(name: str, dtype: np.dtype | None, value: object, kind: type[QccError]) -> np.ndarray:
    wanted = "numbers" if dtype is None else dtype.name
    if not isinstance(value, np.ndarray):
        try:
            value = np.asarray(value, dtype)
        except (TypeError, ValueError, OverflowError) as error:
            raise kind(
                f"{name!r} is a {type(value).__name__} of which numpy makes no array of {wanted}:"
                f" {str(error).rstrip('.')}."
            ) from error
    # The order of bytes is not what an array holds.
    given = value.dtype.newbyteorder("=")
    if given != dtype if dtype is not None else given.kind not in _NUMBERS:
        right = "an array of these" if dtype is None else f"`.astype({wanted!r})`"
        raise kind(f"{name!r} is {given}, and the model is fed with {wanted}: give it {right}.")
    return value
