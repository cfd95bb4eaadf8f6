"""The range, mean and deviation of each channel of some activations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from qcc.calibrate.collect import Collector, Numbered
from qcc.model import Model


class Moments:
    """Of each of some variables, per channel: sums over all places of the values seen, and the extremes.

    A variable's channels stand in dimension 1 where it has four dimensions, and in the last one otherwise.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(dict.fromkeys(names))
        self._count: dict[str, int] = {}
        self._sums: dict[str, np.ndarray] = {}
        self._largest: dict[str, np.ndarray] = {}

    def add(self, name: str, data_range: float, values: np.ndarray) -> float:
        """See `qcc.calibrate.collect.Counter`."""
        flat = (
            values.reshape(*values.shape[:2], -1)
            if values.ndim == 4
            else values.reshape(-1, values.shape[-1], 1)
        )
        magnitudes = np.abs(flat).max((0, 2), initial=0)
        sums = np.stack([flat.sum((0, 2), dtype=np.float64), np.square(flat, dtype=np.float64).sum((0, 2))])
        self._count[name] = self._count.get(name, 0) + flat.shape[0] * flat.shape[2]
        self._sums[name] = self._sums.get(name, 0) + sums
        self._largest[name] = np.maximum(self._largest.get(name, 0), magnitudes)
        return float(magnitudes.max(initial=0))

    def count(self, batch: int, data_range: float, peaks: Mapping[str, float]) -> None:
        """See `qcc.calibrate.collect.Counter`."""

    def largest(self, name: str) -> np.ndarray:
        """The largest magnitude of each channel."""
        return self._largest[name]

    def mean(self, name: str) -> np.ndarray:
        """The mean of each channel."""
        return self._sums[name][0] / max(self._count[name], 1)

    def deviation(self, name: str) -> np.ndarray:
        """The standard deviation of each channel."""
        square = self._sums[name][1] / max(self._count[name], 1)
        return np.sqrt(np.maximum(square - np.square(self.mean(name)), 0))


def measure(model: Model, names: Iterable[str], batches: Iterable[Numbered]) -> Moments:
    """Run the model over some batches, and measure variables.  Raises DataError as `Collector.run` does."""
    moments = Moments(names)
    if moments.names:
        collector = Collector(model, moments)
        for batch in batches:
            collector.run(batch, batch.read())
    return moments
