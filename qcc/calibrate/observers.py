"""Observers: from what was seen of an activation to the scale that quantizes it.

A scale is the largest magnitude that its integers stand for, as in `qcc.numerics`. All of them are computed
from one collection, so that several can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np

from qcc.calibrate.divergence import kl_threshold
from qcc.calibrate.histogram import Histogram
from qcc.calibrate.rounding_error import Weighed
from qcc.numerics import max_int, usable_scale

Calibrator = Literal["mse", "abs_max", "moving_average", "avg", "percentile", "kl", "emd"]
CALIBRATORS: tuple[Calibrator, ...] = get_args(Calibrator)

MOVING_RATE = 0.9
PERCENTILE = 0.9999
MOST_CLIPPED = 0.1
"""The share of the values that kl may clip at most. Where all but a few bins are clipped, what is left of the
distribution is too little to differ from what it is compared with, and the divergence is 0."""

# The search for the least error: so many fractions of the peak, and each time so many around the best one.
_COARSE, _FINE, _REFINEMENTS = 64, 8, 2


@dataclass(frozen=True)
class Seen:
    """What was seen of an activation.

    `histogram`: of all values, with a row for each part of its channels; `weights`: how much errors of each
    row matter (see `qcc.calibrate.importance`), float64 [rows]; `peaks`: the largest magnitude of each
    batch, float32 [batches], in the order of the data.
    """

    histogram: Histogram
    weights: np.ndarray
    peaks: np.ndarray

    @property
    def zeros(self) -> int:
        """The number of values that are zero."""
        return int(self.histogram.counts[:, 0].sum())

    @property
    def counts(self) -> np.ndarray:
        """How many values each bin has: int64 [bins]."""
        return self.histogram.counts[:, 1:].sum(0)

    @cached_property
    def matter(self) -> Weighed:
        """All values, each as much as it matters."""
        return Weighed.of(self.histogram, self.weights)

    def relative_errors(self, scales: Sequence[float], bits: int) -> np.ndarray:
        """The root mean square error that each scale causes at the outputs of what reads the activation,
        relative to the root mean square of these outputs, as far as its values do not know of each other:
        float64."""
        errors = self.matter.square_errors(np.array(scales), bits)
        return np.sqrt(errors / (self.matter.squares() or 1.0))


def abs_max(seen: Seen, bits: int) -> float:
    """The largest magnitude: nothing is clipped."""
    return seen.histogram.peak


def moving_average(seen: Seen, bits: int) -> float:
    """What training's `fake_quantize_moving_average_abs_max` would have kept, without its initial value:
    accum = rate * accum + peak, state = rate * state + 1, scale = accum / state."""
    accum = state = 0.0
    for peak in seen.peaks:
        accum, state = MOVING_RATE * accum + float(peak), MOVING_RATE * state + 1
    return accum / state if state else 0.0


def avg(seen: Seen, bits: int) -> float:
    """The mean of the batches' largest magnitudes."""
    return float(seen.peaks.mean(dtype=np.float64)) if seen.peaks.size else 0.0


def percentile(seen: Seen, bits: int) -> float:
    """The magnitude that `PERCENTILE` of the values do not exceed, as if those of a bin were spread
    evenly. Where that many are zero, it is the largest: no scale could be 0."""
    histogram = seen.histogram
    wanted, counts = PERCENTILE * histogram.total - seen.zeros, seen.counts
    below = np.cumsum(counts)
    index = int(np.searchsorted(below, wanted))
    if wanted <= 0 or index >= below.size:
        return histogram.peak
    inside = (wanted - (below[index] - counts[index])) / counts[index]
    return min((index + inside) * histogram.width, histogram.peak)


def kl(seen: Seen, bits: int) -> float:
    """The threshold behind which clipping changes the distribution least, by its Kullback-Leibler divergence.

    The algorithm is Paddle's (`cal_kl_threshold`), which is that of Migacz, "8-bit inference with TensorRT"
    (2017), but for `MOST_CLIPPED`.
    """
    histogram, counts = seen.histogram, seen.counts
    counts[0] += seen.zeros
    used = int(np.flatnonzero(counts)[-1]) + 1 if histogram.total else 0
    if used < 2 * max_int(bits):
        return histogram.peak
    # The algorithm never keeps the last bin: behind an empty one, it may keep all values.
    padded = np.append(counts[:used], 0)
    return min(kl_threshold(padded, histogram.width, bits, MOST_CLIPPED), histogram.peak)


def mse(seen: Seen, bits: int) -> float:
    """The scale with the least sum of importance * (x - Q(x))**2, rounding and clipping together: the least
    mean square error at the outputs of what reads the activation."""
    return _least(seen.histogram.peak, lambda scales: seen.matter.square_errors(scales, bits))


def emd(seen: Seen, bits: int) -> float:
    """The scale with the least earth mover's distance between x and Q(x).

    Q is monotone, so that the distance is the mean of |x - Q(x)| (in one dimension, mass moves in order).
    """
    alike = Weighed.of(seen.histogram, np.ones(len(seen.weights)))
    return _least(seen.histogram.peak, lambda scales: alike.absolute_errors(scales, bits))


_OBSERVERS: Mapping[Calibrator, Callable[[Seen, int], float]] = MappingProxyType(
    {
        "mse": mse,
        "abs_max": abs_max,
        "moving_average": moving_average,
        "avg": avg,
        "percentile": percentile,
        "kl": kl,
        "emd": emd,
    }
)


def observe(seen: Seen, calibrator: Calibrator, bits: int = 8) -> float:
    """The `usable_scale` that a calibrator chooses, a float32 number."""
    return float(usable_scale(_OBSERVERS[calibrator](seen, bits)))


def _least(peak: float, error: Callable[[np.ndarray], np.ndarray]) -> float:
    """The scale, at most the peak, that causes the least error; the largest of them where several do."""
    if not peak:
        return 0.0
    # From 1 downwards, since the first of equal ones is taken.
    fractions, step = np.arange(_COARSE, 0, -1) / _COARSE, 1 / _COARSE
    best = 1.0
    for _ in range(1 + _REFINEMENTS):
        best = float(fractions[int(np.argmin(error(fractions * peak)))])
        around = best + step * np.arange(_FINE, -_FINE - 1, -1) / _FINE
        step /= _FINE
        fractions = around[(around > 0) & (around <= 1)]
    return best * peak
