"""Histograms of magnitudes that are streamed, and merged in any order to the same counts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

BINS = 2048
_BIN_BITS = BINS.bit_length() - 1
# Small enough to stay in a core's cache with what is made of it.
_CHUNK = 1 << 15
# The finest grid: 2**-112 is a number whose inverse float32 holds, too.
_FINEST = -112


@dataclass(frozen=True)
class Rows:
    """Which row of a histogram counts a value: that of its channel, int [channels].

    The channels stand in dimension 1, or, for `axis` -1, in all dimensions from some one on.
    """

    of_channels: np.ndarray
    axis: int = 1

    @property
    def count(self) -> int:
        """The number of rows."""
        return int(self.of_channels.max(initial=0)) + 1

    def blocks(self, values: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """All values in arrays of two dimensions, and the row of each, in a shape that broadcasts over
        them."""
        channels = self.of_channels.size
        if self.axis == 1:
            images = values.reshape(values.shape[0], channels, -1)
            height = max(1, _CHUNK // max(images.shape[2], 1))
            for image in images:
                for start in range(0, channels, height):
                    rows = self.of_channels[start : start + height, np.newaxis]
                    yield image[start : start + height], rows
        else:
            places = values.reshape(-1, channels)
            height = max(1, _CHUNK // channels)
            for start in range(0, len(places), height):
                yield places[start : start + height], self.of_channels[np.newaxis]


def _blocks(values: np.ndarray) -> Iterator[np.ndarray]:
    flat = values.reshape(-1)
    for start in range(0, flat.size, _CHUNK):
        yield flat[start : start + _CHUNK]


def _empty(rows: int = 1) -> np.ndarray:
    return np.zeros((rows, 1 + BINS), np.int64)


@dataclass
class Histogram:
    """How often magnitudes |x| of float32 values fall into `BINS` bins of width 2**exponent.

    `counts` is int64 [rows, 1 + BINS]: zeros, and then the bins, each of which holds its lower edge and not
    its upper one. `smallest` and `largest` are those of x itself, with its sign. Where a larger value
    comes, the width doubles until it fits, and pairs of bins become one: widths are powers of two, so that
    no value changes its place relative to an edge, and the counts, which are integers, do not depend on the
    order in which values came or histograms were merged.
    """

    exponent: int = _FINEST
    counts: np.ndarray = field(default_factory=_empty)
    smallest: float = math.inf
    largest: float = -math.inf

    @staticmethod
    def of_rows(rows: int) -> Histogram:
        """An empty one with so many rows."""
        return Histogram(counts=_empty(rows))

    @property
    def width(self) -> float:
        """The width of a bin."""
        return math.ldexp(1.0, self.exponent)

    @property
    def total(self) -> int:
        """The number of values."""
        return int(self.counts.sum())

    @property
    def peak(self) -> float:
        """The largest magnitude; 0 where there is no value."""
        return max(-self.smallest, self.largest, 0.0)

    @property
    def is_constant(self) -> bool:
        """Whether all values are one and the same."""
        return self.smallest == self.largest

    def add(self, values: np.ndarray, rows: Rows | None = None) -> float:
        """Count float32 values of any shape, in the row of their channel or all in the first one; returns
        their largest magnitude, 0 where there are none.

        What is not finite is not counted: the result is then not finite either, and nothing was changed.
        """
        if not values.size:
            return 0.0
        smallest, largest = float(values.min()), float(values.max())
        peak = max(-smallest, largest)
        # The minimum of anything and a NaN is a NaN.
        if not (math.isfinite(smallest) and math.isfinite(largest)):
            return math.nan
        self.smallest, self.largest = min(self.smallest, smallest), max(self.largest, largest)
        self._widen(_exponent_for(peak))
        if rows is None or len(self.counts) == 1:
            for block in _blocks(values):
                self.counts += self._found(self._bins(block))
        else:
            for block, row in rows.blocks(values):
                self.counts += self._found(self._bins(block) + row * (1 + BINS))
        return peak

    def _bins(self, block: np.ndarray) -> np.ndarray:
        magnitudes = np.abs(block)
        # A product by a power of two is exact.
        magnitudes *= np.float32(math.ldexp(1.0, -self.exponent))
        bins = magnitudes.astype(np.int32)
        # Not by the product, which for the smallest numbers is 0.
        bins += block != 0
        return bins

    def _found(self, bins: np.ndarray) -> np.ndarray:
        return np.bincount(bins.reshape(-1), minlength=self.counts.size).reshape(self.counts.shape)

    def _widen(self, exponent: int) -> None:
        if exponent > self.exponent:
            self.counts = _merged_bins(self.counts, exponent - self.exponent)
            self.exponent = exponent

    def merge(self, other: Histogram) -> None:
        """Count what another histogram with as many rows has counted."""
        self._widen(other.exponent)
        self.counts = self.counts + _merged_bins(other.counts, self.exponent - other.exponent)
        self.smallest = min(self.smallest, other.smallest)
        self.largest = max(self.largest, other.largest)


def merged(histograms: Iterable[Histogram], rows: int = 1) -> Histogram:
    """One histogram of all that several with so many rows have counted; they stay as they are."""
    whole = Histogram.of_rows(rows)
    for histogram in histograms:
        whole.merge(histogram)
    return whole


def _merged_bins(counts: np.ndarray, doublings: int) -> np.ndarray:
    """The counts on a grid whose bins are wider: by a factor of two, so many times."""
    if not doublings:
        return counts
    wide = np.zeros_like(counts)
    together = 1 << min(doublings, _BIN_BITS)
    wide[:, 0] = counts[:, 0]
    wide[:, 1 : 1 + BINS // together] = counts[:, 1:].reshape(len(counts), -1, together).sum(2)
    return wide


def _exponent_for(peak: float) -> int:
    """The exponent of the finest grid that holds a magnitude."""
    # peak < 2**power, but for 0, which any grid holds.
    _, power = math.frexp(peak)
    return max(power - _BIN_BITS, _FINEST) if peak else _FINEST
