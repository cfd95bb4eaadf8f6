"""Which version of a variable an op reads or writes: `w` is the first, `w#1` what overwrites it.

The same rule as in `IrGraph`: the first op that touches a variable reads, or writes, version 0.
"""

from __future__ import annotations

from collections.abc import Iterable

from qcc.ir.nodes import EMPTY_NAME


class Versions:
    """Counts the versions of a block's variables, op after op."""

    def __init__(self) -> None:
        self._current: dict[str, int] = {}

    def read(self, names: Iterable[str]) -> dict[str, int]:
        """The versions that an op's inputs are."""
        return {name: self._current.setdefault(name, 0) for name in names}

    def write(self, names: Iterable[str]) -> dict[str, int]:
        """The versions that an op's outputs become; to call after `read` for the same op."""
        for name in set(names) - {EMPTY_NAME}:
            self._current[name] = self._current.get(name, -1) + 1
        return {name: self._current.get(name, 0) for name in names}
