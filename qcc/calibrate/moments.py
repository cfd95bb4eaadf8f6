"""The range, mean and deviation of each channel of some activations, of which is told whether their channels
stand in the last dimension, or in dimension 1."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from qcc.calibrate.collect import Collector, Counter, Numbered
from qcc.calibrate.statistics import strange
from qcc.model import Model


class ChannelRanges:
    """The largest magnitude of each channel, on the batches that belong to the others."""

    def __init__(self, last_axis: Mapping[str, bool]) -> None:
        self.names, self._last_axis = tuple(last_axis), last_axis
        self._data: list[float] = []
        self._batches: list[dict[str, np.ndarray]] = []
        self._batch: dict[str, np.ndarray] = {}

    def add(self, name: str, data_range: float, values: np.ndarray) -> float:
        """See `qcc.calibrate.collect.Counter`."""
        flat = _by_channel(values, self._last_axis[name])
        self._batch[name] = np.maximum(flat.max((0, 2), initial=0), -flat.min((0, 2), initial=0))
        return float(self._batch[name].max(initial=0))

    def count(self, batch: int, data_range: float, peaks: Mapping[str, float]) -> None:
        """See `qcc.calibrate.collect.Counter`."""
        self._data.append(data_range)
        self._batches.append(self._batch)
        self._batch = {}

    def largest(self, name: str) -> np.ndarray:
        """Of each channel; none where nothing was seen, or a number of channels that differs."""
        pairs = zip(self._batches, strange(self._data), strict=True)
        seen = [batch[name] for batch, times in pairs if name in batch and not times]
        if not seen or len({one.size for one in seen}) > 1:
            return np.zeros(0, np.float32)
        return np.max(seen, axis=0)


class Moments:
    """Of each of some variables, per channel: sums over all places of the values seen."""

    def __init__(self, last_axis: Mapping[str, bool]) -> None:
        self.names, self._last_axis = tuple(last_axis), last_axis
        self._count: dict[str, int] = {}
        self._sums: dict[str, np.ndarray] = {}

    def add(self, name: str, data_range: float, values: np.ndarray) -> float:
        """See `qcc.calibrate.collect.Counter`."""
        flat = _by_channel(values, self._last_axis[name])
        sums = np.stack([flat.sum((0, 2), dtype=np.float64), np.square(flat, dtype=np.float64).sum((0, 2))])
        self._count[name] = self._count.get(name, 0) + flat.shape[0] * flat.shape[2]
        self._sums[name] = self._sums.get(name, 0) + sums
        return float(np.abs(values).max(initial=0))

    def count(self, batch: int, data_range: float, peaks: Mapping[str, float]) -> None:
        """See `qcc.calibrate.collect.Counter`."""

    def mean(self, name: str) -> np.ndarray:
        """The mean of each channel."""
        return self._sums[name][0] / max(self._count[name], 1)

    def deviation(self, name: str) -> np.ndarray:
        """The standard deviation of each channel."""
        square = self._sums[name][1] / max(self._count[name], 1)
        return np.sqrt(np.maximum(square - np.square(self.mean(name)), 0))


def measure(model: Model, counter: Counter, batches: Iterable[Numbered]) -> None:
    """Run the model over some batches, and count variables.  Raises DataError as `Collector.run` does."""
    if counter.names:
        collector = Collector(model, counter)
        for batch in batches:
            collector.run(batch, batch.read())


def _by_channel(values: np.ndarray, last_axis: bool) -> np.ndarray:
    """[samples, channels, places]."""
    if last_axis:
        return values.reshape(math.prod(values.shape[:-1]), values.shape[-1], 1)
    return values.reshape(*values.shape[:2], math.prod(values.shape[2:]))
