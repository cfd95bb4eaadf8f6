"""The values of a graph's persistable variables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping

import numpy as np


class Weights(MutableMapping[str, np.ndarray]):
    """Name -> array, copied on write.

    Arrays are read-only. To change a weight, set the name to a new array: other `Weights` that
    share the old one, and the training scope that it came from, do not notice.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray] = {}) -> None:
        self._arrays: dict[str, np.ndarray] = {}
        self.changed: set[str] = set()
        """Names set or deleted since somebody last emptied this set (verification does)."""
        for name, array in arrays.items():
            self[name] = array

    def __getitem__(self, name: str) -> np.ndarray:
        return self._arrays[name]

    def __setitem__(self, name: str, array: np.ndarray) -> None:
        # Row by row, so that a reshape of a copy is a view.
        self.adopt(name, np.array(array, order="C"))

    def adopt(self, name: str, array: np.ndarray) -> None:
        """Set without a copy: the caller gives the array away and does not write to it again."""
        array.flags.writeable = False
        self._arrays[name] = array
        self.changed.add(name)

    def __delitem__(self, name: str) -> None:
        del self._arrays[name]
        self.changed.add(name)

    def __contains__(self, name: object) -> bool:
        return name in self._arrays

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def copy(self) -> Weights:
        """A second mapping over the same (immutable) arrays; costs no array copy."""
        twin = Weights()
        twin._arrays.update(self._arrays)
        twin.changed.update(self.changed)
        return twin

    @property
    def nbytes(self) -> int:
        """Size of all values in bytes."""
        return sum(array.nbytes for array in self._arrays.values())
