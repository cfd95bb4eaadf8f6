"""How much a network computes what another one does."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from qcc.numerics import decibels

_LEAST = 1e-12


def sure(count: int) -> float:
    """Standard errors by which the mean of so many numbers, two at least, has to differ from zero: 2 for
    many, and more for few, whose standard error may be small by chance.

    By Fisher's expansion of Student's distribution (Abramowitz and Stegun, 26.7.5), which for two numbers
    gives 10.4 instead of 14.0, and for three 4.4 instead of 4.5.
    """
    freedom = count - 1
    return 2 + 2.5 / freedom + 3.06 / freedom**2 + 2.86 / freedom**3


def in_decibels(noise: float) -> float:
    """The signal-to-noise ratio, 120 dB at most, of a sum of squared differences relative to the sum of
    squares."""
    return decibels(1.0, max(noise, _LEAST))


class Likeness:
    """Gathers over batches, for outputs of the given `names`, of which `classes` hold scores along the last
    axis. `ratios`: the signal-to-noise ratio of each sample and output so far, in dB; `samples`: of each
    sample the mean of its outputs' ratios."""

    def __init__(self, names: Sequence[str], classes: Collection[str]) -> None:
        self._names, self._classes = tuple(names), frozenset(classes)
        self.ratios: list[float] = []
        self.samples: list[float] = []
        self._same = self._rows = 0

    def update(self, found: Sequence[NDArray[np.float32]], wanted: Sequence[NDArray[np.float32]]) -> None:
        """One batch: an array for each name, and the one that was wanted in its place."""
        # Outputs may have several rows of a sample each.
        count = math.gcd(*map(len, wanted))
        means = np.zeros(count)
        for name, one, other in zip(self._names, found, wanted, strict=True):
            samples = [np.reshape(array, (len(array), -1)) for array in (one - other, other)]
            noise, signal = (np.square(array, dtype=np.float64).sum(1) for array in samples)
            ratios = list(map(in_decibels, noise / np.maximum(signal, _LEAST)))
            self.ratios += ratios
            means += np.reshape(ratios, (count, -1)).mean(1) / len(self._names)
            if name in self._classes:
                same = one.argmax(-1) == other.argmax(-1)
                self._same, self._rows = self._same + int(same.sum()), self._rows + same.size
        self.samples += means.tolist()

    def result(self) -> dict[str, float]:
        """`snr`: the signal-to-noise ratio, 10 log10(sum of squares / sum of squared differences) in dB, the
        mean over samples and outputs, so that no single sample decides; `same_class`: the share of rows whose
        largest score stands in the same place, where there are any."""
        result = {"snr": float(np.mean(self.ratios))}
        if self._rows:
            result["same_class"] = self._same / self._rows
        return result

    def beats(self, other: Likeness) -> bool:
        """Whether this is better than another one on the same data, for sure: the mean gain of the ratios is
        above its standard error by the factor `sure`, and not fewer rows have the same class. Outputs of one
        sample, such as what goes into a softmax and what comes out, tell the same, so that samples are
        counted. Of one alone nothing is sure."""
        gains = np.array(self.samples) - np.array(other.samples)
        if gains.size < 2:
            return False
        error = gains.std(ddof=1) / math.sqrt(gains.size)
        return bool(self._same >= other._same and gains.mean() > sure(gains.size) * error)
