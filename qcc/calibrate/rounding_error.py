"""The error that quantizing by a scale causes, in closed form, for values that are known by a histogram.

The values of a bin are taken for spread evenly over it, up to the largest that was seen. Q rounds to
multiples of the step scale / max_int, and clips to the scale. The error of all values up to t is then an
integral: over each whole step it is that of |r|**p for r from -1/2 to 1/2 of a step, and the last step adds a
part of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qcc.calibrate.histogram import Histogram
from qcc.numerics import max_int

# A bin that the peak cuts to less than this share of its width is taken for a point.
_POINT = 1e-6


@dataclass(frozen=True)
class Weighed:
    """Counts, each times how much its values matter, of the bins that have any: float64 [bins] from `lower`
    to `upper` each; `narrow`: bins that are points."""

    counts: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    narrow: np.ndarray

    @staticmethod
    def of(histogram: Histogram, weights: np.ndarray) -> Weighed:
        """A histogram, with how much the values of each row matter: float64 [rows]."""
        counts = weights @ histogram.counts[:, 1:]
        used = np.flatnonzero(counts)
        upper = np.minimum((used + 1) * histogram.width, histogram.peak)
        lower = upper if histogram.is_constant else used * histogram.width
        return Weighed(counts[used], lower, upper, upper - lower <= _POINT * histogram.width)

    def squares(self) -> float:
        """The sum of x**2."""
        # The mean of a square over an interval.
        return float(np.dot(self.counts, (self.upper**2 + self.upper * self.lower + self.lower**2) / 3))

    def square_errors(self, scales: np.ndarray, bits: int) -> np.ndarray:
        """The sum of (x - Q(x))**2 for each of some scales: float64, as many."""
        return np.array([self._error(scale / max_int(bits), bits, 2) for scale in scales])

    def absolute_errors(self, scales: np.ndarray, bits: int) -> np.ndarray:
        """The sum of |x - Q(x)| for each of some scales: float64, as many."""
        return np.array([self._error(scale / max_int(bits), bits, 1) for scale in scales])

    def _error(self, step: float, bits: int, power: int) -> float:
        area = _integral(self.upper, step, bits, power) - _integral(self.lower, step, bits, power)
        spread = area / np.where(self.narrow, 1.0, self.upper - self.lower)
        points = _at(self.upper, step, bits, power) if self.narrow.any() else 0.0
        return float(np.dot(self.counts, np.where(self.narrow, points, spread)))


def _at(values: np.ndarray, step: float, bits: int, power: int) -> np.ndarray:
    """The error of single values."""
    rounded = np.minimum(np.floor(values / step + 0.5), max_int(bits)) * step
    return np.abs(values - rounded) ** power


def _integral(values: np.ndarray, step: float, bits: int, power: int) -> np.ndarray:
    """The integral of the error from 0 to each value."""
    scaled = values / step
    whole = np.minimum(np.floor(scaled + 0.5), max_int(bits))
    rest = scaled - whole
    if power == 2:
        return step**3 * (whole / 12 + rest**3 / 3)
    return step**2 * (whole / 4 + rest * np.abs(rest) / 2)
