"""The options of an operation, as a suite's file has them, each of the type that is asked for."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

_OF_OPENCV = ("nearest", "linear", "cubic", "area", "lanczos")
_INTERPOLATIONS: dict[Any, str] = {
    **dict(enumerate(_OF_OPENCV)),
    **{name: name for name in _OF_OPENCV},
    "bilinear": "linear",
    "bicubic": "cubic",
    "lanczos4": "lanczos",
    "": "linear",
}
Choice = TypeVar("Choice")

# Channels, height and width.
_OF_IMAGE = 3
# Written by suites and of no effect on images, though called much like what is.
_OF_NO_EFFECT = frozenset({"label_padding_value"})
# How like another one a key is that was meant to be that one, of 1.
_NEAR = 0.8


class WrongOption(Exception):
    """What is wrong with an option, in a clause."""


class Options:
    """What an operation asks for is noted, so that a key can be told that is meant to be another one.
    Whatever else stands there is of no effect: suites write down what matters for training alone, too.

    Each method raises WrongOption for a value of another type, and for a missing one without a default. A
    default stands for null and an empty list, too.
    """

    def __init__(self, written: Mapping[str, Any]) -> None:
        self._written = written
        self._asked: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._written

    def says(self, key: str) -> bool:
        """Whether it has a value that Python takes for true, by which suites ask what they were given."""
        return bool(self.get(key))

    def get(self, key: str, default: Any = None) -> Any:
        self._asked.add(key)
        return self._written.get(key, default)

    def __getitem__(self, key: str) -> Any:
        self._asked.add(key)
        if key not in self._written:
            self.check_spelling()
            raise WrongOption(f"key '{key}' is missing")
        return self._written[key]

    def _or_default(self, key: str, default: Any) -> Any:
        if default is None:
            return self[key]
        value = self.get(key)
        return default if value is None or value == [] else value

    def flag(self, key: str, default: bool) -> bool:
        value = self._or_default(key, default)
        if not isinstance(value, bool | int) or value not in (0, 1):
            raise _wrong(key, value, "true or false")
        return bool(value)

    def whole(self, key: str, default: int | None = None) -> int:
        """A whole number; a default stands for 0, too."""
        return _whole(key, self._or_default(key, default)) or default or 0

    def pair(self, key: str, default: int | None = None, *, behind_channels: bool = False) -> list[int]:
        """A size of two, or one for both; `behind_channels`: these may stand in front."""
        size = self._or_default(key, default)
        sides = size if isinstance(size, list) else [size, size]
        if len(sides) == _OF_IMAGE and behind_channels:
            sides = sides[1:]
        if len(sides) != 2:
            raise _wrong(key, size, "one size, or two")
        return [_whole(key, side) for side in sides]

    def turned(self, key: str, default: int | None = None) -> list[int]:
        """Height and width of a size that is written as width and height."""
        return self.pair(key, default)[::-1]

    def floats(self, key: str, default: Any = None) -> list[float]:
        """A number for each channel, or one for all."""
        value = self._or_default(key, default)
        return [_number(key, one) for one in (value if isinstance(value, list) else [value])]

    def interpolated(self, key: str, default: Any = None) -> dict[str, Any]:
        """The option of a step; none where nothing is said."""
        value = self.get(key, default)
        if value is None:
            return {}
        return {"interpolation": _INTERPOLATIONS[_one_of(key, value, _INTERPOLATIONS)]}

    def number(self, key: str, default: float) -> float:
        return _number(key, self._or_default(key, default))

    def fraction(self, key: str, default: float) -> float:
        """A number, or a fraction as text: "1./255."."""
        value = self._or_default(key, default)
        parts = value.split("/", 1) if isinstance(value, str) else [value]
        above, *below = (_number(key, part) for part in parts)
        if 0 in below:
            raise _wrong(key, value, "a number")
        return above / below[0] if below else above

    def choice(self, key: str, known: Mapping[Any, Choice], default: Any) -> Choice:
        """What one of some words or numbers stands for."""
        value = self._or_default(key, default)
        return known[_one_of(key, value, known)]

    def check_spelling(self) -> None:
        """Raise WrongOption for a key that nobody asked for, and that is like one that was, and is absent."""
        absent = {key.lower(): key for key in sorted(self._asked - self._written.keys())}
        for key in sorted(self._written.keys() - self._asked - _OF_NO_EFFECT):
            near = difflib.get_close_matches(key.lower(), absent, n=1, cutoff=_NEAR)
            if near:
                raise WrongOption(f"key '{key}' is unknown, and much like '{absent[near[0]]}'")


def _wrong(key: str, value: Any, wanted: str) -> WrongOption:
    return WrongOption(f"{key} should be {wanted}, not {value!r}")


def _one_of(key: str, value: Any, known: Collection[Any]) -> Any:
    word = value.lower() if isinstance(value, str) else value
    if isinstance(word, bool | list | dict) or word not in known:
        raise _wrong(key, value, "one of " + ", ".join(str(one) for one in known if one != ""))
    return word


def _whole(key: str, value: Any) -> int:
    if not isinstance(value, int | float) or isinstance(value, bool) or value % 1 != 0:
        raise _wrong(key, value, "a whole number")
    return int(value)


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool | list | dict):
        raise _wrong(key, value, "a number")
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise _wrong(key, value, "a number") from error
