"""Histograms of magnitudes that are streamed, and merged in any order to the same counts."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

BINS = 2048
_BIN_BITS = BINS.bit_length() - 1
# Small enough to stay in a core's cache with what is made of it.
_CHUNK = 1 << 16
# The finest grid: 2**-112 is a number whose inverse float32 holds, too.
_FINEST = -112


def _empty() -> np.ndarray:
    return np.zeros(BINS, np.int64)


@dataclass
class Histogram:
    """How often magnitudes |x| of float32 values fall into `BINS` bins of width 2**exponent, from 0 on.

    A bin holds its lower edge, not its upper one. Zeros are counted apart. `smallest` and `largest` are those
    of x itself, with its sign. Where a larger value comes, the width doubles until it fits, and pairs of bins
    become one: widths are powers of two, so that no value changes its place relative to an edge, and the
    counts, which are integers, do not depend on the order in which values came or histograms were merged.
    """

    exponent: int = _FINEST
    counts: np.ndarray = field(default_factory=_empty)
    zeros: int = 0
    smallest: float = math.inf
    largest: float = -math.inf

    @property
    def width(self) -> float:
        """The width of a bin."""
        return math.ldexp(1.0, self.exponent)

    @property
    def total(self) -> int:
        """The number of values."""
        return self.zeros + int(self.counts.sum())

    @property
    def peak(self) -> float:
        """The largest magnitude; 0 where there is no value."""
        return max(-self.smallest, self.largest, 0.0)

    def add(self, values: np.ndarray) -> float:
        """Count float32 values of any shape; returns their largest magnitude, 0 where there are none.

        What is not finite is not counted: the result is then not finite either, and nothing was changed.
        """
        if not values.size:
            return 0.0
        flat = values.reshape(-1)
        smallest, largest = float(flat.min()), float(flat.max())
        peak = max(-smallest, largest)
        # The minimum of anything and a NaN is a NaN.
        if not (math.isfinite(smallest) and math.isfinite(largest)):
            return math.nan
        self.smallest, self.largest = min(self.smallest, smallest), max(self.largest, largest)
        self._widen(_exponent_for(peak))
        for start in range(0, flat.size, _CHUNK):
            self._count(flat[start : start + _CHUNK])
        return peak

    def _count(self, chunk: np.ndarray) -> None:
        magnitudes = np.abs(chunk)
        zeros = chunk.size - np.count_nonzero(magnitudes)
        # A product by a power of two is exact.
        magnitudes *= np.float32(math.ldexp(1.0, -self.exponent))
        self.counts += np.bincount(magnitudes.astype(np.int32), minlength=BINS)
        self.counts[0] -= zeros
        self.zeros += zeros

    def _widen(self, exponent: int) -> None:
        doublings = exponent - self.exponent
        if doublings <= 0:
            return
        merged = self.counts.reshape(-1, min(BINS, 1 << min(doublings, _BIN_BITS))).sum(1)
        self.counts = _empty()
        self.counts[: merged.size] = merged
        self.exponent = exponent

    def merge(self, other: Histogram) -> None:
        """Count what another histogram has counted."""
        self._widen(other.exponent)
        widened = Histogram(other.exponent, other.counts)
        widened._widen(self.exponent)
        self.counts = self.counts + widened.counts
        self.zeros += other.zeros
        self.smallest = min(self.smallest, other.smallest)
        self.largest = max(self.largest, other.largest)


def merged(histograms: Iterable[Histogram]) -> Histogram:
    """One histogram of all that several have counted; they stay as they are."""
    whole = Histogram()
    for histogram in histograms:
        whole.merge(histogram)
    return whole


def _exponent_for(peak: float) -> int:
    """The exponent of the finest grid that holds a magnitude."""
    # peak < 2**power, but for 0, which any grid holds.
    _, power = math.frexp(peak)
    return max(power - _BIN_BITS, _FINEST) if peak else _FINEST
