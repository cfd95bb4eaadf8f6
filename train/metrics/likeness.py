"""How much a network computes what another one does."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

_LEAST = 1e-12


def in_decibels(noise: float) -> float:
    """The signal-to-noise ratio, 120 dB at most, of a sum of squared differences relative to the sum of
    squares."""
    return -10 * math.log10(max(noise, _LEAST))


class Likeness:
    """Gathers over batches, for outputs of the given `names`, of which `classes` hold scores along the last
    axis."""

    def __init__(self, names: Sequence[str], classes: Collection[str]) -> None:
        self._names, self._classes = tuple(names), frozenset(classes)
        self._noise, self._signal = np.zeros(len(names)), np.zeros(len(names))
        self._same = self._rows = 0

    def update(self, found: Sequence[NDArray[np.float32]], wanted: Sequence[NDArray[np.float32]]) -> None:
        """One batch: an array for each name, and the one that was wanted in its place."""
        for index, (name, one, other) in enumerate(zip(self._names, found, wanted, strict=True)):
            self._noise[index] += np.sum(np.square(one - other, dtype=np.float64))
            self._signal[index] += np.sum(np.square(other, dtype=np.float64))
            if name in self._classes:
                same = one.argmax(-1) == other.argmax(-1)
                self._same, self._rows = self._same + int(same.sum()), self._rows + same.size

    def result(self) -> dict[str, float]:
        """`snr`: the signal-to-noise ratio, 10 log10(sum of squares / sum of squared differences) in dB, the
        mean over the outputs; `same_class`: the share of rows whose largest score stands in the same place,
        where there are any."""
        ratios = [
            in_decibels(noise / max(signal, _LEAST))
            for noise, signal in zip(self._noise, self._signal, strict=True)
        ]
        result = {"snr": float(np.mean(ratios))}
        if self._rows:
            result["same_class"] = self._same / self._rows
        return result
