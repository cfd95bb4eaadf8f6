"""Means and largest magnitudes of channels that are streamed, and merged in any order to the same numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qcc.calibrate.histogram import Rows

_FRACTION = 40
"""Bits behind the point: sums of integers do not depend on their order, as those of floats do."""

LARGEST = 2.0**40
"""Means below it can be summed over eight million batches."""


@dataclass
class Channels:
    """The sum over batches of each channel's mean: `whole` numbers and `parts` of 2**-40, int64 [channels];
    its `largest` magnitude, float32 [channels]; and `count`, of the batches."""

    whole: np.ndarray
    parts: np.ndarray
    largest: np.ndarray
    count: int = 0

    @staticmethod
    def of(channels: int) -> Channels:
        """Of no batch."""
        whole, parts = np.zeros((2, channels), np.int64)
        return Channels(whole, parts, np.zeros(channels, np.float32))

    def add(self, values: np.ndarray, rows: Rows) -> None:
        """Count the float32 values of a batch, below `LARGEST`, whose channels stand where `rows` says."""
        channels = len(self.whole)
        if rows.axis == 1:
            places = values.reshape(len(values), channels, -1)
            means = places.mean(2, dtype=np.float64).mean(0)
            largest = np.maximum(places.max((0, 2)), -places.min((0, 2)))
        else:
            places = values.reshape(-1, channels)
            means = places.mean(0, dtype=np.float64)
            largest = np.maximum(places.max(0), -places.min(0))
        whole = np.floor(means)
        self.whole += whole.astype(np.int64)
        self.parts += np.rint(np.ldexp(means - whole, _FRACTION)).astype(np.int64)
        np.maximum(self.largest, largest, out=self.largest)
        self.count += 1

    def merge(self, other: Channels) -> None:
        """Count what another one has counted."""
        self.whole += other.whole
        self.parts += other.parts
        np.maximum(self.largest, other.largest, out=self.largest)
        self.count += other.count

    @property
    def mean(self) -> np.ndarray:
        """Of each channel, each batch counting alike: float64 [channels], 0 where there was none."""
        return (self.whole + np.ldexp(self.parts.astype(np.float64), -_FRACTION)) / max(self.count, 1)
