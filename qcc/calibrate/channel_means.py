"""Means of channels that are streamed, and merged in any order to the same numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qcc.calibrate.histogram import Rows

_FRACTION = 40
"""Bits behind the point: sums of integers do not depend on their order, as those of floats do."""

LARGEST = 2.0**48
"""Means below it can be summed over more batches than there are."""


@dataclass
class ChannelMeans:
    """The sum over batches of each channel's mean: `whole` numbers and `parts` of 2**-40, int64 [channels];
    `count`: of the batches."""

    whole: np.ndarray
    parts: np.ndarray
    count: int = 0

    @staticmethod
    def of_channels(channels: int) -> ChannelMeans:
        """Of no batch."""
        return ChannelMeans(np.zeros(channels, np.int64), np.zeros(channels, np.int64))

    def add(self, values: np.ndarray, rows: Rows) -> None:
        """Count the float32 values of a batch, below `LARGEST`, whose channels stand where `rows` says."""
        channels = len(self.whole)
        if rows.axis == 1:
            means = values.reshape(len(values), channels, -1).mean(2, dtype=np.float64).mean(0)
        else:
            means = values.reshape(-1, channels).mean(0, dtype=np.float64)
        whole = np.floor(means)
        self.whole += whole.astype(np.int64)
        self.parts += np.rint(np.ldexp(means - whole, _FRACTION)).astype(np.int64)
        self.count += 1

    def merge(self, other: ChannelMeans) -> None:
        """Count what another one has counted."""
        self.whole += other.whole
        self.parts += other.parts
        self.count += other.count

    @property
    def mean(self) -> np.ndarray:
        """Of each channel, each batch counting alike: float64 [channels], 0 where there was none."""
        return (self.whole + np.ldexp(self.parts.astype(np.float64), -_FRACTION)) / max(self.count, 1)
