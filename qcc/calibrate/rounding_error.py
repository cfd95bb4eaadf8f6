"""The error that quantizing by a scale causes, in closed form, for values that are known by a histogram.

The values of a bin are taken for spread evenly over it, up to the largest that was seen. Q rounds to
multiples of the step scale / max_int, and clips to the scale. The error of all values up to t is then an
integral: over each whole step it is that of |r|**p for r from -1/2 to 1/2 of a step, and the last step adds a
part of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from qcc.calibrate.histogram import Histogram
from qcc.numerics import max_int

# A bin that the peak cuts to less than this share of its width is taken for a point.
_POINT = 1e-6


@dataclass(frozen=True)
class Weighed:
    """Counts, each times how much its values matter: float64 [bins], from the first that has any to the last;
    the `edges` of these bins: float64 [bins + 1]; `point`: the last one is no more than its upper edge."""

    counts: np.ndarray
    edges: np.ndarray
    point: bool

    @staticmethod
    def of(histogram: Histogram, weights: np.ndarray) -> Weighed:
        """A histogram, with how much the values of each row matter: float64 [rows]."""
        counts = weights @ histogram.counts[:, 1:]
        used = np.flatnonzero(counts)
        if not used.size:
            return Weighed(np.zeros(0), np.zeros(1), point=False)
        first, last = int(used[0]), int(used[-1])
        edges = np.arange(first, last + 2) * histogram.width
        edges[-1] = min(edges[-1], histogram.peak)
        point = histogram.is_constant or edges[-1] - edges[-2] <= _POINT * histogram.width
        return Weighed(counts[first : last + 1], edges, bool(point))

    def squares(self) -> float:
        """The sum of x**2."""
        lower, upper = self.edges[:-1], self.edges[1:]
        # The mean of a square over an interval.
        means = (upper * upper + upper * lower + lower * lower) / 3
        if self.point:
            means[-1] = self.edges[-1] ** 2
        return float(np.dot(self.counts, means))

    def square_errors(self, scales: np.ndarray, bits: int) -> np.ndarray:
        """The sum of (x - Q(x))**2 for each of some scales: float64, as many."""
        return np.array([self._error(scale / max_int(bits), bits, 2) for scale in scales])

    def absolute_errors(self, scales: np.ndarray, bits: int) -> np.ndarray:
        """The sum of |x - Q(x)| for each of some scales: float64, as many."""
        return np.array([self._error(scale / max_int(bits), bits, 1) for scale in scales])

    def _error(self, step: float, bits: int, power: int) -> float:
        if not self.counts.size:
            return 0.0
        means = np.diff(_integral(self.edges, step, bits, power))
        means[:-1] /= self._width
        last = self.edges[-1]
        means[-1] = _at(last, step, bits, power) if self.point else means[-1] / (last - self.edges[-2])
        return float(np.dot(self.counts, means))

    @property
    def _width(self) -> float:
        """Of all bins but the last one, which ends at the peak."""
        return float(self.edges[1] - self.edges[0])


def _at(value: float, step: float, bits: int, power: int) -> float:
    """The error of a single value."""
    rounded = min(math.floor(value / step + 0.5), max_int(bits)) * step
    return abs(value - rounded) ** power


def _integral(values: np.ndarray, step: float, bits: int, power: int) -> np.ndarray:
    """The integral of the error from 0 to each value."""
    scaled = values / step
    whole = np.minimum(np.floor(scaled + 0.5), max_int(bits))
    rest = scaled - whole
    if power == 2:
        # rest**3 would take ten times as long.
        return step**3 * (whole / 12 + rest * rest * rest / 3)
    return step**2 * (whole / 4 + rest * np.abs(rest) / 2)
