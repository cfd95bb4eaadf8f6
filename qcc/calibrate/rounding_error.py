"""The error that quantizing by a scale causes, in closed form, for values that are known by a histogram.

The values of a bin are taken for spread evenly over it, up to the largest that was seen. Q rounds to
multiples of the step scale / max_int, and clips to the scale. The error of all values up to t is then an
integral: over each whole step it is that of |r|**p for r from -1/2 to 1/2 of a step, and the last step adds
a part of it.
"""

from __future__ import annotations

import numpy as np

from qcc.calibrate.histogram import Histogram
from qcc.numerics import max_int

# A bin that the peak cuts to less than this share of its width is taken for a point.
_POINT = 1e-6


def mean_square_error(histogram: Histogram, scales: np.ndarray, bits: int) -> np.ndarray:
    """The mean of (x - Q(x))**2 for each of some scales: float64, as many."""
    return _mean_error(histogram, scales, bits, 2)


def mean_absolute_error(histogram: Histogram, scales: np.ndarray, bits: int) -> np.ndarray:
    """The mean of |x - Q(x)| for each of some scales: float64, as many."""
    return _mean_error(histogram, scales, bits, 1)


def mean_square(histogram: Histogram) -> float:
    """The mean of x**2, with the same assumption."""
    used = np.flatnonzero(histogram.counts)
    lower = used * histogram.width
    upper = np.minimum(lower + histogram.width, histogram.peak)
    # The mean of a square over an interval.
    squares = (upper**2 + upper * lower + lower**2) / 3
    return float(np.dot(histogram.counts[used], squares)) / max(histogram.total, 1)


def _mean_error(histogram: Histogram, scales: np.ndarray, bits: int, power: int) -> np.ndarray:
    used = np.flatnonzero(histogram.counts)
    if not used.size:
        return np.zeros(len(scales))
    # Pixels have few values, and other data does not fill all bins.
    lower = used * histogram.width
    upper = np.minimum(lower + histogram.width, histogram.peak)
    counts = histogram.counts[used]
    narrow = upper - lower <= _POINT * histogram.width
    steps = np.asarray(scales, np.float64) / max_int(bits)
    sums = [
        float(np.dot(counts, np.where(narrow, _at(upper, step, bits, power), spread)))
        for step, spread in ((step, _spread(lower, upper, step, bits, power)) for step in steps)
    ]
    return np.array(sums) / histogram.total


def _at(values: np.ndarray, step: float, bits: int, power: int) -> np.ndarray:
    """The error of single values."""
    rounded = np.minimum(np.floor(values / step + 0.5), max_int(bits)) * step
    return np.abs(values - rounded) ** power


def _spread(lower: np.ndarray, upper: np.ndarray, step: float, bits: int, power: int) -> np.ndarray:
    """The mean error of values spread from `lower` to `upper`; without meaning where they are equal."""
    area = _integral(upper, step, bits, power) - _integral(lower, step, bits, power)
    return area / np.maximum(upper - lower, np.finfo(np.float64).tiny)


def _integral(values: np.ndarray, step: float, bits: int, power: int) -> np.ndarray:
    """The integral of the error from 0 to each value."""
    scaled = values / step
    whole = np.minimum(np.floor(scaled + 0.5), max_int(bits))
    rest = scaled - whole
    if power == 2:
        return step**3 * (whole / 12 + rest**3 / 3)
    return step**2 * (whole / 4 + rest * np.abs(rest) / 2)
